#ifndef BYRNIE_CONTROLPLANE_POLICY_POLICY_ADMIN_H_
#define BYRNIE_CONTROLPLANE_POLICY_POLICY_ADMIN_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "controlplane/events/event_log.h"
#include "controlplane/policy/policy_findings.h"
#include "controlplane/records/record_table.h"
#include "controlplane/registry/registry_sources.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// The policies that operators apply: kept as records, in force beside those of the registry file.
// Thread-safe; may block; the pointers outlive it.
class PolicyAdmin {
 public:
  // What is known of a policy in force.
  struct Entry {
    istio::security::Authorization policy;
    // Of the content: the same after a restart, different when anything changes.
    std::string version;
    bool from_file = false;
    // Of one that was applied.
    std::string applied_by;
    absl::optional<absl::Time> applied_at;
  };
  struct Applied {
    Entry entry;
    PolicyReview review;
    bool unchanged = false;
  };
  // As ApplyPolicyRequest says.
  static constexpr char kNoVersion[] = "none";

  // Puts the recorded policies in force. FailedPrecondition when one is not understood: leaving it
  // out could let somebody in. AlreadyExists as RegistrySources.
  static absl::StatusOr<std::unique_ptr<PolicyAdmin>> Create(RecordTable* records,
                                                             RegistrySources* sources,
                                                             EventLog* events, const Clock* clock);
  PolicyAdmin(const PolicyAdmin&) = delete;
  PolicyAdmin& operator=(const PolicyAdmin&) = delete;

  // Errors are those of byrnie.operator.v1's methods of the same names, details included.
  absl::StatusOr<Applied> Validate(absl::string_view document) const;
  absl::StatusOr<Applied> Apply(absl::string_view document, absl::string_view expected_version,
                                bool accept_findings, absl::string_view who);
  absl::Status Delete(absl::string_view name, absl::string_view expected_version,
                      absl::string_view who);
  // NotFound.
  absl::StatusOr<Entry> Get(absl::string_view name) const;
  // What is known of a policy beyond the registry's resource, which is in force.
  Entry Describe(const Resource& resource) const;

  // Reads the records anew, because another control plane has changed them. What was in force stays
  // when that fails.
  absl::Status Reload();
  // Does that again, where it failed and could do better now; to be called about twice a second.
  absl::Status CatchUp();

 private:
  struct Stored {
    istio::security::Authorization policy;
    std::string applied_by;
    absl::Time applied_at;
    int64_t record_version = 0;
  };
  using StoredPolicies = std::map<std::string, Stored, std::less<>>;

  PolicyAdmin(RecordTable* records, RegistrySources* sources, EventLog* events, const Clock* clock)
      : records_(records), sources_(sources), events_(events), clock_(clock) {}
  absl::StatusOr<StoredPolicies> Read() const;
  absl::Status TryReload() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The version of a record that says what it said before: a workload that names the policy has it
  // written anew as it is (RegistryAdmin). None: it says something else.
  absl::optional<int64_t> VersionOfSame(absl::string_view name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Puts `next` in force once `commit` is done. `name` is the policy that changes; empty: any.
  absl::Status Publish(absl::string_view name, StoredPolicies next,
                       const std::function<absl::Status()>& commit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string VersionOf(absl::string_view name) const;

  RecordTable* const records_;      // Not owned.
  RegistrySources* const sources_;  // Not owned.
  EventLog* const events_;          // Not owned.
  const Clock* const clock_;        // Not owned.
  // One change at a time.
  mutable absl::Mutex mu_;
  StoredPolicies stored_ ABSL_GUARDED_BY(mu_);
  // What is recorded is not in force, because it does not go with this registry or could not be
  // read.
  bool behind_ ABSL_GUARDED_BY(mu_) = false;
  RegistrySnapshotPtr behind_with_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_POLICY_ADMIN_H_
