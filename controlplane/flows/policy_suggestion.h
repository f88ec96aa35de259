#ifndef BYRNIE_CONTROLPLANE_FLOWS_POLICY_SUGGESTION_H_
#define BYRNIE_CONTROLPLANE_FLOWS_POLICY_SUGGESTION_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/policy/authorizer.h"
#include "controlplane/flows/policy_replay.h"
#include "controlplane/flows/workload_index.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// What suggested policies are called.
inline constexpr absl::string_view kSuggestedName = "suggested";

struct PolicySuggestion {
  // None: nobody was seen to reach the namespace.
  absl::optional<istio::security::Authorization> policy;
  ReplayScope scope;
  // Workloads of the namespace that the policy lets nobody in to, "namespace/name".
  std::vector<std::string> unreached;
};

// The least ALLOW policy for namespace `ns` under which the flows that `present` lets in still are:
// one rule for each destination identity, with its addresses, for each client the ports it was seen
// at. One policy for the whole namespace, because an ALLOW policy closes all of it to whom it does
// not name: one for each workload would, until the last is applied, keep out the clients of the
// rest. `base` is a suggestion of other flows, whose rules are taken over; its errors are
// CheckSuggestion's. Pure.
PolicySuggestion SuggestPolicy(absl::string_view ns, const std::vector<ReplayableFlow>& flows,
                               const WorkloadIndex& index, const PolicySet& present,
                               const istio::security::Authorization* base);

// Whether a policy is a suggestion for `ns`. InvalidArgument.
absl::Status CheckSuggestion(const istio::security::Authorization& policy, absl::string_view ns);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_FLOWS_POLICY_SUGGESTION_H_
