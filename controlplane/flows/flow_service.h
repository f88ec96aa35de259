#ifndef BYRNIE_CONTROLPLANE_FLOWS_FLOW_SERVICE_H_
#define BYRNIE_CONTROLPLANE_FLOWS_FLOW_SERVICE_H_

#include <string>

#include "absl/status/status.h"
#include "byrnie/flow/v1/flow.grpc.pb.h"
#include "common/base/clock.h"
#include "common/base/thread_pool.h"
#include "common/telemetry/line_budget.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/flows/flow_ledger.h"
#include "controlplane/registry/registry.h"

namespace byrnie {

// byrnie.flow.v1 as gRPC serves it. Who reports is who the connection's certificate proves; an edge
// to an address that the registry gives to somebody else is left out and counted. Calls are worked
// on by `threads`. Thread-safe; the pointers outlive it, and it outlives the server.
class FlowService final : public byrnie::flow::v1::FlowCollector::CallbackService {
 public:
  FlowService(FlowLedger* ledger, const TrustBundleSource* bundles, const Registry* registry,
              std::string trust_domain, ThreadPool* threads, const Clock* clock, Logger* logger,
              MetricRegistry* metrics);

  grpc::ServerUnaryReactor* Report(grpc::CallbackServerContext* context,
                                   const byrnie::flow::v1::ReportRequest* request,
                                   byrnie::flow::v1::ReportResponse* response) override;

 private:
  absl::Status TryReport(const grpc::ServerContextBase& context,
                         const byrnie::flow::v1::ReportRequest& request,
                         byrnie::flow::v1::ReportResponse* response);

  void NoteRefused(const absl::Status& status, const std::string& address);

  FlowLedger* const ledger_;                // Not owned.
  const TrustBundleSource* const bundles_;  // Not owned.
  const Registry* const registry_;          // Not owned.
  const std::string trust_domain_;
  ThreadPool* const threads_;  // Not owned.
  const Clock* const clock_;   // Not owned.
  Logger* const logger_;       // Not owned.
  Counter* const accepted_;
  Counter* const refused_;
  Counter* const misplaced_;
  LineBudget refusals_said_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_FLOWS_FLOW_SERVICE_H_
