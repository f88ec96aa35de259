#ifndef BYRNIE_CONTROLPLANE_POLICY_KNOWN_MESH_H_
#define BYRNIE_CONTROLPLANE_POLICY_KNOWN_MESH_H_

#include <cstddef>
#include <set>
#include <string>

#include "controlplane/policy/policy_probe.h"
#include "controlplane/registry/snapshot.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// What the registry has of what one policy speaks of. A value; of a large mesh it has tens of
// megabytes.
struct KnownMesh {
  ProbeGround ground;
  std::set<std::string> namespaces;
  // Those that the policy is about.
  size_t workloads_concerned = 0;
};

KnownMesh LookAround(const istio::security::Authorization& policy,
                     const RegistrySnapshot& registry);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_KNOWN_MESH_H_
