#ifndef BYRNIE_CONTROLPLANE_POLICY_KNOWN_MESH_H_
#define BYRNIE_CONTROLPLANE_POLICY_KNOWN_MESH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "controlplane/policy/address_set.h"
#include "controlplane/policy/known_texts.h"
#include "controlplane/registry/snapshot.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// What a registry has of what policies speak of, for any of them. A value; of a large mesh it has
// megabytes, and takes a fifth of a second to make.
struct KnownMesh {
  // Where a port of a service leads to.
  struct Target {
    std::string service;  // "namespace/hostname".
    uint32_t port = 0;
  };
  // Workloads that a policy may be about.
  struct Area {
    size_t workloads = 0;
    // Of services, as those workloads serve them: what connections to them come to, and, by the
    // port of the service, what clients connect to. Of several services the first by name.
    std::set<uint32_t> target_ports;
    std::map<uint32_t, Target> service_ports;
    AddressSet addresses;
  };
  using Areas = std::map<std::string, Area, std::less<>>;

  std::set<std::string> trust_domains;
  // As policies name them.
  KnownTexts principals, namespaces;
  Area whole;
  // By the key of a policy, of those who list it.
  Areas by_namespace, by_policy;
  Area nobody;

  // The workloads that a policy is about.
  const Area& AreaOf(const istio::security::Authorization& policy) const;
};

KnownMesh LookAround(const RegistrySnapshot& registry);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_KNOWN_MESH_H_
