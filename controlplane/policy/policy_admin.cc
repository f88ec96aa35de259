#include "controlplane/policy/policy_admin.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/grpc/error_details.h"
#include "controlplane/policy/policy_document.h"
#include "controlplane/policy/stored_policy.h"
#include "controlplane/registry/content_checker.h"
#include "controlplane/registry/resource.h"
#include "controlplane/registry/resource_list.h"

namespace byrnie {
namespace {

using istio::security::Authorization;

// Of the records, in the store.
constexpr char kPolicyPrefix[] = "policies/";

absl::Status IsTheFiles(absl::string_view name) {
  return PreconditionFailed(
      "CONFLICT", name,
      absl::StrCat("policy \"", name,
                   "\" is the registry file's; change it there, or take it out "
                   "of the file first"));
}

absl::Status IsTheClusters(absl::string_view name) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(name, '/');
  return PreconditionFailed(
      "CONFLICT", name,
      absl::StrCat("policy \"", name,
                   "\" is an object of the cluster; change or delete it there: kubectl -n ",
                   parts.first, " edit accesspolicies.byrnie.io ", parts.second));
}

absl::Status NoSuchPolicy(absl::string_view name) {
  return ResourceNotFound("policy", name, absl::StrCat("there is no policy \"", name, "\""));
}

absl::Status HasChanged(absl::string_view name, absl::string_view version = "") {
  if (version == PolicyAdmin::kNoVersion) {
    return absl::AbortedError(
        absl::StrCat("there is no policy \"", name,
                     "\", so it is of no version; where it is to be made, expect no version, or \"",
                     PolicyAdmin::kNoVersion, "\""));
  }
  return absl::AbortedError(absl::StrCat(
      "policy \"", name, "\" is of another version by now; look at it again with policy get"));
}

// What is in the way, all of it.
absl::Status NeedsAcceptance(absl::string_view name, const PolicyReview& review) {
  std::string message = absl::StrCat("policy \"", name, "\" is probably not what was meant:");
  google::rpc::PreconditionFailure detail;
  for (const PolicyFinding& finding : review.findings) {
    if (finding.severity != PolicyFinding::Severity::kWarning) continue;
    const std::string text = finding.field.empty()
                                 ? finding.message
                                 : absl::StrCat(finding.field, ": ", finding.message);
    absl::StrAppend(&message, detail.violations().empty() ? " " : "; ", text);
    auto* violation = detail.add_violations();
    violation->set_type("FINDING");
    violation->set_subject(std::string(name));
    violation->set_description(text);
  }
  absl::Status status = absl::FailedPreconditionError(message);
  SetDetail(&status, detail);
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PolicyAdmin>> PolicyAdmin::Create(
    RecordTable* records, RegistrySources* sources, RegistryAdmin* entries,
    UnreadableRecords* unreadable, EventLog* events, const Clock* clock) {
  auto admin =
      absl::WrapUnique(new PolicyAdmin(records, sources, entries, unreadable, events, clock));
  RETURN_IF_ERROR(admin->Reload());
  return admin;
}

absl::StatusOr<PolicyAdmin::Reading> PolicyAdmin::Read() const {
  ASSIGN_OR_RETURN(std::vector<RecordTable::Record> records, records_->List());
  Reading reading;
  for (const RecordTable::Record& record : records) {
    absl::StatusOr<StoredPolicy> policy = ReadStoredPolicy(record.key, record.value);
    if (!policy.ok()) {
      ReadUnreadable(record, policy.status(), &reading);
      continue;
    }
    reading.policies.emplace(record.key, Stored{std::move(policy->policy), policy->applied_by,
                                                policy->applied_at, record.version});
  }
  return reading;
}

void PolicyAdmin::ReadUnreadable(const RecordTable::Record& record, const absl::Status& why,
                                 Reading* reading) const {
  absl::optional<Authorization> stand_in = StandInFor(record.key, record.value);
  std::string effect;
  const auto known = stored_.find(record.key);
  if (known != stored_.end() && !known->second.stand_in) {
    Stored stays = known->second;
    stays.record_version = record.version;
    reading->policies.emplace(record.key, std::move(stays));
    effect = "the policy stays in force as it was before";
  } else if (!stand_in.has_value()) {
    effect = "no policy can have this key, so nothing stands in for it";
  } else if (!started_ || known != stored_.end()) {
    effect = absl::StrCat(DescribeStandIn(*stand_in),
                          " stands in for it, for agents that do not have it from before");
    Stored stands{*std::move(stand_in), "nobody: it stands in for a record that cannot be read",
                  absl::UnixEpoch(), record.version, /*stand_in=*/true};
    reading->policies.emplace(record.key, std::move(stands));
  } else {
    effect = absl::StrCat(
        "it was not there before, and is not in force; if it is still so when this control plane "
        "starts again, ",
        DescribeStandIn(*stand_in), " stands in for it");
  }
  reading->unreadable.emplace(
      record.key,
      Unreadable{record.version,
                 UnreadableRecord{
                     absl::StrCat(kPolicyPrefix, record.key), std::string(why.message()),
                     std::move(effect),
                     absl::StrCat("apply the policy again (byrniectl policy apply), delete it "
                                  "(byrniectl policy delete ",
                                  record.key, "), or start the release that wrote it")}});
}

void PolicyAdmin::SetUnreadable(UnreadablePolicies unreadable) {
  unreadable_ = std::move(unreadable);
  std::vector<UnreadableRecord> all;
  for (const auto& entry : unreadable_) all.push_back(entry.second.record);
  board_->Set(UnreadableRecords::Kind::kPolicy, std::move(all));
}

void PolicyAdmin::ForgetUnreadable(absl::string_view name) {
  const auto found = unreadable_.find(name);
  if (found == unreadable_.end()) return;
  UnreadablePolicies others = unreadable_;
  others.erase(found->first);
  SetUnreadable(std::move(others));
}

absl::Status PolicyAdmin::Reload() {
  absl::MutexLock lock(&mu_);
  const absl::Status status = TryReload();
  behind_ = !status.ok();
  // What the store has not said is asked for again, what does not go with the others once they are
  // different.
  behind_with_ = behind_ && !absl::IsUnavailable(status) ? sources_->snapshot() : nullptr;
  return status;
}

absl::Status PolicyAdmin::CatchUp() {
  {
    absl::MutexLock lock(&mu_);
    if (!behind_ || behind_with_ == sources_->snapshot()) return absl::OkStatus();
  }
  return Reload();
}

absl::Status PolicyAdmin::TryReload() {
  ASSIGN_OR_RETURN(Reading reading, Read());
  StoredPolicies stored = std::move(reading.policies);
  SetUnreadable(std::move(reading.unreadable));
  started_ = true;
  const auto same = [](const StoredPolicies::value_type& a, const StoredPolicies::value_type& b) {
    return a.first == b.first && a.second.record_version == b.second.record_version &&
           a.second.stand_in == b.second.stand_in;
  };
  if (std::equal(stored.begin(), stored.end(), stored_.begin(), stored_.end(), same)) {
    return absl::OkStatus();
  }
  StoredPolicies all = stored;
  all.insert(stored_.begin(), stored_.end());
  if (all.size() > stored.size()) {
    // Whoever named what goes away perhaps does not any more, which has not come here yet: a moment
    // in which such a workload had a policy too few would be one in which it is denied everything.
    RETURN_IF_ERROR(Take(all));
    (void)entries_->Refresh();
  }
  RETURN_IF_ERROR(Take(stored));
  stored_ = std::move(stored);
  ShowStored();
  return absl::OkStatus();
}

void PolicyAdmin::ShowStored() {
  std::map<std::string, Application, std::less<>> shown;
  for (const auto& [name, policy] : stored_) {
    shown.emplace(name, Application{policy.applied_by, policy.applied_at});
  }
  absl::MutexLock lock(&shown_mu_);
  shown_ = std::move(shown);
}

absl::Status PolicyAdmin::Take(const StoredPolicies& stored) {
  ResourceList list(RegistrySource::kApi, /*ordered=*/false);
  for (const auto& entry : stored) {
    const Stored& policy = entry.second;
    RETURN_IF_ERROR(policy.stand_in ? list.AddStandIn(policy.policy) : list.Add(policy.policy));
  }
  return sources_->Take(std::move(list));
}

template <typename Attempt>
absl::Status PolicyAdmin::Retry(absl::string_view name, const Attempt& attempt) {
  for (int i = 0; i < kAttempts; ++i) {
    overtaken_ = false;
    const absl::Status status = attempt();
    if (!overtaken_) return status;
    RETURN_IF_ERROR(LookAgain(name));
  }
  return absl::UnavailableError(
      "workloads and policies are being changed at other control planes all the time; nothing has "
      "changed, try again");
}

absl::Status PolicyAdmin::LookAgain(absl::string_view name) {
  ASSIGN_OR_RETURN(Reading reading, Read());
  const StoredPolicies& now = reading.policies;
  const auto known = stored_.find(name);
  const auto found = now.find(name);
  if ((known == stored_.end()) != (found == now.end())) return HasChanged(name);
  // What cannot be read, and nobody has seen yet, is not to be overwritten unseen.
  const auto bad = reading.unreadable.find(name), known_bad = unreadable_.find(name);
  if ((bad == reading.unreadable.end()) != (known_bad == unreadable_.end()) ||
      (bad != reading.unreadable.end() &&
       bad->second.record_version != known_bad->second.record_version)) {
    return HasChanged(name);
  }
  if (known != stored_.end()) {
    if (found->second.policy.SerializeAsString() != known->second.policy.SerializeAsString()) {
      return HasChanged(name);
    }
    // Written anew as it was.
    known->second.record_version = found->second.record_version;
  }
  return entries_->Refresh();
}

absl::optional<StoreCondition> PolicyAdmin::UsersOf(const Authorization& before,
                                                    const Authorization* after) const {
  // Others nobody can name.
  if (before.scope() != istio::security::WORKLOAD_SELECTOR) return absl::nullopt;
  if (after != nullptr && after->scope() == before.scope()) return absl::nullopt;
  return entries_->Unchanged();
}

absl::Status PolicyAdmin::Publish(absl::string_view name, const RegistryChange& change,
                                  const std::function<absl::Status()>& commit) {
  bool committing = false;
  const absl::Status changed = sources_->Change(
      [&change](const RegistrySnapshot&) { return absl::StatusOr<RegistryChange>(change); },
      [&] {
        committing = true;
        return commit();
      });
  if (absl::IsInvalidArgument(changed) && !committing) {
    // The policy itself is good, so that it is what others say of it.
    return PreconditionFailed("IN_USE", name,
                              absl::StrCat("policy \"", name, "\" is in use: ", changed.message()));
  }
  // Another source was faster.
  if (absl::IsAlreadyExists(changed) && !committing) {
    return PreconditionFailed("CONFLICT", name, changed.message());
  }
  return changed;
}

absl::Status PolicyAdmin::CheckOwner(absl::string_view name) const {
  if (sources_->HasPolicy(RegistrySource::kFile, name)) return IsTheFiles(name);
  if (sources_->HasPolicy(RegistrySource::kKubernetes, name)) return IsTheClusters(name);
  return absl::OkStatus();
}

std::string PolicyAdmin::VersionOf(absl::string_view name) const {
  const RegistrySnapshotPtr registry = sources_->snapshot();
  const Resource* const resource = registry->Find(ResourceType::kAuthorization, name);
  return resource == nullptr ? kNoVersion : resource->version;
}

PolicyReview PolicyAdmin::Review(const Authorization& policy, absl::Mutex* turn) const {
  // From before the turn on: what the one before has looked at is good for all who wait.
  MeshLook::Visit visit(&look_);
  absl::MutexLock lock(turn);
  return ReviewPolicy(policy, *visit.Known());
}

absl::StatusOr<PolicyAdmin::Applied> PolicyAdmin::Validate(absl::string_view document) const {
  ASSIGN_OR_RETURN(Authorization policy, ParsePolicyDocument(document));
  Applied answer;
  answer.review = Review(policy, &validate_turn_);
  const RegistrySnapshotPtr registry = sources_->snapshot();
  answer.unchanged = registry->Find(ResourceType::kAuthorization, PolicyKey(policy)) != nullptr;
  answer.entry.policy = std::move(policy);
  return answer;
}

absl::StatusOr<PolicyAdmin::Applied> PolicyAdmin::Apply(absl::string_view document,
                                                        absl::string_view expected_version,
                                                        bool accept_findings,
                                                        absl::string_view who) {
  ASSIGN_OR_RETURN(Authorization policy, ParsePolicyDocument(document));
  const std::string name = PolicyKey(policy);
  Applied applied;
  applied.review = Review(policy, &apply_turn_);

  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckOwner(name));
  const std::string version = VersionOf(name);
  if (!expected_version.empty() && expected_version != version) return HasChanged(name, version);
  const auto known = stored_.find(name);
  if (known != stored_.end() && unreadable_.count(name) == 0 &&
      known->second.policy.SerializeAsString() == policy.SerializeAsString()) {
    applied.entry = Entry{std::move(policy), version, RegistrySource::kApi,
                          known->second.applied_by, known->second.applied_at};
    applied.unchanged = true;
    return applied;
  }
  if (applied.review.has_warning() && !accept_findings)
    return NeedsAcceptance(name, applied.review);

  const absl::Time now = clock_->WallNow();
  RETURN_IF_ERROR(Retry(
      name, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return TryPut(name, policy, who, now); }));
  events_->Add(EventKind::kPolicyChanged, name, version == kNoVersion ? "applied" : "changed", who);
  applied.entry =
      Entry{std::move(policy), VersionOf(name), RegistrySource::kApi, std::string(who), now};
  return applied;
}

absl::Status PolicyAdmin::TryPut(absl::string_view name, const Authorization& policy,
                                 absl::string_view who, absl::Time now) {
  const auto known = stored_.find(name);
  Stored next{policy, std::string(who), now, RecordTable::kNone};
  const auto bad = unreadable_.find(name);
  if (bad != unreadable_.end()) next.record_version = bad->second.record_version;
  if (known != stored_.end()) next.record_version = known->second.record_version;
  ResourceList list(RegistrySource::kApi, /*ordered=*/false);
  RETURN_IF_ERROR(list.Add(policy));
  RegistryChange change;
  change.put = list.entries();
  RETURN_IF_ERROR(Publish(name, change, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> absl::Status {
    absl::optional<StoreCondition> users;
    if (known != stored_.end()) users = UsersOf(known->second.policy, &policy);
    const absl::StatusOr<int64_t> written = records_->Put(
        std::string(name), WriteStoredPolicy(policy, who, now), next.record_version, users);
    overtaken_ = absl::IsAborted(written.status());
    RETURN_IF_ERROR(written.status());
    next.record_version = *written;
    return absl::OkStatus();
  }));
  stored_[std::string(name)] = std::move(next);
  ShowStored();
  ForgetUnreadable(name);
  return absl::OkStatus();
}

absl::Status PolicyAdmin::Delete(absl::string_view name, absl::string_view expected_version,
                                 absl::string_view who) {
  absl::MutexLock lock(&mu_);
  // One of both has been left out, and may be deleted.
  if (stored_.find(name) == stored_.end()) {
    if (unreadable_.count(name) > 0) {
      if (!expected_version.empty() && expected_version != VersionOf(name)) return HasChanged(name);
      RETURN_IF_ERROR(DeleteUnreadable(name));
      events_->Add(EventKind::kPolicyChanged, name, "deleted", who);
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(CheckOwner(name));
    return NoSuchPolicy(name);
  }
  if (!expected_version.empty() && expected_version != VersionOf(name)) return HasChanged(name);
  RETURN_IF_ERROR(
      Retry(name, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return TryDelete(name); }));
  events_->Add(EventKind::kPolicyChanged, name, "deleted", who);
  return absl::OkStatus();
}

absl::Status PolicyAdmin::TryDelete(absl::string_view name) {
  const auto known = stored_.find(name);
  RegistryChange change;
  change.removed.push_back(MakeResource(RegistrySource::kApi, known->second.policy));
  RETURN_IF_ERROR(Publish(name, change, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> absl::Status {
    const absl::Status deleted = records_->Delete(std::string(name), known->second.record_version,
                                                  UsersOf(known->second.policy, /*after=*/nullptr));
    overtaken_ = absl::IsAborted(deleted);
    // Somebody else was faster: it is gone, as was asked.
    return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
  }));
  ForgetUnreadable(name);
  stored_.erase(known);
  ShowStored();
  return absl::OkStatus();
}

absl::Status PolicyAdmin::DeleteUnreadable(absl::string_view name) {
  const auto found = unreadable_.find(name);
  const absl::Status deleted = records_->Delete(found->first, found->second.record_version);
  if (absl::IsAborted(deleted)) return HasChanged(name);
  if (!deleted.ok() && !absl::IsNotFound(deleted)) return deleted;
  ForgetUnreadable(name);
  return absl::OkStatus();
}

absl::StatusOr<PolicyAdmin::Entry> PolicyAdmin::Get(absl::string_view name) const {
  const RegistrySnapshotPtr registry = sources_->snapshot();
  const Resource* const resource = registry->Find(ResourceType::kAuthorization, name);
  if (resource == nullptr) return NoSuchPolicy(name);
  return Describe(*resource);
}

PolicyAdmin::Entry PolicyAdmin::Describe(const Resource& resource) const {
  Entry entry;
  entry.policy.ParseFromString(resource.payload);
  entry.version = resource.version;
  entry.source = resource.source;
  absl::MutexLock lock(&shown_mu_);
  const auto known = shown_.find(resource.name);
  if (entry.source == RegistrySource::kApi && known != shown_.end()) {
    entry.applied_by = known->second.by;
    entry.applied_at = known->second.at;
  }
  return entry;
}

}  // namespace byrnie
