#ifndef BYRNIE_CERTAGENT_CONTROL_PLANE_CONNECTOR_H_
#define BYRNIE_CERTAGENT_CONTROL_PLANE_CONNECTOR_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/random/bit_gen_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "certagent/ca_client.h"
#include "certagent/channel_keeper.h"
#include "certagent/endpoint_set.h"
#include "common/base/file_fingerprint.h"
#include "common/crypto/certificate.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "grpcpp/channel.h"

namespace byrnie {

// Makes the agent's channels to a control plane or an authority, at one of several addresses, which
// it trusts through a file of roots, and through those that who is trusted so has sent. Lives on
// the agent's loop.
//
// The file is looked at every second, and at once when a channel is made: when what it holds has
// changed, channels are made anew. A file that cannot be read or holds no certificates does not
// replace what was read before; that is logged once.
class ControlPlaneConnector {
 public:
  struct Options {
    // What metrics call it: "control_plane" or "ca".
    std::string service;
    // "HOST:PORT", each; at least one.
    std::vector<std::string> targets;
    std::string trust_domain;
    // Whom the server's certificate must name: as ControlPlaneChannelOptions::server_name says.
    // "*" stands for the host of the target.
    std::string server_name;
    std::string roots_path;
    // They are control planes of ours, which may be asked every few seconds whether they are there.
    bool watch_closely = false;
  };
  struct Connection {
    std::shared_ptr<grpc::Channel> channel;
    // Where it leads, for OnCallEnded.
    size_t endpoint;
  };
  // How long a call may take where there is nobody else to ask.
  static constexpr absl::Duration kLongestCall = absl::Seconds(10);

  // `roots_pem` is what the file held at the start. All pointers and `random` outlive the
  // connector.
  ControlPlaneConnector(EventLoop* loop, Options options, std::string roots_pem, Logger* log,
                        MetricRegistry* metrics, absl::BitGenRef random);
  ControlPlaneConnector(const ControlPlaneConnector&) = delete;
  ControlPlaneConnector& operator=(const ControlPlaneConnector&) = delete;
  ~ControlPlaneConnector();

  // A channel with a connection of its own; `identity` null: without a client certificate. Errors
  // as CreateControlPlaneChannel.
  absl::StatusOr<Connection> NewChannel(const ClientIdentityPtr& identity);
  // The channel all streams of one identity share, made anew when the identity, the roots or the
  // address to use have changed.
  absl::StatusOr<Connection> SharedChannel(const ClientIdentityPtr& identity);

  // Roots of the trust domain that came from the control plane itself: trusted beside those of the
  // file, so that a mesh that moves to another root loses nobody whose file is older. At the start
  // there are none; channels are made anew when they add to the file or no longer do.
  void SetLearnedRoots(const std::vector<CertificatePtr>& roots);

  // Servers must not be revoked by these; channels are made anew when they change. At the start
  // there are none.
  void SetRevocationLists(RevocationListMap lists);

  // What became of a call or a stream. Failures make the next channel lead elsewhere, where there
  // is another address. The error to go on with: without a time to wait when there is.
  absl::Status OnCallEnded(size_t endpoint, absl::Status status);
  // A stream has brought its first message: the address is the one to use.
  void OnStreamWorks(size_t endpoint);
  // How long to wait for the answer to a call there (EndpointSet::PatienceWith).
  absl::Duration CallPatience(size_t endpoint) const {
    return endpoints_.PatienceWith(endpoint, kLongestCall, loop_->Now());
  }

  // Runs, in a later turn, after the file's roots or the revocation lists have changed: for streams
  // on older channels.
  void SetRootsListener(absl::AnyInvocable<void()> on_roots) { on_roots_ = std::move(on_roots); }

 private:
  absl::StatusOr<Connection> MakeChannel(const ClientIdentityPtr& identity);
  // What the learned roots add to those of the file.
  std::string AddedPem() const;
  void LookAtFile();
  void RefreshRoots();
  void OnTrustChanged();

  EventLoop* const loop_;  // Not owned.
  const Options options_;
  Logger* const log_;       // Not owned.
  absl::BitGenRef random_;  // Not owned.
  EndpointSet endpoints_;
  std::string roots_pem_;
  std::vector<CertificatePtr> learned_roots_;
  RevocationListMap revocation_lists_;
  absl::optional<FileFingerprint> seen_;  // Of the file that was read last.
  std::string complaint_;                 // What was last logged about the file.
  absl::AnyInvocable<void()> on_roots_;
  const std::unique_ptr<EventLoop::Timer> look_;
  const std::unique_ptr<EventLoop::Deferred> tell_;

  ChannelKeeper keeper_;
  Connection shared_ = {nullptr, 0};
  ClientIdentityPtr shared_identity_;

  Counter* roots_changed_;
  Counter* roots_rejected_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_CONTROL_PLANE_CONNECTOR_H_
