#include "controlplane/registry/snapshot.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "controlplane/registry/change_checker.h"

namespace byrnie {
namespace {

// Neither keys of services nor of policies have one.
constexpr absl::string_view kSeparator("\0", 1);

std::string UnderKey(absl::string_view key, const Resource& workload) {
  return absl::StrCat(key, kSeparator, workload.name);
}

// Calls `tell` for what is under `key`.
void ForEachUnder(const ResourceIndex& index, absl::string_view key,
                  absl::FunctionRef<void(const Resource&)> tell) {
  const std::string prefix = absl::StrCat(key, kSeparator);
  for (auto it = index.LowerBound(prefix); it != index.end() && absl::StartsWith(it->key(), prefix);
       ++it) {
    tell(*it->resource);
  }
}

// What is to become different in an index.
class IndexChanges {
 public:
  void Remove(std::string text) { changes_.push_back({std::move(text), absl::nullopt}); }
  void Put(const std::string& text, const ResourcePtr& resource) {
    changes_.push_back({text, IndexedResource{text, resource}});
  }
  void ApplyTo(ResourceIndex* index) {
    if (!changes_.empty()) *index = index->With(std::move(changes_));
  }

 private:
  std::vector<ResourceIndex::Change> changes_;
};

}  // namespace

absl::StatusOr<RegistrySnapshotPtr> RegistrySnapshot::Create(const RegistryContent& content) {
  const Ptr empty = Empty();
  ASSIGN_OR_RETURN(ResourceList list, ResourceList::Create(RegistrySource::kFile, content));
  ASSIGN_OR_RETURN(RegistryChange change, ChangeTo(*empty, list));
  RETURN_IF_ERROR(CheckChange(*empty, change));
  return empty->With(change);
}

RegistrySnapshotPtr RegistrySnapshot::Empty() {
  return RegistrySnapshotPtr(absl::WrapUnique(new RegistrySnapshot()));
}

RegistrySnapshotPtr RegistrySnapshot::With(const RegistryChange& change) const {
  auto next = absl::WrapUnique(new RegistrySnapshot(*this));
  std::vector<SharedMap<NamedResource>::Change> resources[2];
  IndexChanges addresses, endpoints, users;
  const auto count = [&next](const Resource& resource, size_t by) {
    if (resource.kind == ResourceKind::kWorkload) next->workload_count_ += by;
    if (resource.kind == ResourceKind::kService) next->service_count_ += by;
    const bool somewhere = TypeOf(resource.kind) == ResourceType::kAddress;
    if (somewhere && resource.stand_in && resource.aliases.empty()) next->unplaced_count_ += by;
  };
  const auto take_out = [&](const Resource& resource) {
    count(resource, static_cast<size_t>(-1));
    for (const std::string& alias : resource.aliases) addresses.Remove(alias);
    if (resource.kind != ResourceKind::kWorkload) return;
    const istio::workload::Workload workload = WorkloadOf(resource);
    for (const auto& service : workload.services()) {
      endpoints.Remove(UnderKey(service.first, resource));
    }
    for (const std::string& policy : workload.authorization_policies()) {
      users.Remove(UnderKey(policy, resource));
    }
  };
  const auto put_in = [&](const ResourcePtr& resource) {
    count(*resource, 1);
    for (const std::string& alias : resource->aliases) addresses.Put(alias, resource);
    if (resource->kind != ResourceKind::kWorkload) return;
    const istio::workload::Workload workload = WorkloadOf(*resource);
    for (const auto& service : workload.services()) {
      endpoints.Put(UnderKey(service.first, *resource), resource);
    }
    for (const std::string& policy : workload.authorization_policies()) {
      users.Put(UnderKey(policy, *resource), resource);
    }
  };

  // What goes before what comes: of two changes of a text in an index the later one counts.
  for (const ResourcePtr& resource : change.removed) {
    resources[static_cast<size_t>(TypeOf(resource->kind))].push_back(
        {resource->name, absl::nullopt});
    take_out(*resource);
  }
  for (const ListedResource& entry : change.put) {
    const Resource* const old = Find(TypeOf(entry.resource->kind), entry.resource->name);
    // One of another kind is among what is removed.
    if (old != nullptr && old->kind == entry.resource->kind) take_out(*old);
  }
  for (const ListedResource& entry : change.put) {
    resources[static_cast<size_t>(TypeOf(entry.resource->kind))].push_back(
        {entry.resource->name, NamedResource{entry.resource}});
    put_in(entry.resource);
  }
  for (ResourceType type : kResourceTypes) {
    const auto i = static_cast<size_t>(type);
    if (resources[i].empty()) continue;
    next->resources_[i] = ResourceMap(resources_[i].map().With(std::move(resources[i])));
  }
  addresses.ApplyTo(&next->by_address_);
  endpoints.ApplyTo(&next->endpoints_);
  users.ApplyTo(&next->users_);
  return Ptr(std::move(next));
}

const Resource* RegistrySnapshot::Find(ResourceType type, absl::string_view name) const {
  const NamedResource* const found = resources(type).map().Find(name);
  return found == nullptr ? nullptr : found->resource.get();
}

ResourcePtr RegistrySnapshot::Get(ResourceType type, absl::string_view name) const {
  const NamedResource* const found = resources(type).map().Find(name);
  return found == nullptr ? nullptr : found->resource;
}

const Resource* RegistrySnapshot::AtAddress(absl::string_view alias) const {
  const IndexedResource* const found = by_address_.Find(alias);
  return found == nullptr ? nullptr : found->resource.get();
}

std::vector<const Resource*> RegistrySnapshot::Resolve(ResourceType type,
                                                       absl::string_view name) const {
  std::vector<const Resource*> found;
  const Resource* resource = Find(type, name);
  if (resource == nullptr && type == ResourceType::kAddress) resource = AtAddress(name);
  if (resource == nullptr) return found;
  found.push_back(resource);
  if (resource->kind == ResourceKind::kService) {
    ForEachEndpoint(resource->name,
                    [&found](const Resource& workload) { found.push_back(&workload); });
  }
  return found;
}

void RegistrySnapshot::ForEachEndpoint(absl::string_view service,
                                       absl::FunctionRef<void(const Resource&)> tell) const {
  ForEachUnder(endpoints_, service, tell);
}

void RegistrySnapshot::ForEachUser(absl::string_view policy,
                                   absl::FunctionRef<void(const Resource&)> tell) const {
  ForEachUnder(users_, policy, tell);
}

void DiffResources(ResourceType type, const RegistrySnapshot& before, const RegistrySnapshot& after,
                   absl::string_view above,
                   absl::FunctionRef<bool(const Resource*, const Resource*)> tell) {
  SharedMap<NamedResource>::Diff(
      before.resources(type).map(), after.resources(type).map(), above,
      [&tell](const NamedResource* old_one, const NamedResource* new_one) {
        return tell(old_one == nullptr ? nullptr : old_one->resource.get(),
                    new_one == nullptr ? nullptr : new_one->resource.get());
      });
}

void DiffAddresses(const RegistrySnapshot& before, const RegistrySnapshot& after,
                   absl::FunctionRef<void(absl::string_view alias)> tell) {
  ResourceIndex::Diff(before.by_address_, after.by_address_, "",
                      [&tell](const IndexedResource* a, const IndexedResource* b) {
                        const bool moved =
                            a == nullptr || b == nullptr || a->resource->name != b->resource->name;
                        if (moved) tell((a == nullptr ? b : a)->key());
                        return true;
                      });
}

void DiffEndpoints(const RegistrySnapshot& before, const RegistrySnapshot& after,
                   absl::FunctionRef<void(absl::string_view service, const Resource&)> tell) {
  ResourceIndex::Diff(before.endpoints_, after.endpoints_, "",
                      [&tell](const IndexedResource*, const IndexedResource* b) {
                        if (b != nullptr) {
                          tell(b->key().substr(0, b->key().find(kSeparator)), *b->resource);
                        }
                        return true;
                      });
}

RegistryDiff DiffSnapshots(ResourceType type, const RegistrySnapshot& before,
                           const RegistrySnapshot& after) {
  RegistryDiff diff;
  DiffResources(type, before, after, "", [&diff](const Resource* a, const Resource* b) {
    if (a == nullptr) {
      diff.added.push_back(b->name);
    } else if (b == nullptr) {
      diff.removed.push_back(a->name);
    } else if (a->version != b->version) {
      diff.changed.push_back(b->name);
    }
    return true;
  });
  return diff;
}

}  // namespace byrnie
