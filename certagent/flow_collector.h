#ifndef BYRNIE_CERTAGENT_FLOW_COLLECTOR_H_
#define BYRNIE_CERTAGENT_FLOW_COLLECTOR_H_

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "byrnie/flow/v1/flow.pb.h"

namespace byrnie {

// Whoever takes reports of what was seen of connections. Lives on the agent's loop.
class FlowCollector {
 public:
  using Callback = absl::AnyInvocable<void(absl::StatusOr<flow::v1::ReportResponse>)>;

  virtual ~FlowCollector() = default;
  // `done` runs once, in a later turn, unless another report follows or this is destroyed before.
  // FailedPrecondition: there is no certificate yet to report with.
  virtual void Report(const flow::v1::ReportRequest& request, Callback done) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_FLOW_COLLECTOR_H_
