#include "test/fleet/fleet_ca_client.h"

#include <functional>
#include <utility>

#include "certagent/ca_messages.h"
#include "certagent/issue_call.h"
#include "grpcpp/client_context.h"

namespace byrnie {
namespace {

constexpr absl::Duration kAgain = absl::Seconds(1);
// As an agent's that has nobody else to ask.
constexpr absl::Duration kCallTime = absl::Seconds(10);

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> FleetCaClient::ChannelOf(
    const ClientIdentityPtr& identity) {
  if (channel_ != nullptr && channel_identity_ == identity) return channel_;
  ControlPlaneChannelOptions options = server_;
  if (identity != nullptr) {
    options.identity = ControlPlaneClientIdentity{identity->chain, identity->key};
  }
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = CreateControlPlaneChannel(options);
  if (channel.ok()) {
    channel_ = *channel;
    channel_identity_ = identity;
  }
  return channel;
}

void FleetCaClient::SetRoots(std::string pem) {
  if (pem == server_.trust_bundle_pem) return;
  server_.trust_bundle_pem = std::move(pem);
  // A control plane that has been started again may have its certificate from a root that the
  // connection of before does not know. The stream that is open keeps that one.
  channel_.reset();
}

void FleetCaClient::Issue(std::string csr_der, absl::Duration ttl, ClientIdentityPtr identity,
                          IssueCallback done) {
  call_ = std::make_unique<IssueCall>(
      loop_, [this, done = std::move(done)](absl::Status status,
                                            const ca::v1::IssueResponse& response) mutable {
        const auto finished = std::move(call_);
        if (!status.ok()) return done(std::move(status));
        done(ParseIssueResponse(response));
      });
  const absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = ChannelOf(identity);
  absl::Status prepared = channel.status();
  if (prepared.ok()) {
    prepared = PrepareIssueCall(identity, token_, loop_->WallNow(), kCallTime, call_->context());
  }
  if (!prepared.ok()) return call_->Fail(std::move(prepared));
  call_->request()->set_csr(std::move(csr_der));
  if (ttl > absl::ZeroDuration()) {
    call_->request()->mutable_ttl()->set_seconds(absl::ToInt64Seconds(ttl));
  }
  std::shared_ptr<Stub> stub = ca::v1::CertificateAuthority::NewStub(*channel);
  call_->Start([stub](grpc::ClientContext* context, const ca::v1::IssueRequest* request,
                      ca::v1::IssueResponse* response, std::function<void(grpc::Status)> on_end) {
    stub->async()->Issue(context, request, response, std::move(on_end));
  });
}

void FleetCaClient::WatchTrustBundles(ClientIdentityPtr identity, BundleCallback on_update) {
  watch_identity_ = std::move(identity);
  on_bundles_ = std::move(on_update);
  OpenWatch();
}

void FleetCaClient::OpenWatch() {
  watch_again_->Cancel();
  const absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = ChannelOf(watch_identity_);
  if (!channel.ok()) return OnWatchClosed();
  Watch::Callbacks callbacks;
  callbacks.on_message = [this](ca::v1::WatchTrustBundlesResponse response) {
    on_bundles_(ParseTrustBundles(response.trust_bundles()));
  };
  callbacks.on_closed = [this](absl::Status) { OnWatchClosed(); };
  watch_ = std::make_unique<Watch>(
      loop_,
      [stub = std::shared_ptr<Stub>(ca::v1::CertificateAuthority::NewStub(*channel))](
          grpc::ClientContext* context, Watch::Reactor* reactor) {
        stub->async()->WatchTrustBundles(context, reactor);
      },
      std::move(callbacks));
  AcknowledgeTrustBundles(acknowledged_version_);
}

void FleetCaClient::OnWatchClosed() {
  ++lost_;
  watch_.reset();
  watch_again_->Schedule(kAgain);
}

void FleetCaClient::AcknowledgeTrustBundles(uint64_t version) {
  acknowledged_version_ = version;
  if (watch_ == nullptr) return;
  ca::v1::WatchTrustBundlesRequest request;
  request.set_acknowledged_version(version);
  watch_->Send(std::move(request));
}

}  // namespace byrnie
