#include "controlplane/registry/registry_sources.h"

#include <utility>

#include "common/base/status_macros.h"
#include "controlplane/registry/change_checker.h"
#include "controlplane/registry/snapshot.h"

namespace byrnie {

absl::Status RegistrySources::Set(Source source, const RegistryContent& content,
                                  const std::function<absl::Status()>& commit) {
  ASSIGN_OR_RETURN(ResourceList list, ResourceList::Create(source, content));
  return Set(std::move(list), commit);
}

absl::Status RegistrySources::Set(ResourceList list, const std::function<absl::Status()>& commit) {
  {
    absl::MutexLock lock(&mu_);
    if (holding_) {
      RETURN_IF_ERROR(commit());
      const Source source = list.source();
      held_.insert_or_assign(source, std::move(list));
      return absl::OkStatus();
    }
  }
  return Change([&list](const RegistrySnapshot& base) { return ChangeTo(base, list); }, commit);
}

absl::Status RegistrySources::Change(
    absl::FunctionRef<absl::StatusOr<RegistryChange>(const RegistrySnapshot&)> make,
    const std::function<absl::Status()>& commit) {
  // Held until it is published, so that of two changes the later one is in force.
  absl::MutexLock lock(&mu_);
  if (holding_) return absl::UnavailableError("the registry is not complete yet; try again");
  const RegistrySnapshotPtr base = registry_->snapshot();
  ASSIGN_OR_RETURN(const RegistryChange change, make(*base));
  RETURN_IF_ERROR(CheckChange(*base, change));
  RETURN_IF_ERROR(commit());
  if (!change.empty()) registry_->Publish(base->With(change));
  return absl::OkStatus();
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
  for (const auto& entry : held) {
    ASSIGN_OR_RETURN(RegistryChange part, ChangeTo(*base, entry.second));
    change.put.insert(change.put.end(), part.put.begin(), part.put.end());
    change.removed.insert(change.removed.end(), part.removed.begin(), part.removed.end());
  }
  RETURN_IF_ERROR(CheckChange(*base, change));
  registry_->Publish(base->With(change));
  return absl::OkStatus();
}

bool RegistrySources::HasPolicy(Source source, absl::string_view key) const {
  const RegistrySnapshotPtr registry = snapshot();
  const Resource* const policy = registry->Find(ResourceType::kAuthorization, key);
  return policy != nullptr && policy->source == source;
}

}  // namespace byrnie
