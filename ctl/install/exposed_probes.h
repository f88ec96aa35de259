#ifndef BYRNIE_CTL_INSTALL_EXPOSED_PROBES_H_
#define BYRNIE_CTL_INSTALL_EXPOSED_PROBES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ctl/install/cluster_api.h"

namespace byrnie {

// Services of `namespaces`, meshed ones, "shop/web (LoadBalancer, 8080)", that bring strangers to a
// port which their pods let the node into for its probes: a Service of type NodePort or
// LoadBalancer has the node translate whom it lets in to its own address, unless
// externalTrafficPolicy is Local. What a pod's proxy is told counts, and of pods that are not
// meshed yet what the injector would declare unless its configuration says otherwise.
absl::StatusOr<std::vector<std::string>> FindExposedProbes(
    ClusterApi* cluster, const std::vector<std::string>& namespaces);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_EXPOSED_PROBES_H_
