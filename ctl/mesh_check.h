#ifndef BYRNIE_CTL_MESH_CHECK_H_
#define BYRNIE_CTL_MESH_CHECK_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "byrnie/operator/v1/operator.pb.h"
#include "ctl/check_result.h"
#include "ctl/fleet.h"

namespace byrnie {

// All that the checks look at, as the control planes gave it.
struct MeshState {
  // Of the first that has answered, and of all that have.
  byrnie::operator_::v1::GetStatusResponse status;
  std::vector<byrnie::operator_::v1::GetStatusResponse> statuses;
  // Control planes that were asked and have not answered.
  std::vector<MissingAnswer> missing;
  std::vector<byrnie::operator_::v1::Workload> workloads;
  std::vector<byrnie::operator_::v1::Service> services;
  std::vector<byrnie::operator_::v1::Agent> agents;
  // Those whose review has warnings, and the first of them.
  std::vector<std::pair<std::string, std::string>> policy_warnings;
  // Here, when the status came.
  absl::Time now;
};

// Looks at everything, in a fixed order. Pure.
std::vector<CheckResult> CheckMesh(const MeshState& state);

}  // namespace byrnie

#endif  // BYRNIE_CTL_MESH_CHECK_H_
