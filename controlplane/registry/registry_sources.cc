#include "controlplane/registry/registry_sources.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "controlplane/registry/snapshot.h"

namespace byrnie {
namespace {

// What is removed has to be in force. What is not was left out, and is forgotten.
void Forget(const RegistrySnapshot& base, RegistryChange* change) {
  std::vector<ResourcePtr>& removed = change->removed;
  const auto left_out = [&base](const ResourcePtr& resource) {
    const Resource* const known = base.Find(TypeOf(resource->kind), resource->name);
    return known == nullptr || known->source != resource->source || known->kind != resource->kind;
  };
  removed.erase(std::remove_if(removed.begin(), removed.end(), left_out), removed.end());
}

}  // namespace

bool RegistrySources::Keep(ResourceList* list, const std::function<absl::Status()>& commit,
                           absl::Status* status) {
  absl::MutexLock lock(&mu_);
  if (!holding_) return false;
  *status = commit();
  if (!status->ok()) return true;
  const Source source = list->source();
  held_.insert_or_assign(source, std::move(*list));
  return true;
}

absl::Status RegistrySources::Set(Source source, const RegistryContent& content,
                                  const std::function<absl::Status()>& commit) {
  ASSIGN_OR_RETURN(ResourceList list, ResourceList::Create(source, content));
  return Set(std::move(list), commit);
}

absl::Status RegistrySources::Set(ResourceList list, const std::function<absl::Status()>& commit) {
  absl::Status kept;
  if (Keep(&list, commit, &kept)) return kept;
  return Change([&list](const RegistrySnapshot& base) { return ChangeTo(base, list); }, commit);
}

absl::Status RegistrySources::Take(ResourceList list, const std::function<absl::Status()>& commit) {
  absl::Status kept;
  if (Keep(&list, commit, &kept)) return kept;
  return TakeChange(
      [&](const RegistrySnapshot& base) -> absl::StatusOr<RegistryChange> {
        mu_.AssertHeld();
        ASSIGN_OR_RETURN(RegistryChange change, ChangeTo(base, list));
        // What was left out is said anew, or not any more.
        for (const auto& [key, trouble] : troubles_) {
          if (std::get<0>(key) == list.source() && trouble.left_out) {
            change.removed.push_back(trouble.resource);
          }
        }
        return change;
      },
      commit);
}

absl::Status RegistrySources::Change(Make make, const std::function<absl::Status()>& commit) {
  return Carry(make, commit, /*stored=*/false);
}

absl::Status RegistrySources::TakeChange(Make make, const std::function<absl::Status()>& commit) {
  return Carry(make, commit, /*stored=*/true);
}

absl::Status RegistrySources::Carry(Make make, const std::function<absl::Status()>& commit,
                                    bool stored) {
  // Held until it is published, so that of two changes the later one is in force.
  absl::MutexLock lock(&mu_);
  if (holding_) return absl::UnavailableError("the registry is not complete yet; try again");
  const RegistrySnapshotPtr base = registry_->snapshot();
  ASSIGN_OR_RETURN(RegistryChange change, make(*base));
  Troubles troubles = troubles_;
  for (const ResourcePtr& resource : change.removed) troubles.erase(KeyOf(*resource));
  for (const ListedResource& entry : change.put) troubles.erase(KeyOf(*entry.resource));
  Forget(*base, &change);
  if (stored) {
    for (StoredTrouble& trouble : FitChange(*base, &change)) {
      const TroubleKey key = KeyOf(*trouble.resource);
      troubles[key] = std::move(trouble);
    }
  } else {
    RETURN_IF_ERROR(CheckChange(*base, change));
  }
  RETURN_IF_ERROR(commit());
  Publish(base, change, std::move(troubles));
  return absl::OkStatus();
}

void RegistrySources::Publish(const RegistrySnapshotPtr& base, const RegistryChange& change,
                              Troubles troubles) {
  RegistrySnapshotPtr next = change.empty() ? base : base->With(change);
  bool moved = true;
  while (moved) {
    moved = false;
    for (auto it = troubles.begin(); it != troubles.end();) {
      const StoredTrouble before = it->second;
      RegistryChange again;
      again.put.push_back({before.resource});
      const std::vector<StoredTrouble> now = FitChange(*next, &again);
      if (before.left_out && !again.put.empty()) {
        next = next->With(again);
        // Others may refer to it.
        moved = true;
      }
      if (now.empty()) {
        it = troubles.erase(it);
      } else {
        it->second = now.front();
        ++it;
      }
    }
  }
  if (next != base) registry_->Publish(next);
  std::swap(troubles, troubles_);
  if (!listener_) return;
  for (const auto& [key, trouble] : troubles_) {
    const auto known = troubles.find(key);
    if (known == troubles.end() || known->second.why != trouble.why) listener_(trouble, false);
  }
  for (const auto& [key, trouble] : troubles) {
    if (troubles_.count(key) == 0) listener_(trouble, true);
  }
}

void RegistrySources::Hold() {
  absl::MutexLock lock(&mu_);
  holding_ = true;
}

absl::Status RegistrySources::Release() {
  absl::MutexLock lock(&mu_);
  holding_ = false;
  const std::map<Source, ResourceList> held = std::move(held_);
  held_.clear();
  const RegistrySnapshotPtr base = registry_->snapshot();
  RegistryChange change;
  // The file is the first, so that it is not left out.
  for (const auto& entry : held) {
    ASSIGN_OR_RETURN(RegistryChange part, ChangeTo(*base, entry.second));
    change.put.insert(change.put.end(), part.put.begin(), part.put.end());
    change.removed.insert(change.removed.end(), part.removed.begin(), part.removed.end());
  }
  Troubles troubles;
  for (StoredTrouble& trouble : FitChange(*base, &change)) {
    // The file's fault, and where it can be mended. What is wrong with what is stored alone keeps
    // no control plane from starting.
    if (trouble.resource->source == Source::kFile ||
        (absl::IsAlreadyExists(trouble.why) && !trouble.resource->stand_in)) {
      return trouble.why;
    }
    const TroubleKey key = KeyOf(*trouble.resource);
    troubles[key] = std::move(trouble);
  }
  Publish(base, change, std::move(troubles));
  return absl::OkStatus();
}

bool RegistrySources::HasPolicy(Source source, absl::string_view key) const {
  const RegistrySnapshotPtr registry = snapshot();
  const Resource* const policy = registry->Find(ResourceType::kAuthorization, key);
  return policy != nullptr && policy->source == source;
}

RegistrySources::TroubleKey RegistrySources::KeyOf(const Resource& resource) {
  return TroubleKey(resource.source, TypeOf(resource.kind), resource.name);
}

ResourcePtr RegistrySources::LeftOut(Source source, ResourceType type,
                                     absl::string_view key) const {
  absl::MutexLock lock(&mu_);
  const auto found = troubles_.find(TroubleKey(source, type, std::string(key)));
  return found == troubles_.end() || !found->second.left_out ? nullptr : found->second.resource;
}

std::vector<StoredTrouble> RegistrySources::troubles() const {
  absl::MutexLock lock(&mu_);
  std::vector<StoredTrouble> all;
  all.reserve(troubles_.size());
  for (const auto& entry : troubles_) all.push_back(entry.second);
  return all;
}

void RegistrySources::SetTroubleListener(
    std::function<void(const StoredTrouble&, bool ended)> listener) {
  listener_ = std::move(listener);
}

}  // namespace byrnie
