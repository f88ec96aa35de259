#include "controlplane/registry/registry_sources.h"

#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "controlplane/registry/content_checker.h"
#include "controlplane/registry/snapshot.h"

namespace byrnie {
namespace {

absl::Status CheckApart(const RegistryContent& file, const RegistryContent& api) {
  absl::flat_hash_set<std::string> keys;
  for (const auto& policy : file.policies) keys.insert(PolicyKey(policy));
  for (const auto& policy : api.policies) {
    if (!keys.contains(PolicyKey(policy))) continue;
    return absl::AlreadyExistsError(
        absl::StrCat("policy \"", PolicyKey(policy),
                     "\" is in the registry file and was applied through the API, too; take it out "
                     "of the file, or delete it with byrniectl policy delete"));
  }
  return absl::OkStatus();
}

template <typename T>
void Append(const std::vector<T>& from, std::vector<T>* to) {
  to->insert(to->end(), from.begin(), from.end());
}

}  // namespace

absl::Status RegistrySources::Set(Source source, RegistryContent content,
                                  const std::function<absl::Status()>& commit) {
  // Held until it is published, so that of two changes the later one is in force.
  absl::MutexLock lock(&mu_);
  const RegistryContent& file = source == Source::kFile ? content : file_;
  const RegistryContent& api = source == Source::kApi ? content : api_;
  RETURN_IF_ERROR(CheckApart(file, api));
  // The file first: errors name its indexes.
  RegistryContent all = file;
  Append(api.workloads, &all.workloads);
  Append(api.services, &all.services);
  Append(api.policies, &all.policies);
  ASSIGN_OR_RETURN(RegistrySnapshotPtr snapshot, RegistrySnapshot::Create(all));
  RETURN_IF_ERROR(commit());
  Of(source) = std::move(content);
  registry_->Publish(std::move(snapshot));
  return absl::OkStatus();
}

bool RegistrySources::HasPolicy(Source source, absl::string_view key) const {
  absl::MutexLock lock(&mu_);
  for (const auto& policy : (source == Source::kFile ? file_ : api_).policies) {
    if (PolicyKey(policy) == key) return true;
  }
  return false;
}

}  // namespace byrnie
