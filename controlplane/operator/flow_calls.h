#ifndef BYRNIE_CONTROLPLANE_OPERATOR_FLOW_CALLS_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_FLOW_CALLS_H_

#include <vector>

#include "absl/status/status.h"
#include "byrnie/operator/v1/flow.pb.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/flows/flow_ledger.h"
#include "controlplane/registry/registry.h"

namespace byrnie {

// The methods of the operator's API about connections that the mesh has seen, for callers who may.
// Each is as the API says, errors included. Thread-safe. The pointers outlive it.
class FlowCalls {
 public:
  FlowCalls(const FlowLedger* ledger, const Registry* registry, const AgentTable* agents)
      : ledger_(ledger), registry_(registry), agents_(agents) {}

  absl::Status ListFlows(const byrnie::operator_::v1::ListFlowsRequest& request,
                         byrnie::operator_::v1::ListFlowsResponse* response) const;
  absl::Status DiffPolicies(const byrnie::operator_::v1::DiffPoliciesRequest& request,
                            byrnie::operator_::v1::DiffPoliciesResponse* response) const;
  absl::Status SuggestPolicies(const byrnie::operator_::v1::SuggestPoliciesRequest& request,
                               byrnie::operator_::v1::SuggestPoliciesResponse* response) const;

  // All, by id, as ListFlows shows them.
  std::vector<byrnie::operator_::v1::Flow> All() const;

 private:
  const FlowLedger* const ledger_;  // Not owned.
  const Registry* const registry_;  // Not owned.
  const AgentTable* const agents_;  // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_FLOW_CALLS_H_
