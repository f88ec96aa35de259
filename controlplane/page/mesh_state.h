#ifndef BYRNIE_CONTROLPLANE_PAGE_MESH_STATE_H_
#define BYRNIE_CONTROLPLANE_PAGE_MESH_STATE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/flow/flow_groups.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/page/trust_summary.h"

namespace byrnie {

// All that the mesh page shows of one moment.
struct MeshState {
  // Of what is listed: a page is looked at by people. What is beyond is counted.
  static constexpr size_t kMaxFlows = 500;
  static constexpr size_t kMaxAgents = 300;

  absl::Time time;
  // Whose page it is, and the others of its store, of whose agents and flows it knows nothing.
  std::string control_plane;
  std::vector<std::string> other_control_planes;
  std::string trust_domain;
  absl::Duration workload_ttl;
  size_t workloads = 0;
  size_t services = 0;
  size_t policies = 0;
  std::vector<AgentTable::Agent> agents;
  // As GroupFlows() has them.
  std::vector<FlowGroup> flows;
  TrustSummary trust;
};

// As controlplane/page/mesh.js reads it: times and durations in milliseconds. Agents whose
// certificates end first come first. Pure.
std::string ToJson(const MeshState& state);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_PAGE_MESH_STATE_H_
