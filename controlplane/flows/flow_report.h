#ifndef BYRNIE_CONTROLPLANE_FLOWS_FLOW_REPORT_H_
#define BYRNIE_CONTROLPLANE_FLOWS_FLOW_REPORT_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "byrnie/flow/v1/flow.pb.h"
#include "controlplane/flows/reported_flow.h"

namespace byrnie {

// What a report says, checked in all its parts at the time `now`. Its times are as long before
// `now` as they are before the reporter's own, where it says that; nothing is later, whatever it
// says. InvalidArgument names the field. Pure.
absl::StatusOr<std::vector<ReportedFlow>> ParseFlowReport(const flow::v1::ReportRequest& request,
                                                          absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_FLOWS_FLOW_REPORT_H_
