#ifndef BYRNIE_CTL_MESH_CHECK_H_
#define BYRNIE_CTL_MESH_CHECK_H_

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "byrnie/operator/v1/operator.pb.h"
#include "ctl/check_result.h"
#include "ctl/fleet.h"

namespace byrnie {

// What one control plane has in force: of each entry, by kind and name, a digest of what it says.
struct RegistryContents {
  std::string control_plane;
  std::map<std::string, size_t> entries;
};

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
  // Of each that has answered, where there are several.
  std::vector<RegistryContents> contents;
  // Those whose review has warnings, and the first of them.
  std::vector<std::pair<std::string, std::string>> policy_warnings;
  // Here, when the status came.
  absl::Time now;
};

// Whether control planes have something else in force than the first: for seconds after a change
// they may.
bool ContentsDiffer(const MeshState& state);

// Looks at everything, in a fixed order. Pure.
std::vector<CheckResult> CheckMesh(const MeshState& state);

}  // namespace byrnie

#endif  // BYRNIE_CTL_MESH_CHECK_H_
