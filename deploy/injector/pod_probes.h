#ifndef BYRNIE_DEPLOY_INJECTOR_POD_PROBES_H_
#define BYRNIE_DEPLOY_INJECTOR_POD_PROBES_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "deploy/injector/json.h"

namespace byrnie {

// Where the kubelet connects to a pod's containers: ports of their probes (HTTP, TCP, gRPC) and of
// their HTTP and TCP lifecycle hooks, by number or by the name of a container's port.
struct KubeletPorts {
  std::set<uint16_t> ports;
  // What cannot be let through, and why.
  std::vector<std::string> warnings;
};

// Of the containers of a pod's `spec`, but those named in `ours`.
KubeletPorts FindKubeletPorts(const Json& spec, const std::set<std::string>& ours);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_POD_PROBES_H_
