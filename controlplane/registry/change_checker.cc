#include "controlplane/registry/change_checker.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

using istio::security::Authorization;
using istio::workload::Service;
using istio::workload::Workload;
using PutByName = absl::flat_hash_map<absl::string_view, const ListedResource*>;

template <typename... Args>
absl::Status Error(const std::string& place, const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat(place, ": ", args...));
}

absl::string_view IpOf(absl::string_view alias) { return alias.substr(alias.rfind('/') + 1); }

// What to call to have an applied one deleted.
absl::string_view DeleteCommand(ResourceKind kind) {
  switch (kind) {
    case ResourceKind::kWorkload:
      return "byrniectl workloads delete";
    case ResourceKind::kService:
      return "byrniectl services delete";
    case ResourceKind::kPolicy:
      return "byrniectl policy delete";
  }
  return "byrniectl";
}

absl::Status OfTwoSources(const Resource& ours) {
  const std::string described = Describe(ours);
  return absl::AlreadyExistsError(absl::StrCat(
      described.substr(0, described.rfind("\" ") + 1),
      " is in the registry file and was applied through the API, too; take it out of the file, or "
      "delete it with ",
      DeleteCommand(ours.kind)));
}

absl::Status TakeName(const ListedResource& entry, PutByName* taken) {
  const auto inserted = taken->emplace(entry.resource->name, &entry);
  if (inserted.second) return absl::OkStatus();
  if (inserted.first->second->resource->source != entry.resource->source) {
    return OfTwoSources(*entry.resource);
  }
  return Error(entry.Place(), "\"", entry.resource->name, "\" is the key of ",
               inserted.first->second->Place(), " already; remove one or rename it");
}

absl::flat_hash_set<uint32_t> PortsOf(const Resource& service) {
  absl::flat_hash_set<uint32_t> ports;
  const Service message = ServiceOf(service);
  for (const auto& port : message.ports()) ports.insert(port.service_port());
  return ports;
}

istio::security::Scope ScopeOf(const Resource& policy) {
  Authorization message;
  message.ParseFromString(policy.payload);
  return message.scope();
}

class Checker {
 public:
  Checker(const RegistrySnapshot& base, const RegistryChange& change)
      : base_(base), change_(change) {}

  absl::Status Run() {
    for (const ResourcePtr& resource : change_.removed) {
      removed_[Type(*resource)].insert(resource->name);
    }
    for (const ListedResource& entry : change_.put) RETURN_IF_ERROR(TakeKey(entry));
    for (const ListedResource& entry : change_.put) {
      for (const std::string& alias : entry.resource->aliases) {
        RETURN_IF_ERROR(TakeAddress(entry, alias));
      }
    }
    for (const ListedResource& entry : change_.put) {
      if (entry.resource->kind == ResourceKind::kWorkload) {
        RETURN_IF_ERROR(CheckReferences(entry.Place(), *entry.resource));
      }
    }
    return CheckDependents();
  }

 private:
  static size_t Type(const Resource& resource) {
    return static_cast<size_t>(TypeOf(resource.kind));
  }

  bool Stays(const Resource& resource) const {
    const size_t type = Type(resource);
    return !removed_[type].contains(resource.name) && !put_[type].contains(resource.name);
  }

  // The resource of a name once the change is made; null: none.
  const Resource* After(ResourceType type, absl::string_view name) const {
    const auto i = static_cast<size_t>(type);
    const auto put = put_[i].find(name);
    if (put != put_[i].end()) return put->second->resource.get();
    return removed_[i].contains(name) ? nullptr : base_.Find(type, name);
  }

  absl::Status TakeKey(const ListedResource& entry) {
    const Resource& resource = *entry.resource;
    RETURN_IF_ERROR(TakeName(entry, &put_[Type(resource)]));
    const Resource* const known = base_.Find(TypeOf(resource.kind), resource.name);
    if (known == nullptr || removed_[Type(resource)].contains(resource.name)) {
      return absl::OkStatus();
    }
    if (known->kind != resource.kind) {
      return Error(entry.Place(), "\"", resource.name, "\" is the key of ", Describe(*known),
                   "; give it another");
    }
    return known->source == resource.source ? absl::OkStatus() : OfTwoSources(resource);
  }

  absl::Status TakeAddress(const ListedResource& entry, const std::string& alias) {
    const auto inserted = addresses_.emplace(alias, &entry);
    if (!inserted.second) {
      const Resource& first = *inserted.first->second->resource;
      if (first.source != entry.resource->source) return AtOneAddress(alias, first, entry);
      return Error(entry.Place(), "address ", IpOf(alias), " belongs to ",
                   inserted.first->second->Place(),
                   " already; every address must be in the file once");
    }
    const Resource* const owner = base_.AtAddress(alias);
    if (owner == nullptr || owner->name == entry.resource->name || !Stays(*owner)) {
      return absl::OkStatus();
    }
    return AtOneAddress(alias, *owner, entry);
  }

  static absl::Status AtOneAddress(absl::string_view alias, const Resource& owner,
                                   const ListedResource& entry) {
    const std::string message =
        absl::StrCat("address ", IpOf(alias), " belongs to ", Describe(owner),
                     " already, and cannot be that of ", Describe(*entry.resource),
                     ", too; give one of them another, or delete the one that is not there any "
                     "more");
    return owner.source == entry.resource->source ? Error(entry.Place(), message)
                                                  : absl::AlreadyExistsError(message);
  }

  absl::Status CheckReferences(const std::string& place, const Resource& resource) {
    const Workload workload = WorkloadOf(resource);
    for (const std::string& key : workload.authorization_policies()) {
      const Resource* const policy = After(ResourceType::kAuthorization, key);
      if (policy == nullptr) {
        return Error(place, "authorization_policies: there is no policy \"", key,
                     "\"; add it to \"policies\", or take it out here");
      }
      if (CachedScope(*policy) != istio::security::WORKLOAD_SELECTOR) {
        return Error(place, "authorization_policies: policy \"", key,
                     "\" applies without being named; give it the scope WORKLOAD_SELECTOR, or "
                     "take it out here");
      }
    }
    for (const auto& [key, list] : workload.services()) {
      const Resource* const service = After(ResourceType::kAddress, key);
      if (service == nullptr || service->kind != ResourceKind::kService) {
        return Error(place, "services: there is no service \"", key,
                     "\" (namespace/hostname); add it to \"services\", or take it out here");
      }
      const absl::flat_hash_set<uint32_t>& ports = CachedPorts(*service);
      for (const auto& port : list.ports()) {
        if (ports.contains(port.service_port())) continue;
        return Error(place, "services: \"", key, "\" has no service_port ", port.service_port(),
                     "; add it to the service, or take it out here");
      }
    }
    return absl::OkStatus();
  }

  // Workloads that are not in the change themselves, but refer to what is.
  absl::Status CheckDependents() {
    std::vector<const Resource*> dependents;
    const auto add = [this, &dependents](const Resource& workload) {
      if (Stays(workload)) dependents.push_back(&workload);
    };
    for (const ResourcePtr& resource : change_.removed) {
      if (resource->kind == ResourceKind::kService) base_.ForEachEndpoint(resource->name, add);
      if (resource->kind == ResourceKind::kPolicy) base_.ForEachUser(resource->name, add);
    }
    for (const ListedResource& entry : change_.put) {
      const Resource& now = *entry.resource;
      const Resource* const before = base_.Find(TypeOf(now.kind), now.name);
      if (before == nullptr) continue;
      if (now.kind == ResourceKind::kService && LosesAPort(*before, now)) {
        base_.ForEachEndpoint(now.name, add);
      } else if (now.kind == ResourceKind::kPolicy && ScopeOf(*before) != ScopeOf(now)) {
        base_.ForEachUser(now.name, add);
      }
    }
    for (const Resource* workload : dependents) {
      RETURN_IF_ERROR(CheckReferences(Describe(*workload), *workload));
    }
    return absl::OkStatus();
  }

  bool LosesAPort(const Resource& before, const Resource& now) {
    const absl::flat_hash_set<uint32_t>& ports = CachedPorts(now);
    for (const uint32_t port : PortsOf(before)) {
      if (!ports.contains(port)) return true;
    }
    return false;
  }

  const absl::flat_hash_set<uint32_t>& CachedPorts(const Resource& service) {
    const auto known = ports_.find(&service);
    return known != ports_.end() ? known->second
                                 : ports_.emplace(&service, PortsOf(service)).first->second;
  }

  istio::security::Scope CachedScope(const Resource& policy) {
    const auto known = scopes_.find(&policy);
    return known != scopes_.end() ? known->second
                                  : scopes_.emplace(&policy, ScopeOf(policy)).first->second;
  }

  const RegistrySnapshot& base_;
  const RegistryChange& change_;
  // By type.
  PutByName put_[2];
  absl::flat_hash_set<absl::string_view> removed_[2];
  PutByName addresses_;
  // Of what the change has or leaves; a reference into one is used before the next is added.
  absl::flat_hash_map<const Resource*, absl::flat_hash_set<uint32_t>> ports_;
  absl::flat_hash_map<const Resource*, istio::security::Scope> scopes_;
};

}  // namespace

absl::Status CheckChange(const RegistrySnapshot& base, const RegistryChange& change) {
  return Checker(base, change).Run();
}

absl::StatusOr<RegistryChange> ChangeTo(const RegistrySnapshot& base, const ResourceList& list) {
  RegistryChange change;
  PutByName said[2];
  for (const ListedResource& entry : list.entries()) {
    const ResourceType type = TypeOf(entry.resource->kind);
    RETURN_IF_ERROR(TakeName(entry, &said[static_cast<size_t>(type)]));
    const Resource* const known = base.Find(type, entry.resource->name);
    if (known == nullptr || !known->SaysTheSameAs(*entry.resource)) change.put.push_back(entry);
  }
  for (ResourceType type : kResourceTypes) {
    for (const NamedResource& entry : base.resources(type).map()) {
      const ResourcePtr& resource = entry.resource;
      const auto again = said[static_cast<size_t>(type)].find(resource->name);
      const bool gone = again == said[static_cast<size_t>(type)].end() ||
                        again->second->resource->kind != resource->kind;
      if (resource->source == list.source() && gone) change.removed.push_back(resource);
    }
  }
  return change;
}

}  // namespace byrnie
