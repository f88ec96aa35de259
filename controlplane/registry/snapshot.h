#ifndef BYRNIE_CONTROLPLANE_REGISTRY_SNAPSHOT_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_SNAPSHOT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controlplane/registry/content.h"
#include "controlplane/registry/registry_change.h"
#include "controlplane/registry/resource.h"
#include "controlplane/registry/resource_map.h"

namespace byrnie {

// All workloads, services and policies of the mesh at one moment, checked against each other.
// Immutable, thread-safe. Snapshots share what is the same in them: the next one costs what
// changes.
class RegistrySnapshot {
 public:
  using Ptr = std::shared_ptr<const RegistrySnapshot>;
  using Resources = ResourceMap;

  // InvalidArgument names the entry, what is wrong, and the remedy: as ResourceList::Add and
  // CheckChange.
  static absl::StatusOr<Ptr> Create(const RegistryContent& content);
  static Ptr Empty();

  // This one with a change that CheckChange() has found good.
  Ptr With(const RegistryChange& change) const;

  const Resources& resources(ResourceType type) const {
    return resources_[static_cast<size_t>(type)];
  }
  // Null when there is none. Valid as long as the snapshot.
  const Resource* Find(ResourceType type, absl::string_view name) const;
  // The same, to be kept.
  ResourcePtr Get(ResourceType type, absl::string_view name) const;
  // The one with the address "network/ip"; null when there is none.
  const Resource* AtAddress(absl::string_view alias) const;
  // All resources somebody needs who asks for `name`: the one with that key, or with the address
  // "network/ip"; a service comes with the workloads behind it. Empty when the name is unknown.
  std::vector<const Resource*> Resolve(ResourceType type, absl::string_view name) const;
  // The workloads behind a service, and those that name a policy.
  void ForEachEndpoint(absl::string_view service,
                       absl::FunctionRef<void(const Resource& workload)> tell) const;
  void ForEachUser(absl::string_view policy,
                   absl::FunctionRef<void(const Resource& workload)> tell) const;

  size_t workload_count() const { return workload_count_; }
  size_t service_count() const { return service_count_; }
  // Something is somewhere, and nobody knows where: a stand-in without addresses. Of no address can
  // it be said that it is outside the mesh.
  bool HasUnplaced() const { return unplaced_count_ > 0; }
  size_t policy_count() const { return resources(ResourceType::kAuthorization).size(); }

 private:
  friend void DiffAddresses(const RegistrySnapshot&, const RegistrySnapshot&,
                            absl::FunctionRef<void(absl::string_view)>);
  friend void DiffEndpoints(const RegistrySnapshot&, const RegistrySnapshot&,
                            absl::FunctionRef<void(absl::string_view, const Resource&)>);

  RegistrySnapshot() = default;
  RegistrySnapshot(const RegistrySnapshot&) = default;

  Resources resources_[2];
  // By "network/ip".
  ResourceIndex by_address_;
  // Workloads by "service\0uid" and "policy\0uid".
  ResourceIndex endpoints_, users_;
  size_t workload_count_ = 0;
  size_t service_count_ = 0;
  size_t unplaced_count_ = 0;
};

using RegistrySnapshotPtr = RegistrySnapshot::Ptr;

// What is different between two snapshots costs what is different to find.

// Resources, by name, above `above`, until `tell` says false; null: not there.
void DiffResources(ResourceType type, const RegistrySnapshot& before, const RegistrySnapshot& after,
                   absl::string_view above,
                   absl::FunctionRef<bool(const Resource* old_one, const Resource* new_one)> tell);
// Addresses, "network/ip", that have come, gone, or are another resource's.
void DiffAddresses(const RegistrySnapshot& before, const RegistrySnapshot& after,
                   absl::FunctionRef<void(absl::string_view alias)> tell);
// Workloads behind a service that are new there or have changed.
void DiffEndpoints(const RegistrySnapshot& before, const RegistrySnapshot& after,
                   absl::FunctionRef<void(absl::string_view service, const Resource&)> tell);

// What changed between two snapshots, by name.
struct RegistryDiff {
  std::vector<std::string> added, changed, removed;
  bool empty() const { return added.empty() && changed.empty() && removed.empty(); }
};
RegistryDiff DiffSnapshots(ResourceType type, const RegistrySnapshot& before,
                           const RegistrySnapshot& after);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_SNAPSHOT_H_
