#ifndef BYRNIE_CONTROLPLANE_REGISTRY_SNAPSHOT_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_SNAPSHOT_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controlplane/registry/content.h"

namespace byrnie {

// The two types of resources discovery serves.
enum class ResourceType { kAddress = 0, kAuthorization = 1 };
inline constexpr ResourceType kResourceTypes[] = {ResourceType::kAddress,
                                                  ResourceType::kAuthorization};
// "type.googleapis.com/istio.workload.Address" or "…/istio.security.Authorization".
absl::string_view ResourceTypeUrl(ResourceType type);

// One resource as it goes to agents.
struct Resource {
  // The key: a workload's uid, "namespace/hostname" of a service, "namespace/name" of a policy.
  std::string name;
  // Of the content alone: the same after a restart, different when anything changes.
  std::string version;
  // The serialized istio.workload.Address or istio.security.Authorization.
  std::string payload;
  // "network/ip" for every address.
  std::vector<std::string> aliases;
};

// All workloads, services and policies of the mesh at one moment, checked against each other.
// Immutable, thread-safe.
class RegistrySnapshot {
 public:
  using Resources = std::map<std::string, Resource, std::less<>>;

  // InvalidArgument names the entry, what is wrong, and the remedy: two entries with one key or
  // address, a reference to a service, port or policy that does not exist, a name that makes no
  // SPIFFE ID, an empty match.
  static absl::StatusOr<std::shared_ptr<const RegistrySnapshot>> Create(
      const RegistryContent& content);
  static std::shared_ptr<const RegistrySnapshot> Empty();

  const Resources& resources(ResourceType type) const {
    return resources_[static_cast<size_t>(type)];
  }
  // Null when there is none. Valid as long as the snapshot.
  const Resource* Find(ResourceType type, absl::string_view name) const;
  // All resources somebody needs who asks for `name`: the one with that key, or with the address
  // "network/ip"; a service comes with the workloads behind it. Empty when the name is unknown.
  std::vector<const Resource*> Resolve(ResourceType type, absl::string_view name) const;

  size_t workload_count() const { return workload_count_; }
  size_t service_count() const { return service_count_; }
  size_t policy_count() const { return resources(ResourceType::kAuthorization).size(); }

 private:
  RegistrySnapshot() = default;

  Resources resources_[2];
  // "network/ip" to the key of the one resource that has it.
  absl::flat_hash_map<std::string, std::string> by_address_;
  // Key of a service to the uids of its workloads.
  absl::flat_hash_map<std::string, std::vector<std::string>> endpoints_;
  size_t workload_count_ = 0;
  size_t service_count_ = 0;
};

using RegistrySnapshotPtr = std::shared_ptr<const RegistrySnapshot>;

// What changed between two snapshots, by name.
struct RegistryDiff {
  std::vector<std::string> added, changed, removed;
  bool empty() const { return added.empty() && changed.empty() && removed.empty(); }
};
RegistryDiff DiffSnapshots(ResourceType type, const RegistrySnapshot& before,
                           const RegistrySnapshot& after);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_SNAPSHOT_H_
