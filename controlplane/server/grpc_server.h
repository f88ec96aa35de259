#ifndef BYRNIE_CONTROLPLANE_SERVER_GRPC_SERVER_H_
#define BYRNIE_CONTROLPLANE_SERVER_GRPC_SERVER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/net/socket_address.h"
#include "controlplane/server/health_service.h"
#include "controlplane/stream/stranger_streams.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"

namespace byrnie {

// What messages and connections may take of memory, for a process that may have so many of these:
// so much that the agents of a whole mesh can stay connected, and no more that what somebody sends
// without end takes all there is. Bytes.
size_t MessageMemory(size_t connections);

// The gRPC port: the given services, the standard health service and reflection, under limits. The
// latter two, which are for everybody, count their streams with `strangers`. All are of the
// callback API: what may block has threads of its own (common/base/thread_pool.h), so that none of
// the library's, and none at all while an answer is not read, is held by a caller. Thread-safe.
class GrpcServer {
 public:
  // Listens and serves at once; port 0 takes a free one. The pointers outlive the server.
  // FailedPrecondition when the address cannot be listened on, with what to do.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(
      const SocketAddress& address, std::shared_ptr<grpc::ServerCredentials> credentials,
      const std::vector<grpc::Service*>& services, StrangerStreams* strangers);

  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;
  // Stops without waiting for calls.
  ~GrpcServer();

  const SocketAddress& address() const { return address_; }
  // What the standard health service answers about a service of that full name, or, where it is
  // empty, about the server; it knows no other names. At first the server serves.
  void SetServing(const std::string& service, bool serving);
  // Takes no more calls, waits up to `grace` for those under way, then cancels them. Returns when
  // none is left.
  void Stop(absl::Duration grace);

 private:
  GrpcServer(std::shared_ptr<grpc::ServerCredentials> credentials,
             std::unique_ptr<HealthService> health, std::unique_ptr<grpc::Server> server,
             SocketAddress address)
      : credentials_(std::move(credentials)),
        health_(std::move(health)),
        server_(std::move(server)),
        address_(address) {}

  // The library keeps only their inside; they must be there for every handshake.
  const std::shared_ptr<grpc::ServerCredentials> credentials_;
  const std::unique_ptr<HealthService> health_;
  const std::unique_ptr<grpc::Server> server_;
  const SocketAddress address_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_SERVER_GRPC_SERVER_H_
