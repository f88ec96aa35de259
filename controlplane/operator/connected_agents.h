#ifndef BYRNIE_CONTROLPLANE_OPERATOR_CONNECTED_AGENTS_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_CONNECTED_AGENTS_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/types/optional.h"
#include "common/net/socket_address.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/registry/snapshot.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {

// Which workloads have an agent that is connected, at one moment. Many workloads share an identity,
// the pods of a Deployment above all: an agent speaks for the workload it connects from. One whose
// address is no workload's, as behind an address translation, speaks for some workload of its
// identity, nobody knows for which.
class ConnectedAgents {
 public:
  // `agents` are those that went away, too; `registry` outlives it.
  ConnectedAgents(const std::vector<AgentTable::Agent>& agents, const RegistrySnapshot* registry);

  // Whether an agent speaks for it, or may.
  bool SpeakFor(const istio::workload::Workload& workload);

 private:
  bool IsOfAWorkload(const IpAddress& address);
  bool AnyElsewhere(const std::string& id);

  const RegistrySnapshot& registry_;
  // By "SPIFFE-ID IP": whether one is connected from there, or was.
  absl::flat_hash_map<std::string, bool> at_;
  // Where those of an identity are connected from.
  absl::flat_hash_map<std::string, std::vector<IpAddress>> hosts_;
  // What was found out already.
  absl::flat_hash_map<std::string, bool> elsewhere_;
  absl::optional<absl::flat_hash_set<std::string>> addresses_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_CONNECTED_AGENTS_H_
