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
#include "controlplane/registry/entry_addresses.h"
#include "controlplane/registry/entry_document.h"
#include "controlplane/registry/static_parser.h"

namespace byrnie {
namespace {

constexpr char kPrefix[] = "registry/";
constexpr char kServices[] = "registry/services/";
constexpr char kWorkloads[] = "registry/workloads/";
constexpr char kGeneration[] = "registry/generation";
// Of PolicyAdmin's records.
constexpr char kPolicies[] = "policies/";
// Pages of what is stored are each of their own moment: so often they are read until all are of
// one.
constexpr int kReadings = 5;

absl::string_view NameOf(ResourceKind kind) {
  return kind == ResourceKind::kService ? "service" : "workload";
}

std::string StoreKey(ResourceKind kind, absl::string_view name) {
  return absl::StrCat(kind == ResourceKind::kService ? kServices : kWorkloads, name);
}

std::string StoreKey(const Resource& resource) { return StoreKey(resource.kind, resource.name); }

ResourceKind KindOf(absl::string_view key) {
  return absl::StartsWith(key, kServices) ? ResourceKind::kService : ResourceKind::kWorkload;
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
                             UnreadableRecords* board, EventLog* events, const Clock* clock)
    : store_(store),
      sources_(sources),
      trust_domain_(std::move(trust_domain)),
      board_(board),
      events_(events),
      clock_(clock) {}

absl::StatusOr<std::unique_ptr<RegistryAdmin>> RegistryAdmin::Create(
    Store* store, RegistrySources* sources, const std::string& trust_domain,
    UnreadableRecords* unreadable, EventLog* events, const Clock* clock) {
  auto admin =
      absl::WrapUnique(new RegistryAdmin(store, sources, trust_domain, unreadable, events, clock));
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
  if (!record.ParseFromString(value)) return absl::InvalidArgumentError("the record is damaged");
  ASSIGN_OR_RETURN(const RegistryContent content,
                   ParseRegistryFile(record.document(), trust_domain_));
  if (content.workloads.size() + content.services.size() != 1) {
    return absl::InvalidArgumentError("the record does not hold one entry");
  }
  // By itself first: a list keeps what is added to it.
  ResourceList alone(RegistrySource::kApiEntries, /*ordered=*/false);
  RETURN_IF_ERROR(content.workloads.empty() ? alone.Add(content.services.front())
                                            : alone.Add(content.workloads.front()));
  if (StoreKey(*alone.entries().front().resource) != key) {
    return absl::InvalidArgumentError("the record is of another entry");
  }
  list->AddAll(alone);
  (*applications)[key] = Application{record.applied_by(), FromProto(record.applied_at())};
  return absl::OkStatus();
}

ResourcePtr RegistryAdmin::InForce(const std::string& key) const {
  ResourcePtr resource =
      sources_->snapshot()->Get(ResourceType::kAddress, std::string(NameIn(key)));
  if (resource == nullptr || resource->source != RegistrySource::kApiEntries ||
      StoreKey(*resource) != key) {
    return nullptr;
  }
  return resource;
}

absl::StatusOr<ResourcePtr> RegistryAdmin::MakeStandIn(const std::string& key) const {
  ASSIGN_OR_RETURN(absl::optional<StoreEntry> entry, store_->Get(EntryAddressesKey(key)));
  absl::optional<std::vector<std::string>> addresses;
  if (entry.has_value()) addresses = ReadEntryAddresses(key, entry->value);
  // Nobody can be sent to it.
  if (addresses.has_value() && addresses->empty()) return ResourcePtr();
  return StandInForEntry(KindOf(key), NameIn(key), addresses);
}

absl::Status RegistryAdmin::AddUnreadable(const std::string& key, const absl::Status& why,
                                          ResourceList* list, Unreadable* unreadable) const {
  ResourcePtr stays = InForce(key);
  if (stays == nullptr || stays->stand_in) {
    ASSIGN_OR_RETURN(stays, MakeStandIn(key));
  }
  const absl::string_view kind = NameOf(KindOf(key));
  (*unreadable)[key] = {
      key, std::string(why.message()), DescribeStandIn(kind, stays.get()),
      absl::StrCat("apply it again (byrniectl ", kind, "s apply), delete it (byrniectl ", kind,
                   "s delete ", NameIn(key), "), or start the release that wrote it")};
  if (stays != nullptr) list->Add(std::move(stays));
  return absl::OkStatus();
}

void RegistryAdmin::SetUnreadable(Unreadable unreadable) {
  unreadable_ = std::move(unreadable);
  std::vector<UnreadableRecord> all;
  for (const auto& entry : unreadable_) all.push_back(entry.second);
  board_->Set(UnreadableRecords::Kind::kRegistry, std::move(all));
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
      const absl::Status added =
          AddRecord(entry.key, entry.value, &stored.list, &stored.applications);
      if (added.ok()) {
        stored.addresses[entry.key] =
            WriteEntryAddresses(entry.key, *stored.list.entries().back().resource);
      } else {
        RETURN_IF_ERROR(AddUnreadable(entry.key, added, &stored.list, &stored.unreadable));
        stored.addresses[entry.key];
        const auto application = applications_.find(entry.key);
        if (application != applications_.end()) {
          stored.applications[entry.key] = application->second;
        }
      }
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
  SyncEntryAddresses(store_, Unchanged(), stored.addresses);
  SetUnreadable(std::move(stored.unreadable));
  return absl::OkStatus();
}

absl::Status RegistryAdmin::OnReset() {
  absl::MutexLock lock(&mu_);
  return Load();
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
  if (changes.back().revision <= generation_) return;
  TakeChanges(changes);
}

void RegistryAdmin::TakeChanges(const std::vector<StoreChange>& changes) {
  ResourceList list(RegistrySource::kApiEntries, /*ordered=*/false);
  Applications added;
  std::vector<std::string> removed;
  Unreadable unreadable = unreadable_;
  for (const StoreChange& change : changes) {
    if (change.key == kGeneration) continue;
    unreadable.erase(change.key);
    if (!change.value.has_value()) {
      removed.push_back(change.key);
      continue;
    }
    const absl::Status read = AddRecord(change.key, *change.value, &list, &added);
    if (read.ok()) continue;
    // What the store cannot say now it is asked for again, with the rest.
    missed_ = missed_ || !AddUnreadable(change.key, read, &list, &unreadable).ok();
  }
  std::vector<ResourcePtr> left_out;
  for (const std::string& key : removed) {
    ResourcePtr resource =
        sources_->LeftOut(RegistrySource::kApiEntries, ResourceType::kAddress, NameIn(key));
    if (resource != nullptr && StoreKey(*resource) == key) left_out.push_back(std::move(resource));
  }
  const absl::Status taken = sources_->TakeChange(
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
        // What somebody wrote by hand leaves the generation what it is.
        for (const StoreChange& change : changes) {
          if (change.key == kGeneration) generation_ = change.revision;
        }
        return absl::OkStatus();
      });
  // While the registry is not complete yet.
  missed_ = missed_ || !taken.ok();
  if (!taken.ok()) return;
  for (const std::string& key : removed) applications_.erase(key);
  for (auto& entry : added) applications_[entry.first] = std::move(entry.second);
  SetUnreadable(std::move(unreadable));
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
  return Load();
}

void RegistryAdmin::CatchUp() {
  absl::MutexLock lock(&mu_);
  // What the store cannot say now it is asked for again.
  if (missed_) missed_ = !Load().ok();
}

// What operators change.

absl::Status RegistryAdmin::RequirePolicies(const PoliciesByName& policies,
                                            StoreTransaction* transaction) const {
  for (const auto& [name, policy] : policies) {
    const std::string key = absl::StrCat(kPolicies, name);
    ASSIGN_OR_RETURN(absl::optional<StoreEntry> entry, store_->Get(key));
    const std::string payload = entry.has_value() ? PolicyPayload(entry->value, trust_domain_) : "";
    if (entry.has_value() && payload.empty()) {
      return PreconditionFailed(
          "UNREADABLE", name,
          absl::StrCat("the record of policy \"", name,
                       "\" cannot be read; apply or delete that policy first"));
    }
    if (payload != policy->payload) {
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
    const std::string key = StoreKey(*entry.resource);
    transaction.Put(key, WriteRecord(*entry.resource, who, now));
    transaction.Put(EntryAddressesKey(key), WriteEntryAddresses(key, *entry.resource));
  }
  for (const ResourcePtr& resource : change.removed) {
    const std::string key = StoreKey(*resource);
    transaction.Delete(key).Delete(EntryAddressesKey(key));
  }
  const absl::StatusOr<int64_t> revision = store_->Commit(transaction);
  overtaken_ = absl::IsAborted(revision.status());
  if (absl::IsUnknown(revision.status())) {
    return absl::UnavailableError(absl::StrCat(
        revision.status().message(), "; look whether it was done, and try again where it was not"));
  }
  RETURN_IF_ERROR(revision.status());
  generation_ = *revision;
  Unreadable unreadable = unreadable_;
  for (const ListedResource& entry : change.put) {
    applications_[StoreKey(*entry.resource)] = Application{std::string(who), now};
    unreadable.erase(StoreKey(*entry.resource));
  }
  for (const ResourcePtr& resource : change.removed) {
    applications_.erase(StoreKey(*resource));
    unreadable.erase(StoreKey(*resource));
  }
  SetUnreadable(std::move(unreadable));
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
    overtaken_ = false;
    const absl::Status status = attempt();
    // Also what cannot be done perhaps can, after what was done elsewhere a moment ago.
    if (status.ok() || absl::IsUnavailable(status) || !IsStale()) return status;
    RETURN_IF_ERROR(Load());
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
      [&](const RegistrySnapshot& base)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> absl::StatusOr<RegistryChange> {
            for (const ListedResource& entry : list.entries()) {
              const ResourcePtr& resource = entry.resource;
              const ResourcePtr known = base.Get(ResourceType::kAddress, resource->name);
              if (!expected_version.empty() && expected_version != VersionOf(known.get())) {
                return HasChanged(resource->kind, resource->name);
              }
              const bool same = known != nullptr && known->SaysTheSameAs(*resource) &&
                                unreadable_.count(StoreKey(*resource)) == 0;
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
  // Neither is what is stored of it understood, nor is there anything from before.
  const std::string key = StoreKey(kind, name);
  if (unreadable_.count(key) > 0 && InForce(key) == nullptr) {
    if (!expected_version.empty() && expected_version != kNoVersion) return HasChanged(kind, name);
    auto nameless = std::make_shared<Resource>();
    nameless->name = std::string(name);
    nameless->kind = kind;
    nameless->source = RegistrySource::kApiEntries;
    change.removed.push_back(std::move(nameless));
    return sources_->Change(
        [&](const RegistrySnapshot&) -> absl::StatusOr<RegistryChange> { return change; },
        [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return Commit(change, {}, who); });
  }
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
