#ifndef BYRNIE_CONTROLPLANE_SERVER_HEALTH_SERVICE_H_
#define BYRNIE_CONTROLPLANE_SERVER_HEALTH_SERVICE_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "common/grpc/live_stream.h"
#include "controlplane/stream/stranger_streams.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace byrnie {

// gRPC's standard health service, for the server as a whole and the services it is told of. The
// library's own lets anybody open as many watches as he likes. Thread-safe; outlives the server,
// the pointer outlives it.
class HealthService final : public grpc::health::v1::Health::CallbackService, private StreamOwner {
 public:
  using Request = grpc::health::v1::HealthCheckRequest;
  using Response = grpc::health::v1::HealthCheckResponse;

  // No service's full name is longer.
  static constexpr size_t kMaxNameBytes = 256;

  // The server as a whole, the service of no name, serves from the beginning.
  explicit HealthService(StrangerStreams* strangers)
      : strangers_(strangers), statuses_({{"", Response::SERVING}}) {}
  // All watches have ended by then: the server has shut down.
  ~HealthService() override;

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context, const Request* request,
                                  Response* response) override;
  grpc::ServerWriteReactor<Response>* Watch(grpc::CallbackServerContext* context,
                                            const Request* request) override;

  // The name that `request` asks for, out of it; absent when none here can ever be that one. What
  // the request holds is given back either way: the library keeps it as long as a watch is open.
  static absl::optional<std::string> TakeName(Request* request);

  // Sets what is said of the service of that full name, and tells whoever watches it. Without
  // effect after End().
  void SetServing(const std::string& service, bool serving);
  // Says NOT_SERVING of everything from now on, to whoever watches as well, and ends the watches.
  void End();

 private:
  class WatchStream;

  void Remove(LiveStream* stream) override;

  StrangerStreams* const strangers_;  // Not owned.
  absl::Mutex mu_;
  absl::flat_hash_map<std::string, Response::ServingStatus> statuses_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<LiveStream*, std::unique_ptr<LiveStream>> watches_ ABSL_GUARDED_BY(mu_);
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_SERVER_HEALTH_SERVICE_H_
