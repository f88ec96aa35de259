#ifndef BYRNIE_CONTROLPLANE_POLICY_POLICY_FINDINGS_H_
#define BYRNIE_CONTROLPLANE_POLICY_POLICY_FINDINGS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "controlplane/policy/known_mesh.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// What is remarkable about a policy that is valid.
struct PolicyFinding {
  enum class Severity {
    kNote,     // Good to know.
    kWarning,  // Probably not what was meant.
  };
  Severity severity;
  // "rules[0].clauses[1]"; empty: the policy as a whole.
  std::string field;
  std::string message;
};

// What a policy would mean for the mesh as the registry has it.
struct PolicyReview {
  std::vector<PolicyFinding> findings;
  // Workloads it is about.
  size_t workloads = 0;

  bool has_warning() const;
};

// Says when a policy matches everybody or nobody, is about no workload, or names what the registry
// does not know. Pure. `policy` is valid.
PolicyReview ReviewPolicy(const istio::security::Authorization& policy, const KnownMesh& known);

// The part of it that is so whatever the registry has.
std::vector<PolicyFinding> ReviewPolicyForm(const istio::security::Authorization& policy);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_POLICY_FINDINGS_H_
