#include "controlplane/policy/policy_admin.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "byrnie/store/v1/policy.pb.h"
#include "common/base/status_macros.h"
#include "common/grpc/error_details.h"
#include "controlplane/policy/policy_document.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/registry/content_checker.h"

namespace byrnie {
namespace {

using istio::security::Authorization;

absl::Status IsTheFiles(absl::string_view name) {
  return PreconditionFailed(
      "CONFLICT", name,
      absl::StrCat("policy \"", name,
                   "\" is the registry file's; change it there, or take it out "
                   "of the file first"));
}

absl::Status NoSuchPolicy(absl::string_view name) {
  return ResourceNotFound("policy", name, absl::StrCat("there is no policy \"", name, "\""));
}

absl::Status HasChanged(absl::string_view name) {
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

std::string WriteRecord(const Authorization& policy, absl::string_view who, absl::Time now) {
  byrnie::store::v1::Policy record;
  record.set_document(WritePolicyDocument(policy));
  record.set_applied_by(std::string(who));
  ToProto(now, record.mutable_applied_at());
  return record.SerializeAsString();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PolicyAdmin>> PolicyAdmin::Create(RecordTable* records,
                                                                 RegistrySources* sources,
                                                                 EventLog* events,
                                                                 const Clock* clock) {
  auto admin = absl::WrapUnique(new PolicyAdmin(records, sources, events, clock));
  RETURN_IF_ERROR(admin->Reload());
  return admin;
}

absl::StatusOr<PolicyAdmin::StoredPolicies> PolicyAdmin::Read() const {
  ASSIGN_OR_RETURN(std::vector<RecordTable::Record> records, records_->List());
  StoredPolicies stored;
  for (const RecordTable::Record& record : records) {
    byrnie::store::v1::Policy value;
    absl::StatusOr<Authorization> policy = absl::InvalidArgumentError("the record is damaged");
    if (value.ParseFromString(record.value)) policy = ParsePolicyDocument(value.document());
    if (policy.ok() && PolicyKey(*policy) != record.key) {
      policy = absl::InvalidArgumentError("the record is of another policy");
    }
    if (!policy.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat("stored policy \"", record.key, "\": ", policy.status().message(),
                       "; leaving it out could let somebody in: start the release that wrote it, "
                       "and delete it there"));
    }
    stored.emplace(record.key, Stored{*std::move(policy), value.applied_by(),
                                      FromProto(value.applied_at()), record.version});
  }
  return stored;
}

absl::optional<int64_t> PolicyAdmin::VersionOfSame(absl::string_view name) const {
  const absl::StatusOr<StoredPolicies> now = Read();
  const auto known = stored_.find(name);
  if (!now.ok() || known == stored_.end()) return absl::nullopt;
  const auto found = now->find(name);
  if (found == now->end() ||
      found->second.policy.SerializeAsString() != known->second.policy.SerializeAsString()) {
    return absl::nullopt;
  }
  return found->second.record_version;
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
  ASSIGN_OR_RETURN(StoredPolicies stored, Read());
  const auto same = [](const StoredPolicies::value_type& a, const StoredPolicies::value_type& b) {
    return a.first == b.first && a.second.record_version == b.second.record_version;
  };
  if (std::equal(stored.begin(), stored.end(), stored_.begin(), stored_.end(), same)) {
    return absl::OkStatus();
  }
  return Publish("", std::move(stored), [] { return absl::OkStatus(); });
}

absl::Status PolicyAdmin::Publish(absl::string_view name, StoredPolicies next,
                                  const std::function<absl::Status()>& commit) {
  RegistryContent content;
  for (const auto& entry : next) content.policies.push_back(entry.second.policy);
  bool committing = false;
  const absl::Status set = sources_->Set(RegistrySources::Source::kApi, std::move(content), [&] {
    committing = true;
    return commit();
  });
  if (absl::IsInvalidArgument(set) && !committing && !name.empty()) {
    // The policy itself is good, so that it is what others say of it.
    return PreconditionFailed("IN_USE", name,
                              absl::StrCat("policy \"", name, "\" is in use: ", set.message()));
  }
  RETURN_IF_ERROR(set);
  stored_ = std::move(next);
  return absl::OkStatus();
}

std::string PolicyAdmin::VersionOf(absl::string_view name) const {
  const RegistrySnapshotPtr registry = sources_->snapshot();
  const Resource* const resource = registry->Find(ResourceType::kAuthorization, name);
  return resource == nullptr ? kNoVersion : resource->version;
}

absl::StatusOr<PolicyAdmin::Applied> PolicyAdmin::Validate(absl::string_view document) const {
  ASSIGN_OR_RETURN(Authorization policy, ParsePolicyDocument(document));
  const RegistrySnapshotPtr registry = sources_->snapshot();
  Applied answer;
  answer.review = ReviewPolicy(policy, *registry);
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
  const RegistrySnapshotPtr registry = sources_->snapshot();
  Applied applied;
  applied.review = ReviewPolicy(policy, *registry);

  absl::MutexLock lock(&mu_);
  if (sources_->HasPolicy(RegistrySources::Source::kFile, name)) return IsTheFiles(name);
  const std::string version = VersionOf(name);
  if (!expected_version.empty() && expected_version != version) return HasChanged(name);
  const auto known = stored_.find(name);
  if (known != stored_.end() &&
      known->second.policy.SerializeAsString() == policy.SerializeAsString()) {
    applied.entry = Entry{std::move(policy), version, false, known->second.applied_by,
                          known->second.applied_at};
    applied.unchanged = true;
    return applied;
  }
  if (applied.review.has_warning() && !accept_findings)
    return NeedsAcceptance(name, applied.review);

  const absl::Time now = clock_->WallNow();
  StoredPolicies next = stored_;
  next[name] = Stored{policy, std::string(who), now, 0};
  const int64_t before = known == stored_.end() ? RecordTable::kNone : known->second.record_version;
  int64_t record_version = 0;
  RETURN_IF_ERROR(Publish(name, std::move(next), [&]() -> absl::Status {
    const std::string record = WriteRecord(policy, who, now);
    absl::StatusOr<int64_t> written = records_->Put(name, record, before);
    if (absl::IsAborted(written.status())) {
      const absl::optional<int64_t> again = VersionOfSame(name);
      if (again.has_value()) written = records_->Put(name, record, *again);
    }
    if (absl::IsAborted(written.status())) return HasChanged(name);
    RETURN_IF_ERROR(written.status());
    record_version = *written;
    return absl::OkStatus();
  }));
  stored_[name].record_version = record_version;
  events_->Add(EventKind::kPolicyChanged, name, version == kNoVersion ? "applied" : "changed", who);
  applied.entry = Entry{std::move(policy), VersionOf(name), false, std::string(who), now};
  return applied;
}

absl::Status PolicyAdmin::Delete(absl::string_view name, absl::string_view expected_version,
                                 absl::string_view who) {
  absl::MutexLock lock(&mu_);
  if (sources_->HasPolicy(RegistrySources::Source::kFile, name)) return IsTheFiles(name);
  const auto known = stored_.find(name);
  if (known == stored_.end()) return NoSuchPolicy(name);
  if (!expected_version.empty() && expected_version != VersionOf(name)) return HasChanged(name);
  const int64_t before = known->second.record_version;
  StoredPolicies next = stored_;
  next.erase(std::string(name));
  RETURN_IF_ERROR(Publish(name, std::move(next), [&]() -> absl::Status {
    absl::Status status = records_->Delete(std::string(name), before);
    if (absl::IsAborted(status)) {
      const absl::optional<int64_t> again = VersionOfSame(name);
      if (again.has_value()) status = records_->Delete(std::string(name), *again);
    }
    if (absl::IsAborted(status)) return HasChanged(name);
    // Somebody else was faster: it is gone, as was asked.
    return absl::IsNotFound(status) ? absl::OkStatus() : status;
  }));
  events_->Add(EventKind::kPolicyChanged, name, "deleted", who);
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
  absl::MutexLock lock(&mu_);
  const auto known = stored_.find(resource.name);
  entry.from_file = known == stored_.end();
  if (!entry.from_file) {
    entry.applied_by = known->second.applied_by;
    entry.applied_at = known->second.applied_at;
  }
  return entry;
}

}  // namespace byrnie
