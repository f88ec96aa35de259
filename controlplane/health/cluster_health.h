#ifndef BYRNIE_CONTROLPLANE_HEALTH_CLUSTER_HEALTH_H_
#define BYRNIE_CONTROLPLANE_HEALTH_CLUSTER_HEALTH_H_

#include <string>
#include <vector>

#include "absl/types/optional.h"

namespace byrnie {

// What is judged of a Kubernetes cluster. A value; one as it is made is that of a control plane
// without any.
struct ClusterHealth {
  // Pods that should be meshed and are not. Absent: the registry is no cluster's.
  absl::optional<std::vector<std::string>> unmeshed_pods;
  // Pods of meshed namespaces that are not, because somebody has opted them out. Likewise.
  absl::optional<std::vector<std::string>> opted_out_pods;
  // AccessPolicies that are refused, and why each is. Likewise.
  absl::optional<std::vector<std::string>> refused_policies;
  // The MutatingWebhookConfiguration that another installation keeps, too; empty: none. Absent:
  // there is no injection webhook.
  absl::optional<std::string> contested_webhook;
  // The namespace whose roots, of another mesh, keep ours from being published; empty: none does.
  // Absent: nothing is published to a cluster.
  absl::optional<std::string> trust_refused_by;
  // Namespaces where another mesh's roots were overwritten lately.
  std::vector<std::string> trust_overwritten;
  // TrustPublisher::unwritten().
  std::vector<std::string> trust_unwritten;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_HEALTH_CLUSTER_HEALTH_H_
