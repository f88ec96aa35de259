#include "controlplane/registry/registry_admin.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "byrnie/store/v1/policy.pb.h"
#include "byrnie/store/v1/registry_entry.pb.h"
#include "common/base/status_macros.h"
#include "common/grpc/error_details.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/registry/entry_document.h"
#include "controlplane/registry/static_parser.h"

namespace byrnie {
namespace {

constexpr char kPrefix[] = "registry/";
constexpr char kGeneration[] = "registry/generation";
// Of PolicyAdmin's records.
constexpr char kPolicies[] = "policies/";
// Pages of what is stored are each of their own moment: so often they are read until all are of
// one.
constexpr int kReadings = 5;

absl::string_view NameOf(ResourceKind kind) {
  return kind == ResourceKind::kService ? "service" : "workload";
}

std::string StoreKey(const Resource& resource) {
  return absl::StrCat(kPrefix, resource.kind == ResourceKind::kService ? "services/" : "workloads/",
                      resource.name);
}

std::string Named(ResourceKind kind, absl::string_view name) {
  return absl::StrCat(NameOf(kind), " \"", name, "\"");
}

absl::Status HasChanged(ResourceKind kind, absl::string_view name) {
  return absl::AbortedError(absl::StrCat(Named(kind, name),
                                         " is of another version by now; look at it again with "
                                         "byrniectl ",
                                         NameOf(kind), "s get"));
}

absl::Status IsTheFiles(ResourceKind kind, absl::string_view name) {
  return PreconditionFailed(
      "CONFLICT", name,
      absl::StrCat(Named(kind, name),
                   " is the registry file's; change it there, or take it out of "
                   "the file first"));
}

absl::Status IsTheClusters(ResourceKind kind, absl::string_view name) {
  return PreconditionFailed(
      "CONFLICT", name,
      absl::StrCat(Named(kind, name), " is an object of the cluster; change it with kubectl"));
}

// What CheckChange found, for who wanted the change.
absl::Status Explain(const absl::Status& status, absl::string_view subject) {
  if (absl::IsAlreadyExists(status)) {
    return PreconditionFailed("CONFLICT", subject, status.message());
  }
  if (!absl::IsInvalidArgument(status)) return status;
  if (absl::StartsWith(status.message(), "workloads[") ||
      absl::StartsWith(status.message(), "services[")) {
    return InvalidDocument("document", status);
  }
  // Not the change itself is wrong, but what it would leave.
  return PreconditionFailed("IN_USE", subject,
                            absl::StrCat(subject, " is in use: ", status.message()));
}

std::string WriteRecord(const Resource& resource, absl::string_view who, absl::Time now) {
  byrnie::store::v1::RegistryEntry record;
  record.set_document(resource.kind == ResourceKind::kService
                          ? WriteRegistryDocument(ServiceOf(resource))
                          : WriteRegistryDocument(WorkloadOf(resource)));
  record.set_applied_by(std::string(who));
  ToProto(now, record.mutable_applied_at());
  return record.SerializeAsString();
}

// The one of a key in the store, below kPrefix.
absl::string_view NameIn(absl::string_view key) {
  key.remove_prefix(sizeof(kPrefix) - 1);
  key.remove_prefix(key.find('/') + 1);
  return key;
}

// Of a record of PolicyAdmin's; empty when it is not understood.
std::string PolicyPayload(const std::string& value, const std::string& trust_domain) {
  byrnie::store::v1::Policy record;
  if (!record.ParseFromString(value)) return "";
  const absl::StatusOr<RegistryContent> content =
      ParseRegistryFile(absl::StrCat("{\"policies\":[", record.document(), "]}"), trust_domain);
  if (!content.ok() || content->policies.size() != 1) return "";
  return MakeResource(RegistrySource::kApi, content->policies.front())->payload;
}

// Adds the policies that a workload names, as far as they are records.
void AddPolicies(const RegistrySnapshot& registry, const Resource& resource,
                 std::map<std::string, ResourcePtr>* policies) {
  if (resource.kind != ResourceKind::kWorkload) return;
  const istio::workload::Workload workload = WorkloadOf(resource);
  for (const std::string& name : workload.authorization_policies()) {
    ResourcePtr policy = registry.Get(ResourceType::kAuthorization, name);
    if (policy == nullptr || policy->source != RegistrySource::kApi) continue;
    (*policies)[name] = std::move(policy);
  }
}

// The version that is there.
std::string VersionOf(const Resource* resource) {
  return resource == nullptr ? RegistryAdmin::kNoVersion : resource->version;
}

}  // namespace

RegistryAdmin::RegistryAdmin(Store* store, RegistrySources* sources, std::string trust_domain,
                             EventLog* events, const Clock* clock, Logger* logger)
    : store_(store),
      sources_(sources),
      trust_domain_(std::move(trust_domain)),
      events_(events),
      clock_(clock),
      logger_(logger) {}

absl::StatusOr<std::unique_ptr<RegistryAdmin>> RegistryAdmin::Create(
    Store* store, RegistrySources* sources, const std::string& trust_domain, EventLog* events,
    const Clock* clock, Logger* logger) {
  auto admin =
      absl::WrapUnique(new RegistryAdmin(store, sources, trust_domain, events, clock, logger));
  {
    absl::MutexLock lock(&admin->mu_);
    RETURN_IF_ERROR(admin->Load());
  }
  admin->watch_ = store->Watch(kPrefix, admin.get());
  return admin;
}

// What is stored.

absl::Status RegistryAdmin::AddRecord(const std::string& key, const std::string& value,
                                      ResourceList* list, Applications* applications) const {
  byrnie::store::v1::RegistryEntry record;
  absl::StatusOr<RegistryContent> content = absl::InvalidArgumentError("the record is damaged");
  if (record.ParseFromString(value)) {
    content = ParseRegistryFile(record.document(), trust_domain_);
  }
  absl::Status added = content.status();
  if (added.ok() && content->workloads.size() + content->services.size() != 1) {
    added = absl::InvalidArgumentError("the record does not hold one entry");
  }
  if (added.ok()) {
    added = content->workloads.empty() ? list->Add(content->services.front())
                                       : list->Add(content->workloads.front());
  }
  if (added.ok() && StoreKey(*list->entries().back().resource) != key) {
    added = absl::InvalidArgumentError("the record is of another entry");
  }
  if (!added.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("stored entry \"", key, "\": ", added.message(),
                     "; start the release that wrote it, and delete it there"));
  }
  (*applications)[key] = Application{record.applied_by(), FromProto(record.applied_at())};
  return absl::OkStatus();
}

absl::StatusOr<RegistryAdmin::Stored> RegistryAdmin::Read() const {
  for (int i = 0; i < kReadings; ++i) {
    ASSIGN_OR_RETURN(absl::optional<StoreEntry> before, store_->Get(kGeneration));
    ASSIGN_OR_RETURN(std::vector<StoreEntry> entries, ListAll(store_, kPrefix));
    ASSIGN_OR_RETURN(absl::optional<StoreEntry> after, store_->Get(kGeneration));
    Stored stored;
    stored.generation = after.has_value() ? after->revision : 0;
    if (stored.generation != (before.has_value() ? before->revision : 0)) continue;
    for (StoreEntry& entry : entries) {
      if (entry.key == kGeneration) continue;
      RETURN_IF_ERROR(AddRecord(entry.key, entry.value, &stored.list, &stored.applications));
      entry.value = std::string();
    }
    return stored;
  }
  return absl::UnavailableError(
      "the stored workloads and services changed while they were read; try again");
}

absl::Status RegistryAdmin::Load() {
  ASSIGN_OR_RETURN(Stored stored, Read());
  RETURN_IF_ERROR(sources_->Take(std::move(stored.list), [&] {
    generation_ = stored.generation;
    return absl::OkStatus();
  }));
  applications_ = std::move(stored.applications);
  behind_ = false;
  return absl::OkStatus();
}

// What is stored is not understood: what was in force stays until it is.
void RegistryAdmin::FallBehind(const absl::Status& why) {
  logger_->Error("stored workloads and services rejected, what was in force stays",
                 {{"error", why.message()}});
  behind_ = true;
  behind_with_ = sources_->snapshot();
}

absl::Status RegistryAdmin::OnReset() {
  absl::MutexLock lock(&mu_);
  const absl::Status loaded = Load();
  if (loaded.ok() || absl::IsUnavailable(loaded)) return loaded;  // The store's: it calls again.
  FallBehind(loaded);
  return absl::OkStatus();
}

void RegistryAdmin::OnChanges(const std::vector<StoreChange>& changes) {
  // Of this process, most of the time: there is nothing to do.
  if (changes.back().revision <= generation_) return;
  {
    absl::MutexLock lock(&before_mu_);
    if (before_changes_) before_changes_();
  }
  absl::MutexLock lock(&mu_);
  // Of this process, or seen when everything was read.
  if (behind_ || changes.back().revision <= generation_) return;
  const absl::Status taken = TakeChanges(changes);
  if (!taken.ok()) FallBehind(taken);
}

absl::Status RegistryAdmin::TakeChanges(const std::vector<StoreChange>& changes) {
  ResourceList list(RegistrySource::kApiEntries, /*ordered=*/false);
  Applications added;
  std::vector<std::string> removed;
  for (const StoreChange& change : changes) {
    if (change.key == kGeneration) continue;
    if (change.value.has_value()) {
      RETURN_IF_ERROR(AddRecord(change.key, *change.value, &list, &added));
    } else {
      removed.push_back(change.key);
    }
  }
  std::vector<ResourcePtr> left_out;
  for (const std::string& key : removed) {
    ResourcePtr resource =
        sources_->LeftOut(RegistrySource::kApiEntries, ResourceType::kAddress, NameIn(key));
    if (resource != nullptr && StoreKey(*resource) == key) left_out.push_back(std::move(resource));
  }
  RETURN_IF_ERROR(sources_->TakeChange(
      [&](const RegistrySnapshot& base) {
        RegistryChange change;
        change.put = list.entries();
        change.removed = left_out;
        for (const std::string& key : removed) {
          ResourcePtr resource = base.Get(ResourceType::kAddress, NameIn(key));
          if (resource != nullptr && resource->source == RegistrySource::kApiEntries &&
              StoreKey(*resource) == key) {
            change.removed.push_back(std::move(resource));
          }
        }
        return absl::StatusOr<RegistryChange>(std::move(change));
      },
      [&] {
        generation_ = changes.back().revision;
        return absl::OkStatus();
      }));
  for (const std::string& key : removed) applications_.erase(key);
  for (auto& entry : added) applications_[entry.first] = std::move(entry.second);
  return absl::OkStatus();
}

StoreCondition RegistryAdmin::Unchanged() const { return {kGeneration, generation_}; }

void RegistryAdmin::SetBeforeChanges(std::function<void()> before) {
  absl::MutexLock lock(&before_mu_);
  before_changes_ = std::move(before);
}

absl::Status RegistryAdmin::Refresh() {
  absl::MutexLock lock(&mu_);
  ASSIGN_OR_RETURN(absl::optional<StoreEntry> now, store_->Get(kGeneration));
  if (generation_ == (now.has_value() ? now->revision : 0)) return absl::OkStatus();
  const absl::Status loaded = Load();
  if (!loaded.ok() && !absl::IsUnavailable(loaded)) FallBehind(loaded);
  return loaded;
}

void RegistryAdmin::CatchUp() {
  {
    absl::MutexLock lock(&mu_);
    if (!behind_ || behind_with_ == sources_->snapshot()) return;
    behind_with_ = sources_->snapshot();
  }
  // A new watch begins by reading everything, on a thread of the store.
  watch_ = nullptr;
  watch_ = store_->Watch(kPrefix, this);
}

// What operators change.

absl::Status RegistryAdmin::RequirePolicies(const PoliciesByName& policies,
                                            StoreTransaction* transaction) const {
  for (const auto& [name, policy] : policies) {
    const std::string key = absl::StrCat(kPolicies, name);
    ASSIGN_OR_RETURN(absl::optional<StoreEntry> entry, store_->Get(key));
    if (!entry.has_value() || PolicyPayload(entry->value, trust_domain_) != policy->payload) {
      return absl::AbortedError(absl::StrCat("policy \"", name, "\" has been changed meanwhile"));
    }
    transaction->RequireRevision(key, entry->revision);
  }
  return absl::OkStatus();
}

absl::Status RegistryAdmin::Commit(const RegistryChange& change, const PoliciesByName& policies,
                                   absl::string_view who) {
  const absl::Time now = clock_->WallNow();
  StoreTransaction transaction;
  const absl::Status required = RequirePolicies(policies, &transaction);
  overtaken_ = absl::IsAborted(required);
  RETURN_IF_ERROR(required);
  transaction.RequireRevision(kGeneration, generation_);
  transaction.Put(kGeneration, "1");
  for (const ListedResource& entry : change.put) {
    transaction.Put(StoreKey(*entry.resource), WriteRecord(*entry.resource, who, now));
  }
  for (const ResourcePtr& resource : change.removed) transaction.Delete(StoreKey(*resource));
  const absl::StatusOr<int64_t> revision = store_->Commit(transaction);
  overtaken_ = absl::IsAborted(revision.status());
  if (absl::IsUnknown(revision.status())) {
    return absl::UnavailableError(absl::StrCat(
        revision.status().message(), "; look whether it was done, and try again where it was not"));
  }
  RETURN_IF_ERROR(revision.status());
  generation_ = *revision;
  for (const ListedResource& entry : change.put) {
    applications_[StoreKey(*entry.resource)] = Application{std::string(who), now};
  }
  for (const ResourcePtr& resource : change.removed) applications_.erase(StoreKey(*resource));
  return absl::OkStatus();
}

// Whether another control plane has changed something that has not come here yet.
bool RegistryAdmin::IsStale() const {
  if (overtaken_) return true;
  const absl::StatusOr<absl::optional<StoreEntry>> now = store_->Get(kGeneration);
  return now.ok() && generation_ != (now->has_value() ? (*now)->revision : 0);
}

template <typename Attempt>
absl::Status RegistryAdmin::Retry(const Attempt& attempt) {
  for (int i = 0; i < kAttempts; ++i) {
    if (behind_) {
      return absl::UnavailableError(
          "something that another control plane has stored is not understood by this one, so that "
          "no workload and no service can be changed here; its log says what: upgrade it, or "
          "change them at the other one");
    }
    overtaken_ = false;
    const absl::Status status = attempt();
    // Also what cannot be done perhaps can, after what was done elsewhere a moment ago.
    if (status.ok() || absl::IsUnavailable(status) || !IsStale()) return status;
    const absl::Status loaded = Load();
    if (absl::IsUnavailable(loaded)) return loaded;
    if (!loaded.ok()) FallBehind(loaded);
  }
  return absl::UnavailableError(
      "workloads and services are being changed at other control planes all the time; nothing has "
      "changed, try again");
}

absl::StatusOr<std::vector<RegistryAdmin::Applied>> RegistryAdmin::Apply(
    absl::string_view document, absl::string_view expected_version, absl::string_view who) {
  ASSIGN_OR_RETURN(RegistryContent content, ParseRegistryDocument(document, trust_domain_));
  ASSIGN_OR_RETURN(ResourceList list, ResourceList::Create(RegistrySource::kApiEntries, content));
  if (!expected_version.empty() && list.entries().size() != 1) {
    return InvalidField("expected_version",
                        absl::StrCat("is of one entry, and the document has ",
                                     list.entries().size(), "; apply them one by one"));
  }
  std::vector<Applied> applied;
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Retry([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> absl::Status {
    ASSIGN_OR_RETURN(applied, TryApply(list, expected_version, who));
    return absl::OkStatus();
  }));
  for (const Applied& entry : applied) {
    if (entry.outcome == Outcome::kUnchanged) continue;
    events_->Add(EventKind::kRegistryChanged, Named(entry.resource->kind, entry.resource->name),
                 entry.outcome == Outcome::kCreated ? "applied" : "changed", who);
  }
  return applied;
}

absl::StatusOr<std::vector<RegistryAdmin::Applied>> RegistryAdmin::TryApply(
    const ResourceList& list, absl::string_view expected_version, absl::string_view who) {
  std::vector<Applied> applied;
  RegistryChange change;
  PoliciesByName policies;
  bool committing = false;
  const std::string first = list.entries().front().resource->name;
  const absl::Status changed = sources_->Change(
      [&](const RegistrySnapshot& base) -> absl::StatusOr<RegistryChange> {
        for (const ListedResource& entry : list.entries()) {
          const ResourcePtr& resource = entry.resource;
          const ResourcePtr known = base.Get(ResourceType::kAddress, resource->name);
          if (!expected_version.empty() && expected_version != VersionOf(known.get())) {
            return HasChanged(resource->kind, resource->name);
          }
          const bool same = known != nullptr && known->SaysTheSameAs(*resource);
          applied.push_back({same ? known : resource, same               ? Outcome::kUnchanged
                                                      : known == nullptr ? Outcome::kCreated
                                                                         : Outcome::kChanged});
          if (same) continue;
          change.put.push_back(entry);
          AddPolicies(base, *resource, &policies);
        }
        return change;
      },
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        committing = true;
        return change.empty() ? absl::OkStatus() : Commit(change, policies, who);
      });
  if (!changed.ok()) return committing ? changed : Explain(changed, first);
  return applied;
}

absl::Status RegistryAdmin::Delete(ResourceKind kind, absl::string_view name,
                                   absl::string_view expected_version, absl::string_view who) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Retry([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return TryDelete(kind, name, expected_version, who);
  }));
  events_->Add(EventKind::kRegistryChanged, Named(kind, name), "deleted", who);
  return absl::OkStatus();
}

absl::Status RegistryAdmin::TryDelete(ResourceKind kind, absl::string_view name,
                                      absl::string_view expected_version, absl::string_view who) {
  RegistryChange change;
  bool committing = false;
  const ResourcePtr left_out =
      sources_->LeftOut(RegistrySource::kApiEntries, ResourceType::kAddress, name);
  // It is stored, and nothing of it is in force.
  if (left_out != nullptr && left_out->kind == kind) {
    if (!expected_version.empty() && expected_version != left_out->version) {
      return HasChanged(kind, name);
    }
    change.removed.push_back(left_out);
    return sources_->Change(
        [&](const RegistrySnapshot&) -> absl::StatusOr<RegistryChange> { return change; },
        [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return Commit(change, {}, who); });
  }
  const absl::Status changed = sources_->Change(
      [&](const RegistrySnapshot& base) -> absl::StatusOr<RegistryChange> {
        ResourcePtr known = base.Get(ResourceType::kAddress, name);
        if (known == nullptr || known->kind != kind) {
          return ResourceNotFound(NameOf(kind), name,
                                  absl::StrCat("there is no ", Named(kind, name)));
        }
        if (known->source == RegistrySource::kFile) return IsTheFiles(kind, name);
        if (known->source == RegistrySource::kKubernetes) return IsTheClusters(kind, name);
        if (!expected_version.empty() && expected_version != known->version) {
          return HasChanged(kind, name);
        }
        change.removed.push_back(std::move(known));
        return change;
      },
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        committing = true;
        return Commit(change, {}, who);
      });
  return committing ? changed : Explain(changed, name);
}

absl::optional<RegistryAdmin::Application> RegistryAdmin::ApplicationOf(
    const Resource& resource) const {
  if (resource.source != RegistrySource::kApiEntries) return absl::nullopt;
  absl::MutexLock lock(&mu_);
  const auto found = applications_.find(StoreKey(resource));
  if (found == applications_.end()) return absl::nullopt;
  return found->second;
}

}  // namespace byrnie
