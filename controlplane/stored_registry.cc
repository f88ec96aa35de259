#include "controlplane/stored_registry.h"

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "controlplane/registry/resource.h"

namespace byrnie {
namespace {

constexpr char kPolicyPrefix[] = "policies/";

void TellTrouble(const StoredTrouble& trouble, bool ended, EventLog* events, Logger* logger) {
  const Resource& resource = *trouble.resource;
  const EventKind kind = resource.kind == ResourceKind::kPolicy ? EventKind::kPolicyChanged
                                                                : EventKind::kRegistryChanged;
  const std::string what = Describe(resource);
  if (ended) {
    logger->Info("what is stored goes with the rest again", {{"entry", what}});
    events->Add(kind, what, "goes with the rest again");
    return;
  }
  const absl::string_view effect =
      trouble.left_out ? "left out" : "in force without what it refers to";
  logger->Error("what is stored does not go with the rest",
                {{"entry", what}, {"effect", effect}, {"error", trouble.why.message()}});
  events->Add(kind, what, absl::StrCat(effect, ": ", trouble.why.message()));
}

}  // namespace

StoredRegistry::StoredRegistry(Store* store, Logger* logger)
    : logger_(logger), policy_records_(store, kPolicyPrefix) {}

absl::StatusOr<std::unique_ptr<StoredRegistry>> StoredRegistry::Load(
    Store* store, const std::string& trust_domain, RegistrySources* sources,
    UnreadableRecords* unreadable, EventLog* events, const Clock* clock, Logger* logger) {
  // Other sources find troubles, too, also when this is gone.
  sources->SetTroubleListener([events, logger](const StoredTrouble& trouble, bool ended) {
    TellTrouble(trouble, ended, events, logger);
  });
  auto loaded = absl::WrapUnique(new StoredRegistry(store, logger));
  ASSIGN_OR_RETURN(loaded->entries_,
                   RegistryAdmin::Create(store, sources, trust_domain, unreadable, events, clock));
  ASSIGN_OR_RETURN(loaded->policies_,
                   PolicyAdmin::Create(&loaded->policy_records_, sources, loaded->entries_.get(),
                                       unreadable, events, clock));
  StoredRegistry* const self = loaded.get();
  ASSIGN_OR_RETURN(loaded->policy_mirror_,
                   StoreMirror::Create(store, kPolicyPrefix, [self] { self->ReloadPolicies(); }));
  // So that a workload does not come before a policy it names.
  loaded->entries_->SetBeforeChanges([self] { (void)self->policies_->Reload(); });
  return loaded;
}

// Also after what this process wrote, where it changes nothing.
void StoredRegistry::ReloadPolicies() {
  const absl::Status reloaded = policies_->Reload();
  if (reloaded.ok()) return;
  logger_->Error("stored policies rejected, what was in force stays",
                 {{"error", reloaded.message()}});
}

void StoredRegistry::CatchUp() {
  (void)policies_->CatchUp();
  entries_->CatchUp();
}

void StoredRegistry::StopFollowing() {
  if (entries_ != nullptr) entries_->SetBeforeChanges(nullptr);
  policy_mirror_ = nullptr;
}

}  // namespace byrnie
