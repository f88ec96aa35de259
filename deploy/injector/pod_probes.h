#ifndef BYRNIE_DEPLOY_INJECTOR_POD_PROBES_H_
#define BYRNIE_DEPLOY_INJECTOR_POD_PROBES_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "deploy/injector/json.h"

namespace byrnie {

// Of the proxy: whether the pod is ready, for everybody.
inline constexpr uint16_t kStatusPort = 15021;

// A port of the proxy or the agent.
bool IsSidecarPort(uint16_t port);

// The port of a probe or a hook of `container` as the kubelet finds it: a number, or the name of
// one of the container's ports, or at last a number in quotes.
absl::optional<uint16_t> ResolvePort(const Json& container, const Json* port);

// Where the kubelet connects to a pod's containers: ports of their probes (HTTP, TCP, gRPC) and of
// their HTTP and TCP lifecycle hooks, by number or by the name of a container's port.
struct KubeletPorts {
  std::set<uint16_t> ports;
  // What cannot be let through, and why.
  std::vector<std::string> warnings;
};

// Of the containers of a pod's `spec`, but those named in `ours`; not the port that answers
// everybody.
KubeletPorts FindKubeletPorts(const Json& spec, const std::set<std::string>& ours);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_POD_PROBES_H_
