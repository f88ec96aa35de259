#include "proxy/mesh_snapshot.h"

#include <string>
#include <vector>

#include "absl/algorithm/container.h"

namespace byrnie {

Decision AuthorizeInbound(const MeshSnapshot& mesh, const ConnectionFacts& facts) {
  WorkloadSelector selector;
  if (mesh.identity != nullptr) {
    const SpiffeId& own = mesh.identity->identity->id();
    selector.trust_domain = std::string(own.trust_domain());
    selector.ns = std::string(own.k8s_namespace());
  }
  const Workload* workload = mesh.routes->FindWorkload(facts.destination.ip());
  if (workload != nullptr) {
    selector.ns = workload->ns;
    selector.policies = workload->authorization_policies;
  } else if (mesh.policies != nullptr &&
             absl::c_any_of(mesh.policies->policies(), [](const Policy& policy) {
               return policy.scope == Policy::Scope::kWorkloadSelector;
             })) {
    // One of them may be a DENY policy that selects this workload.
    Decision decision;
    decision.reason = std::string(decision_reason::kNoPolicySnapshot);
    return decision;
  }
  return Authorize(mesh.policies.get(), selector, facts);
}

std::vector<std::string> Missing(const MeshSnapshot& mesh, absl::Time now) {
  std::vector<std::string> missing;
  if (mesh.identity == nullptr) {
    missing.push_back("no identity from the agent yet");
  } else {
    const absl::Status valid = mesh.identity->identity->CheckValidAt(now);
    if (!valid.ok()) missing.push_back(std::string(valid.message()));
  }
  if (mesh.policies == nullptr) missing.push_back("no policies from the agent yet");
  return missing;
}

}  // namespace byrnie
