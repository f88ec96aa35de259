#ifndef BYRNIE_CONTROLPLANE_POLICY_KNOWN_MESH_H_
#define BYRNIE_CONTROLPLANE_POLICY_KNOWN_MESH_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "controlplane/policy/policy_probe.h"
#include "controlplane/registry/snapshot.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// What the registry has of what one policy speaks of. A value; of a large mesh it has tens of
// megabytes.
struct KnownMesh {
  // Where a port of a service leads to.
  struct Target {
    std::string service;  // "namespace/hostname".
    uint32_t port = 0;
  };

  ProbeGround ground;
  std::set<std::string> namespaces;
  // Those that the policy is about.
  size_t workloads_concerned = 0;
  // Of services, as those workloads serve them: what connections to them come to, and, by the port
  // of the service, what clients connect to. Of several services the first by name.
  std::set<uint32_t> target_ports;
  std::map<uint32_t, Target> service_ports;
};

KnownMesh LookAround(const istio::security::Authorization& policy,
                     const RegistrySnapshot& registry);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_KNOWN_MESH_H_
