#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_API_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_API_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "certagent/workload_api/caller_table.h"
#include "certagent/workload_api/jwt_issuer.h"
#include "certagent/workload_api/jwt_svid_cache.h"
#include "certagent/workload_api/secret_service.h"
#include "certagent/workload_api/stream_table.h"
#include "certagent/workload_api/workload_listener.h"
#include "certagent/workload_api/workload_metrics.h"
#include "certagent/workload_api/workload_service.h"
#include "certagent/workload_api/workload_state.h"
#include "common/base/clock.h"
#include "common/base/places.h"
#include "common/crypto/private_key.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "grpcpp/server.h"

namespace byrnie {

// The workload's own APIs on one Unix socket: the SPIFFE Workload API, Envoy's secret discovery
// service, and server reflection. The one way in which a private key leaves the agent. Lives on the
// agent's loop; gRPC serves on its own threads, from immutable states.
class WorkloadApi {
 public:
  // Open streams, of all callers together.
  static constexpr size_t kMaxStreams = 512;
  // The same of reflection, which needs no certificate and no permission.
  static constexpr size_t kMaxReflections = 64;

  // Serves at once, with nothing to tell. Errors as UnixListener::Create. Pointers outlive it.
  static absl::StatusOr<std::unique_ptr<WorkloadApi>> Create(EventLoop* loop,
                                                             WorkloadListener::Options options,
                                                             JwtIssuer* issuer, const Clock* clock,
                                                             WorkloadMetrics* metrics, Logger* log);
  WorkloadApi(const WorkloadApi&) = delete;
  WorkloadApi& operator=(const WorkloadApi&) = delete;
  // Ends all streams and calls with Unavailable.
  ~WorkloadApi();

  // A new certificate, or new bundles for the present one, with the key of the leaf.
  void Publish(IdentitySnapshotPtr snapshot, std::shared_ptr<const PrivateKey> key);

 private:
  WorkloadApi(EventLoop* loop, JwtIssuer* issuer, const Clock* clock, WorkloadMetrics* metrics,
              Logger* log);
  absl::Status StartServer();

  CallerTable callers_;
  StreamTable streams_;
  JwtSvidCache tokens_;
  WorkloadService workload_;
  SecretService secrets_;
  Places reflections_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<WorkloadListener> listener_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_API_H_
