#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_SERVICE_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_SERVICE_H_

#include <cstddef>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "certagent/workload_api/caller_table.h"
#include "certagent/workload_api/jwt_svid_cache.h"
#include "certagent/workload_api/stream_table.h"
#include "certagent/workload_api/workload_metrics.h"
#include "certagent/workload_api/workload_state.h"
#include "common/base/clock.h"
#include "common/event/event_loop.h"
#include "spiffe/workload/workload.grpc.pb.h"

namespace byrnie {

// The SPIFFE Workload API as gRPC serves it, both profiles. Thread-safe but for what is said to be
// the loop's; the pointers outlive it, and it outlives the server.
class WorkloadService final : public SpiffeWorkloadAPI::CallbackService {
 public:
  // JWT-SVIDs being waited for.
  static constexpr size_t kMaxCalls = 256;

  WorkloadService(EventLoop* loop, JwtSvidCache* tokens, StreamTable* streams,
                  const CallerTable* callers, const Clock* clock, WorkloadMetrics* metrics)
      : loop_(loop),
        tokens_(tokens),
        streams_(streams),
        callers_(callers),
        clock_(clock),
        metrics_(metrics) {}

  // The caller then wakes the streams.
  void Publish(WorkloadStatePtr state) { state_.Set(std::move(state)); }
  // Answers the calls that wait, and all later ones, with `status`. On the loop; nothing of this is
  // used there afterwards.
  void EndCalls(const absl::Status& status);

  grpc::ServerWriteReactor<X509SVIDResponse>* FetchX509SVID(grpc::CallbackServerContext* context,
                                                            const X509SVIDRequest*) override;
  grpc::ServerWriteReactor<X509BundlesResponse>* FetchX509Bundles(
      grpc::CallbackServerContext* context, const X509BundlesRequest*) override;
  grpc::ServerUnaryReactor* FetchJWTSVID(grpc::CallbackServerContext* context,
                                         const JWTSVIDRequest* request,
                                         JWTSVIDResponse* response) override;
  grpc::ServerWriteReactor<JWTBundlesResponse>* FetchJWTBundles(
      grpc::CallbackServerContext* context, const JWTBundlesRequest*) override;
  grpc::ServerUnaryReactor* ValidateJWTSVID(grpc::CallbackServerContext* context,
                                            const ValidateJWTSVIDRequest* request,
                                            ValidateJWTSVIDResponse* response) override;

 private:
  template <typename Response>
  class Stream;
  class TokenCall;

  // InvalidArgument without the metadata that the standard wants; PermissionDenied; Unavailable
  // before the first certificate.
  absl::StatusOr<WorkloadStatePtr> Admit(const grpc::CallbackServerContext& context) const;
  template <typename Response>
  grpc::ServerWriteReactor<Response>* Open(grpc::CallbackServerContext* context,
                                           Response (*make)(const WorkloadState&),
                                           absl::Status status);
  absl::Status BeginTokenCall(const grpc::CallbackServerContext& context,
                              const JWTSVIDRequest& request, std::shared_ptr<TokenCall> call);
  absl::Status Validate(const grpc::CallbackServerContext& context,
                        const ValidateJWTSVIDRequest& request,
                        ValidateJWTSVIDResponse* response) const;

  EventLoop* const loop_;             // Not owned.
  JwtSvidCache* const tokens_;        // Not owned; the loop's.
  StreamTable* const streams_;        // Not owned.
  const CallerTable* const callers_;  // Not owned.
  const Clock* const clock_;          // Not owned.
  WorkloadMetrics* const metrics_;    // Not owned.
  Newest<WorkloadState> state_;

  absl::Mutex mu_;
  absl::Status ended_ ABSL_GUARDED_BY(mu_);
  std::set<std::shared_ptr<TokenCall>> calls_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_SERVICE_H_
