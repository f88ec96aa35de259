#ifndef BYRNIE_CTL_INSTALL_NODE_CHECKS_H_
#define BYRNIE_CTL_INSTALL_NODE_CHECKS_H_

#include "ctl/check_result.h"
#include "ctl/install/preflight.h"

namespace byrnie {

// The parts of CheckCluster() that are about versions: whether the API server is new enough, and
// which sidecars install chooses by it and by the kubelets; whether meshed pods run on the nodes.
CheckResult CheckServerVersion(const ClusterFacts& facts);
CheckResult CheckNodes(const ClusterFacts& facts);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_NODE_CHECKS_H_
