#ifndef BYRNIE_CERTAGENT_FLOW_MESSAGES_H_
#define BYRNIE_CERTAGENT_FLOW_MESSAGES_H_

#include "absl/status/statusor.h"
#include "byrnie/flow/v1/flow.pb.h"
#include "byrnie/link/v1/link.pb.h"

namespace byrnie {

// A proxy's report as the control plane takes it. InvalidArgument names what a proxy does not send.
// Pure.
absl::StatusOr<flow::v1::ReportRequest> ToReportRequest(const link::v1::FlowReport& report);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_FLOW_MESSAGES_H_
