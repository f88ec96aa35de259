#ifndef BYRNIE_CERTAGENT_GRPC_FLOW_COLLECTOR_H_
#define BYRNIE_CERTAGENT_GRPC_FLOW_COLLECTOR_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "byrnie/flow/v1/flow.grpc.pb.h"
#include "certagent/control_plane_connector.h"
#include "certagent/flow_collector.h"
#include "certagent/grpc_unary_call.h"
#include "common/event/event_loop.h"

namespace byrnie {

// byrnie.flow.v1 of the control plane, with the agent's present certificate. Lives on the agent's
// loop.
class GrpcFlowCollector final : public FlowCollector {
 public:
  // The present identity; null: none yet.
  using IdentitySource = absl::AnyInvocable<ClientIdentityPtr()>;

  // The pointers outlive it.
  GrpcFlowCollector(EventLoop* loop, ControlPlaneConnector* connector, IdentitySource identity);

  void Report(const flow::v1::ReportRequest& request, Callback done) override;

 private:
  using Call = GrpcUnaryCall<flow::v1::ReportRequest, flow::v1::ReportResponse>;

  EventLoop* const loop_;                   // Not owned.
  ControlPlaneConnector* const connector_;  // Not owned.
  IdentitySource identity_;
  std::unique_ptr<Call> call_;  // Under way.
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_GRPC_FLOW_COLLECTOR_H_
