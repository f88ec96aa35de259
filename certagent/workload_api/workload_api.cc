#include "certagent/workload_api/workload_api.h"

#include <chrono>
#include <utility>

#include "common/base/status_macros.h"
#include "grpc/grpc.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/server_posix.h"

namespace byrnie {
namespace {

// Requests name a few things; no message of ours comes near its limit.
constexpr int kMaxRequestBytes = 64 * 1024;
constexpr int kMaxResponseBytes = 4 * 1024 * 1024;
constexpr size_t kMaxBufferedBytes = 32 * 1024 * 1024;
constexpr int kMaxThreads = 8;
constexpr std::chrono::milliseconds kGrace(100);

void SetLimits(grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder->SetMaxSendMessageSize(kMaxResponseBytes);
  grpc::ResourceQuota quota("workload_api");
  quota.Resize(kMaxBufferedBytes);
  quota.SetMaxThreads(kMaxThreads);
  builder->SetResourceQuota(quota);
  // Only reflection is served by threads that wait; few are enough.
  builder->SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder->SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder->SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 * 1024);
  // A connection without a call is nobody's.
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 30000);
  // A client may ping, as gRPC's own do when they are told to keep a connection alive.
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkloadApi>> WorkloadApi::Create(
    EventLoop* loop, WorkloadListener::Options options, JwtIssuer* issuer, const Clock* clock,
    WorkloadMetrics* metrics, Logger* log) {
  std::unique_ptr<WorkloadApi> api(new WorkloadApi(loop, issuer, clock, metrics, log));
  RETURN_IF_ERROR(api->StartServer());
  grpc::Server* const server = api->server_.get();
  ASSIGN_OR_RETURN(api->listener_, WorkloadListener::Create(
                                       loop, std::move(options), &api->callers_,
                                       [server](UniqueFd connection) {
                                         grpc::AddInsecureChannelFromFd(server,
                                                                        connection.release());
                                       },
                                       metrics, log));
  return api;
}

WorkloadApi::WorkloadApi(EventLoop* loop, JwtIssuer* issuer, const Clock* clock,
                         WorkloadMetrics* metrics, Logger* log)
    : streams_(kMaxStreams, metrics->streams),
      tokens_(loop, issuer, metrics, JwtSvidCache::Options()),
      workload_(loop, &tokens_, &streams_, &callers_, clock, metrics),
      secrets_(&streams_, &callers_, clock, metrics, log) {}

absl::Status WorkloadApi::StartServer() {
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  SetLimits(&builder);
  builder.RegisterService(&workload_);
  builder.RegisterService(&secrets_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return absl::InternalError("cannot start the workload API's server");
  return absl::OkStatus();
}

WorkloadApi::~WorkloadApi() {
  listener_ = nullptr;
  const absl::Status ending = absl::UnavailableError("the agent is shutting down");
  workload_.EndCalls(ending);
  streams_.EndAll(ending);
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + kGrace);
  server_->Wait();
}

void WorkloadApi::Publish(IdentitySnapshotPtr snapshot, std::shared_ptr<const PrivateKey> key) {
  tokens_.OnIdentity(snapshot);
  auto state =
      std::make_shared<const WorkloadState>(WorkloadState{std::move(snapshot), std::move(key)});
  secrets_.Publish(state);
  workload_.Publish(std::move(state));
  streams_.WakeAll();
}

}  // namespace byrnie
