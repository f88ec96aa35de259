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

absl::Status OfTwoSources(const Resource& ours, const Resource& theirs) {
  const std::string described = Describe(ours);
  const std::string named = described.substr(0, described.rfind("\" ") + 1);
  if (theirs.source == RegistrySource::kKubernetes) {
    return absl::AlreadyExistsError(
        absl::StrCat(named, " is an object of the cluster; change it with kubectl"));
  }
  return absl::AlreadyExistsError(absl::StrCat(
      named,
      " is in the registry file and was applied through the API, too; take it out of the file, or "
      "delete it with ",
      DeleteCommand(ours.kind)));
}

absl::Status TakeName(const ListedResource& entry, PutByName* taken) {
  const auto inserted = taken->emplace(entry.resource->name, &entry);
  if (inserted.second) return absl::OkStatus();
  if (inserted.first->second->resource->source != entry.resource->source) {
    return OfTwoSources(*entry.resource, *inserted.first->second->resource);
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
      RETURN_IF_ERROR(TakeAddresses(entry));
    }
    for (const ListedResource& entry : change_.put) {
      if (entry.resource->kind == ResourceKind::kWorkload) {
        RETURN_IF_ERROR(CheckReferences(entry.Place(), *entry.resource));
      }
    }
    for (const Resource* workload : Dependents(change_.removed)) {
      RETURN_IF_ERROR(CheckReferences(Describe(*workload), *workload));
    }
    return absl::OkStatus();
  }

  // Takes what cannot be made out of `fitted`, which is a copy of the change.
  std::vector<StoredTrouble> Fit(RegistryChange* fitted) {
    fitting_ = true;
    std::vector<StoredTrouble> troubles;
    for (const ResourcePtr& resource : change_.removed) {
      removed_[Type(*resource)].insert(resource->name);
    }
    const auto leave_out = [&](const ListedResource& entry, const absl::Status& why) {
      const ResourcePtr& resource = entry.resource;
      troubles.push_back({resource, why, /*left_out=*/true});
      // What it said before is not what it says now.
      ResourcePtr known = base_.Get(TypeOf(resource->kind), resource->name);
      if (known == nullptr || known->kind != resource->kind || known->source != resource->source ||
          removed_[Type(*resource)].contains(known->name)) {
        return;
      }
      fitted->removed.push_back(known);
      // The text lives as long as the base.
      removed_[Type(*known)].insert(known->name);
    };
    std::vector<const ListedResource*> taken;
    for (const ListedResource& entry : change_.put) {
      const absl::Status key = TakeKey(entry);
      key.ok() ? taken.push_back(&entry) : leave_out(entry, key);
    }
    fitted->put.clear();
    for (const ListedResource* entry : taken) {
      const absl::Status addresses = TakeAddresses(*entry);
      if (addresses.ok()) {
        fitted->put.push_back(*entry);
      } else {
        put_[Type(*entry->resource)].erase(entry->resource->name);
        leave_out(*entry, addresses);
      }
    }
    for (const ListedResource& entry : fitted->put) {
      if (entry.resource->kind != ResourceKind::kWorkload) continue;
      TellReferences(entry.Place(), entry.resource, &troubles);
    }
    for (const Resource* workload : Dependents(fitted->removed)) {
      TellReferences(Describe(*workload), base_.Get(ResourceType::kAddress, workload->name),
                     &troubles);
    }
    return troubles;
  }

 private:
  static size_t Type(const Resource& resource) {
    return static_cast<size_t>(TypeOf(resource.kind));
  }

  // Whoever may make objects in a namespace of the cluster must not be able to take what an
  // operator has applied out of force by its name.
  static bool TakesOver(const Resource& stored, const Resource& known) {
    return stored.kind == ResourceKind::kPolicy && stored.source == RegistrySource::kApi &&
           known.source == RegistrySource::kKubernetes;
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
    const Resource* known = base_.Find(TypeOf(resource.kind), resource.name);
    if (removed_[Type(resource)].contains(resource.name)) known = nullptr;
    if (known != nullptr && known->kind != resource.kind) {
      return Error(entry.Place(), "\"", resource.name, "\" is the key of ", Describe(*known),
                   "; give it another");
    }
    if (known != nullptr && known->source != resource.source &&
        !(fitting_ && TakesOver(resource, *known))) {
      return OfTwoSources(resource, *known);
    }
    return TakeName(entry, &put_[Type(resource)]);
  }

  // All or none.
  absl::Status TakeAddresses(const ListedResource& entry) {
    for (const std::string& alias : entry.resource->aliases) {
      const absl::Status taken = TakeAddress(entry, alias);
      if (taken.ok()) continue;
      for (const std::string& other : entry.resource->aliases) {
        const auto found = addresses_.find(other);
        if (found != addresses_.end() && found->second == &entry) addresses_.erase(found);
      }
      return taken;
    }
    return absl::OkStatus();
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
    if (resource.stand_in) return absl::OkStatus();  // It refers to what is not there on purpose.
    const Workload workload = WorkloadOf(resource);
    for (const std::string& key : workload.authorization_policies()) {
      const Resource* const policy = After(ResourceType::kAuthorization, key);
      if (policy == nullptr) {
        return Error(place, "authorization_policies: there is no policy \"", key, "\"; ",
                     AddIt(resource, "policies"), ", or take it out here");
      }
      // What selects pods of a cluster may have come to apply to all of them a moment ago.
      if (CachedScope(*policy) != istio::security::WORKLOAD_SELECTOR &&
          resource.source != RegistrySource::kKubernetes) {
        return Error(place, "authorization_policies: policy \"", key,
                     "\" applies without being named; give it the scope WORKLOAD_SELECTOR, or "
                     "take it out here");
      }
    }
    for (const auto& [key, list] : workload.services()) {
      const Resource* const service = After(ResourceType::kAddress, key);
      if (service == nullptr || service->kind != ResourceKind::kService) {
        return Error(place, "services: there is no service \"", key, "\" (namespace/hostname); ",
                     AddIt(resource, "services"), ", or take it out here");
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

  void TellReferences(const std::string& place, const ResourcePtr& workload,
                      std::vector<StoredTrouble>* troubles) {
    const absl::Status checked = CheckReferences(place, *workload);
    if (!checked.ok()) troubles->push_back({workload, checked, /*left_out=*/false});
  }

  // Where what an entry refers to is to be.
  static std::string AddIt(const Resource& resource, absl::string_view member) {
    if (resource.source == RegistrySource::kFile) return absl::StrCat("add it to \"", member, "\"");
    return "apply it";
  }

  // Workloads that are not in the change themselves, but refer to what is.
  std::vector<const Resource*> Dependents(const std::vector<ResourcePtr>& removed) {
    std::vector<const Resource*> dependents;
    const auto add = [this, &dependents](const Resource& workload) {
      if (Stays(workload)) dependents.push_back(&workload);
    };
    for (const ResourcePtr& resource : removed) {
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
    return dependents;
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
  bool fitting_ = false;
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

std::vector<StoredTrouble> FitChange(const RegistrySnapshot& base, RegistryChange* change) {
  const RegistryChange whole = *change;
  return Checker(base, whole).Fit(change);
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
