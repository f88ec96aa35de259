#ifndef BYRNIE_CERTAGENT_BYRNIE_CA_CLIENT_H_
#define BYRNIE_CERTAGENT_BYRNIE_CA_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/random/bit_gen_ref.h"
#include "absl/types/optional.h"
#include "byrnie/ca/v1/ca.grpc.pb.h"
#include "certagent/bidi_stream.h"
#include "certagent/ca_client.h"
#include "certagent/control_plane_connector.h"
#include "certagent/grpc_unary_call.h"
#include "certagent/token_file.h"
#include "common/base/backoff.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/repeat_filter.h"

namespace byrnie {

// byrnie.ca.v1 over gRPC, for the agent's loop.
class ByrnieCaClient final : public CaClient {
 public:
  // Finds out how the pod's proxy is: `done` runs once, also inside the call.
  using ProxyQuestion = std::function<void(absl::AnyInvocable<void(ProxyPresence)> done)>;

  // `ask_proxy` is for operators who ask; nobody waits for it longer than for the agent itself. All
  // pointers and `random` outlive the client.
  ByrnieCaClient(EventLoop* loop, ControlPlaneConnector* connector, TokenFile token, Logger* log,
                 absl::BitGenRef random, ProxyQuestion ask_proxy);
  ByrnieCaClient(const ByrnieCaClient&) = delete;
  ByrnieCaClient& operator=(const ByrnieCaClient&) = delete;
  ~ByrnieCaClient() override;

  void Issue(std::string csr_der, absl::Duration ttl, ClientIdentityPtr identity,
             IssueCallback done) override;
  void WatchTrustBundles(ClientIdentityPtr identity, BundleCallback on_update) override;
  void AcknowledgeTrustBundles(uint64_t version) override;

 private:
  using IssueCall = GrpcUnaryCall<ca::v1::IssueRequest, ca::v1::IssueResponse>;
  using WatchStream =
      BidiStream<ca::v1::WatchTrustBundlesRequest, ca::v1::WatchTrustBundlesResponse>;

  void OpenWatch();
  void OnWatchClosed(absl::Status why);
  void OnQuestion(uint64_t question);
  // What is in force and what time it is.
  ca::v1::WatchTrustBundlesRequest State() const;

  EventLoop* const loop_;                   // Not owned.
  ControlPlaneConnector* const connector_;  // Not owned.
  const TokenFile token_;
  Logger* const log_;  // Not owned.
  const ProxyQuestion ask_proxy_;
  std::unique_ptr<IssueCall> call_;  // Under way.
  absl::optional<size_t> endpoint_;  // Where it was sent.

  ClientIdentityPtr watch_identity_;
  BundleCallback on_bundles_;
  std::unique_ptr<WatchStream> watch_;
  size_t watch_endpoint_ = 0;
  uint64_t watch_number_ = 0;  // Of the stream.
  RepeatFilter losses_said_;   // Of the stream, since something came through it.
  uint64_t acknowledged_version_ = 0;
  Backoff watch_backoff_;
  const std::unique_ptr<EventLoop::Timer> watch_again_;
  const std::shared_ptr<ByrnieCaClient*> self_ = std::make_shared<ByrnieCaClient*>(this);
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_BYRNIE_CA_CLIENT_H_
