#ifndef BYRNIE_CONTROLPLANE_REGISTRY_RESOURCE_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_RESOURCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "controlplane/registry/content.h"

namespace byrnie {

// The two types of resources discovery serves.
enum class ResourceType { kAddress = 0, kAuthorization = 1 };
inline constexpr ResourceType kResourceTypes[] = {ResourceType::kAddress,
                                                  ResourceType::kAuthorization};
// "type.googleapis.com/istio.workload.Address" or "…/istio.security.Authorization".
absl::string_view ResourceTypeUrl(ResourceType type);

enum class ResourceKind : uint8_t { kWorkload, kService, kPolicy };
ResourceType TypeOf(ResourceKind kind);

// One resource as it goes to agents. There may be a hundred thousand: what can be read from the
// payload is not kept beside it.
struct Resource {
  // The key: a workload's uid, "namespace/hostname" of a service, "namespace/name" of a policy.
  std::string name;
  // Of the content alone: the same after a restart, different when anything changes.
  std::string version;
  // The serialized istio.workload.Address or istio.security.Authorization.
  std::string payload;
  // "network/ip" for every address.
  std::vector<std::string> aliases;
  ResourceKind kind = ResourceKind::kWorkload;
  RegistrySource source = RegistrySource::kFile;
  // What it stands for cannot be read: an agent that has something of this name from before keeps
  // that, unless it is itself a stand-in (IsStandInVersion), and is sent this only where it has
  // nothing. A stand-in for a policy denies what that may deny; one for a workload or service is
  // where that is, and nobody gets through to it.
  bool stand_in = false;

  // Of the same source, and nothing is different.
  bool SaysTheSameAs(const Resource& other) const {
    return source == other.source && kind == other.kind && payload == other.payload &&
           stand_in == other.stand_in;
  }
};
using ResourcePtr = std::shared_ptr<const Resource>;

// What versions of stand-ins begin with, so that agents who come back with one are told apart from
// those who have the policy itself.
inline constexpr char kStandInVersionPrefix[] = "stand-in-";
bool IsStandInVersion(absl::string_view version);

ResourcePtr MakeResource(RegistrySource source, const istio::workload::Workload& workload);
ResourcePtr MakeResource(RegistrySource source, const istio::workload::Service& service);
ResourcePtr MakeResource(RegistrySource source, const istio::security::Authorization& policy);

// What a payload holds; empty for a resource of another kind.
istio::workload::Workload WorkloadOf(const Resource& resource);
istio::workload::Service ServiceOf(const Resource& resource);

// For messages: `workload "static//pod/demo/a" of the registry file`.
std::string Describe(const Resource& resource);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_RESOURCE_H_
