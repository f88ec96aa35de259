#include "certagent/workload_api/workload_api.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/private_key.h"
#include "common/grpc/reflection_service.h"
#include "grpc/grpc.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/server_posix.h"

namespace byrnie {
namespace {

// Requests name a few things; no message of ours comes near its limit.
constexpr int kMaxRequestBytes = 64 * 1024;
constexpr int kMaxResponseBytes = 4 * 1024 * 1024;
constexpr size_t kMaxBufferedBytes = 32 * 1024 * 1024;
constexpr std::chrono::milliseconds kGrace(100);

void SetLimits(grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder->SetMaxSendMessageSize(kMaxResponseBytes);
  grpc::ResourceQuota quota("workload_api");
  quota.Resize(kMaxBufferedBytes);
  builder->SetResourceQuota(quota);
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
      secrets_(&streams_, &callers_, clock, metrics, log),
      reflections_(kMaxReflections, kMaxReflections) {}

absl::Status WorkloadApi::StartServer() {
  grpc::ServerBuilder builder;
  SetLimits(&builder);
  builder.RegisterService(&workload_);
  builder.RegisterService(&secrets_);
  // No call waits in one of the library's threads, whoever it is from.
  ReflectionService::AddTo(
      &builder,
      [this](const grpc::CallbackServerContext&) -> absl::StatusOr<std::unique_ptr<Places::Place>> {
        std::unique_ptr<Places::Place> place = reflections_.Take("");
        if (place != nullptr) return place;
        return absl::ResourceExhaustedError(absl::StrCat(
            "there are ", reflections_.of_all(), " open streams of reflection; close some"));
      });
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
