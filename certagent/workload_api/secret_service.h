#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_SECRET_SERVICE_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_SECRET_SERVICE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "certagent/workload_api/caller_table.h"
#include "certagent/workload_api/secret_catalog.h"
#include "certagent/workload_api/stream_table.h"
#include "certagent/workload_api/workload_metrics.h"
#include "certagent/workload_api/workload_state.h"
#include "common/base/clock.h"
#include "common/telemetry/log.h"
#include "envoy/service/secret/v3/sds.grpc.pb.h"

namespace byrnie {

// Envoy's secret discovery service as gRPC serves it. A stream that is opened before there is a
// certificate, or after the last one has ended, waits for the next. Thread-safe; the pointers
// outlive it, and it outlives the server.
class SecretService final
    : public envoy::service::secret::v3::SecretDiscoveryService::CallbackService {
 public:
  using DeltaRequest = envoy::service::discovery::v3::DeltaDiscoveryRequest;
  using DeltaResponse = envoy::service::discovery::v3::DeltaDiscoveryResponse;
  using Request = envoy::service::discovery::v3::DiscoveryRequest;
  using Response = envoy::service::discovery::v3::DiscoveryResponse;

  SecretService(StreamTable* streams, const CallerTable* callers, const Clock* clock,
                WorkloadMetrics* metrics, Logger* log)
      : streams_(streams), callers_(callers), clock_(clock), metrics_(metrics), log_(log) {}

  // The caller then wakes the streams.
  void Publish(const WorkloadStatePtr& state);

  grpc::ServerBidiReactor<Request, Response>* StreamSecrets(
      grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<DeltaRequest, DeltaResponse>* DeltaSecrets(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* FetchSecrets(grpc::CallbackServerContext* context,
                                         const Request* request, Response* response) override;

 private:
  // A catalog with the end of its certificate.
  struct Offer {
    Offer(const WorkloadStatePtr& state)
        : catalog(state), not_after(state->snapshot->not_after()) {}
    const SecretCatalog catalog;
    const absl::Time not_after;
  };
  template <typename Subscription>
  class Stream;

  // Null when there is nothing to give: a certificate that has ended is none.
  std::shared_ptr<const Offer> CurrentOffer() const;
  absl::Status Fetch(const std::string& peer, const Request& request, Response* response) const;

  StreamTable* const streams_;        // Not owned.
  const CallerTable* const callers_;  // Not owned.
  const Clock* const clock_;          // Not owned.
  WorkloadMetrics* const metrics_;    // Not owned.
  Logger* const log_;                 // Not owned.
  Newest<Offer> offer_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_SECRET_SERVICE_H_
