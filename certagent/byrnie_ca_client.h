#ifndef BYRNIE_CERTAGENT_BYRNIE_CA_CLIENT_H_
#define BYRNIE_CERTAGENT_BYRNIE_CA_CLIENT_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/random/bit_gen_ref.h"
#include "byrnie/ca/v1/ca.grpc.pb.h"
#include "certagent/bidi_stream.h"
#include "certagent/ca_client.h"
#include "certagent/control_plane_connector.h"
#include "common/base/backoff.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/repeat_filter.h"

namespace byrnie {

// byrnie.ca.v1 over gRPC. Calls run on gRPC's threads, which only post results to the loop. The
// token is read from its file for every call that needs it, so that a rotated one is used at once;
// it is kept nowhere.
class ByrnieCaClient final : public CaClient {
 public:
  static constexpr absl::Duration kIssueTimeout = absl::Seconds(10);

  // All pointers and `random` outlive the client.
  ByrnieCaClient(EventLoop* loop, ControlPlaneConnector* connector, std::string token_path,
                 Logger* log, absl::BitGenRef random);
  ByrnieCaClient(const ByrnieCaClient&) = delete;
  ByrnieCaClient& operator=(const ByrnieCaClient&) = delete;
  ~ByrnieCaClient() override;

  void Issue(std::string csr_der, absl::Duration ttl, ClientIdentityPtr identity,
             IssueCallback done) override;
  void WatchTrustBundles(ClientIdentityPtr identity, BundleCallback on_update) override;
  void AcknowledgeTrustBundles(uint64_t version) override;

 private:
  struct IssueCall;
  using WatchStream =
      BidiStream<ca::v1::WatchTrustBundlesRequest, ca::v1::WatchTrustBundlesResponse>;

  // Prepares a call; what fails here has not reached the network.
  absl::Status Prepare(const ClientIdentityPtr& identity, IssueCall* call);
  void OnIssueDone(const std::shared_ptr<IssueCall>& call, absl::Status status);
  void OpenWatch();
  void OnWatchClosed(absl::Status why);

  EventLoop* const loop_;                   // Not owned.
  ControlPlaneConnector* const connector_;  // Not owned.
  const std::string token_path_;
  Logger* const log_;  // Not owned.
  std::list<std::shared_ptr<IssueCall>> calls_;

  ClientIdentityPtr watch_identity_;
  BundleCallback on_bundles_;
  std::unique_ptr<WatchStream> watch_;
  RepeatFilter losses_said_;  // Of the stream, since something came through it.
  uint64_t acknowledged_version_ = 0;
  Backoff watch_backoff_;
  const std::unique_ptr<EventLoop::Timer> watch_again_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_BYRNIE_CA_CLIENT_H_
