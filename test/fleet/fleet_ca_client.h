#ifndef BYRNIE_TEST_FLEET_FLEET_CA_CLIENT_H_
#define BYRNIE_TEST_FLEET_FLEET_CA_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "byrnie/ca/v1/ca.grpc.pb.h"
#include "certagent/ca_client.h"
#include "certagent/grpc_bidi_stream.h"
#include "certagent/grpc_unary_call.h"
#include "certagent/token_file.h"
#include "common/event/event_loop.h"
#include "common/grpc/control_plane_channel.h"
#include "grpcpp/channel.h"

namespace byrnie {

// byrnie.ca.v1 over gRPC with one connection for each certificate: the stream of the trust bundles
// and the call for the next certificate share it. An agent makes more of them; a thousand on one
// machine are to cost no more than they must. Lives on its loop.
class FleetCaClient final : public CaClient {
 public:
  // `server` has no identity. `loop` outlives the client.
  FleetCaClient(EventLoop* loop, ControlPlaneChannelOptions server, TokenFile token)
      : loop_(loop),
        server_(std::move(server)),
        token_(std::move(token)),
        watch_again_(loop->NewTimer([this] { OpenWatch(); })) {}
  FleetCaClient(const FleetCaClient&) = delete;
  FleetCaClient& operator=(const FleetCaClient&) = delete;

  void Issue(std::string csr_der, absl::Duration ttl, ClientIdentityPtr identity,
             IssueCallback done) override;
  void WatchTrustBundles(ClientIdentityPtr identity, BundleCallback on_update) override;
  void AcknowledgeTrustBundles(uint64_t version) override;

  // What the control plane is trusted by from the next call and the next stream on.
  void SetRoots(std::string pem);
  // How often a stream has ended that was to stay.
  int lost() const { return lost_; }

 private:
  using Stub = ca::v1::CertificateAuthority::Stub;
  using IssueCall = GrpcUnaryCall<ca::v1::IssueRequest, ca::v1::IssueResponse>;
  using Watch = GrpcBidiStream<ca::v1::WatchTrustBundlesRequest, ca::v1::WatchTrustBundlesResponse>;

  absl::StatusOr<std::shared_ptr<grpc::Channel>> ChannelOf(const ClientIdentityPtr& identity);
  void OpenWatch();
  void OnWatchClosed();

  EventLoop* const loop_;  // Not owned.
  ControlPlaneChannelOptions server_;
  const TokenFile token_;
  std::shared_ptr<grpc::Channel> channel_;
  ClientIdentityPtr channel_identity_;
  std::unique_ptr<IssueCall> call_;
  ClientIdentityPtr watch_identity_;
  BundleCallback on_bundles_;
  std::unique_ptr<Watch> watch_;
  uint64_t acknowledged_version_ = 0;
  int lost_ = 0;
  const std::unique_ptr<EventLoop::Timer> watch_again_;
};

}  // namespace byrnie

#endif  // BYRNIE_TEST_FLEET_FLEET_CA_CLIENT_H_
