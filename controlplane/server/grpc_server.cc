#include "controlplane/server/grpc_server.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/descriptor_limit.h"
#include "common/grpc/reflection_service.h"
#include "grpc/grpc.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server_builder.h"

namespace byrnie {
namespace {

constexpr int kMaxMessageBytes = 4 * 1024 * 1024;
void SetLimits(grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder->SetMaxSendMessageSize(kMaxMessageBytes);
  grpc::ResourceQuota quota("controlplane");
  quota.Resize(MessageMemory(DescriptorLimit()));
  builder->SetResourceQuota(quota);
  // A second process on the port is an error, not a silent sharing of connections.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 * 1024);
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 5000);
  // A connection without a call is nobody's: agents keep streams open, operators hang up. Those of
  // a stranger, who needs no certificate to connect, are not to use the descriptors up.
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 10000);
  // Agents ping every three to five seconds; nobody may ping much more often. We ping too: an agent
  // whose machine is gone is to leave the table.
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
}

}  // namespace

size_t MessageMemory(size_t connections) {
  constexpr size_t kBuffers = 256 * 1024 * 1024;
  // The library counts about 30 KiB for a connection with one stream that is idle. Without room for
  // them it ends connections and streams (GOAWAY, RST_STREAM with ENHANCE_YOUR_CALM).
  constexpr size_t kEach = 48 * 1024;
  constexpr size_t kMost = 65536;
  return kBuffers + std::min(connections, kMost) * kEach;
}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(
    const SocketAddress& address, std::shared_ptr<grpc::ServerCredentials> credentials,
    const std::vector<grpc::Service*>& services, StrangerStreams* strangers) {
  auto health = std::make_unique<HealthService>(strangers);
  grpc::ServerBuilder builder;
  SetLimits(&builder);
  int port = 0;
  builder.AddListeningPort(address.ToString(), credentials, &port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  builder.RegisterService(health.get());
  ReflectionService::AddTo(&builder, [strangers](const grpc::CallbackServerContext& context) {
    return strangers->Admit("reflection", context.peer());
  });
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot listen on ", address.ToString(),
                     "; is the port taken, or the address not of this machine?"));
  }
  return absl::WrapUnique(new GrpcServer(std::move(credentials), std::move(health),
                                         std::move(server),
                                         SocketAddress(address.ip(), static_cast<uint16_t>(port))));
}

GrpcServer::~GrpcServer() { Stop(absl::ZeroDuration()); }

void GrpcServer::SetServing(const std::string& service, bool serving) {
  health_->SetServing(service, serving);
}

void GrpcServer::Stop(absl::Duration grace) {
  health_->End();
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(grace));
  server_->Wait();
}

}  // namespace byrnie
