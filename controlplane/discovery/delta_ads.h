#ifndef BYRNIE_CONTROLPLANE_DISCOVERY_DELTA_ADS_H_
#define BYRNIE_CONTROLPLANE_DISCOVERY_DELTA_ADS_H_

#include <functional>
#include <string>

#include "common/base/clock.h"
#include "common/identity/trust_bundle.h"
#include "common/telemetry/line_budget.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/discovery/name_budget.h"
#include "controlplane/registry/registry.h"
#include "controlplane/stream/stream_set.h"
#include "envoy/service/discovery/v3/discovery.grpc.pb.h"

namespace byrnie {

// Discovery as gRPC serves it: one DeltaSubscriptions per stream, for callers with a valid
// certificate of the trust domain. Thread-safe. The pointers outlive it, and it outlives the
// server.
class DeltaAds final
    : public envoy::service::discovery::v3::AggregatedDiscoveryService::CallbackService {
 public:
  using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;
  using Response = envoy::service::discovery::v3::DeltaDiscoveryResponse;

  // `is_complete`: whether the registry has all that it is to have, thread-safe; empty: always.
  // Until then streams are refused, as Unavailable: to an agent that knew it already, what is only
  // not there yet would be gone.
  DeltaAds(std::string trust_domain, const Registry* registry, const TrustBundleSource* bundles,
           AgentTable* agents, const Clock* clock, Logger* logger, MetricRegistry* metrics,
           std::function<bool()> is_complete = nullptr);

  grpc::ServerBidiReactor<Request, Response>* DeltaAggregatedResources(
      grpc::CallbackServerContext* context) override;

  // Wake it when the registry has changed.
  StreamSet* streams() { return &streams_; }

 private:
  class Stream;
  using Reactor = grpc::ServerBidiReactor<Request, Response>;
  Reactor* Refuse(grpc::CallbackServerContext* context, const absl::Status& status);
  void LogRefused(const std::string& address, const absl::Status& status);
  // What all streams count.
  struct Counters {
    Counter* address_pushes;
    Counter* authorization_pushes;
    Counter* rejected;
    // Streams ended, or refused, because of what they hold.
    Counter* too_many_streams;
    Counter* stream_names;
    Counter* identity_names;
  };

  const std::string trust_domain_;
  const Registry* const registry_;          // Not owned.
  const TrustBundleSource* const bundles_;  // Not owned.
  const Clock* const clock_;                // Not owned.
  Logger* const logger_;                    // Not owned.
  const Counters counters_;
  LineBudget refusals_said_;
  const std::function<bool()> is_complete_;
  NameBudget names_;
  StreamSet streams_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_DISCOVERY_DELTA_ADS_H_
