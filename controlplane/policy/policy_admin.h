#ifndef BYRNIE_CONTROLPLANE_POLICY_POLICY_ADMIN_H_
#define BYRNIE_CONTROLPLANE_POLICY_POLICY_ADMIN_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "controlplane/events/event_log.h"
#include "controlplane/policy/mesh_look.h"
#include "controlplane/policy/policy_findings.h"
#include "controlplane/records/record_table.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/registry/content.h"
#include "controlplane/registry/registry_admin.h"
#include "controlplane/registry/registry_change.h"
#include "controlplane/registry/registry_sources.h"
#include "controlplane/store/store.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// The policies that operators apply: kept as records, in force beside those of the registry file or
// of the cluster, which are shown and not changed here.
//
// Of two control planes that share the store one may delete a policy while another one stores a
// workload that names it. So whoever takes away what a workload may name requires the generation of
// the stored workloads that it was checked against, and RegistryAdmin requires the records of the
// policies that are named: one of the two is too late, and checks again. Nothing else waits for
// the other, a policy that is added least of all.
//
// A record that cannot be read, damaged or of a newer release, keeps no other one back. In its
// place stays what was in force of it; where nothing is known because this process has just
// started, a policy stands in for it that denies what it may deny (StandInFor), but for agents that
// have the policy itself from before (Resource::stand_in). It is UnreadableRecords that tells of
// it, and an operator who replaces or deletes it: by the same calls as any other.
//
// Thread-safe; may block; the pointers outlive it.
class PolicyAdmin {
 public:
  // What is known of a policy in force.
  struct Entry {
    istio::security::Authorization policy;
    // Of the content: the same after a restart, different when anything changes.
    std::string version;
    RegistrySource source = RegistrySource::kApi;
    // Of one that was applied through the API.
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
  // How often a change is tried that another control plane overtakes.
  static constexpr int kAttempts = 5;

  // Puts the recorded policies in force. Errors as the store.
  static absl::StatusOr<std::unique_ptr<PolicyAdmin>> Create(RecordTable* records,
                                                             RegistrySources* sources,
                                                             RegistryAdmin* entries,
                                                             UnreadableRecords* unreadable,
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
  // What is known of a policy beyond the registry's resource, which is in force. Waits for no
  // change that is under way.
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
    // It is not what the record says, which cannot be read and of which nothing else is known.
    bool stand_in = false;
  };
  using StoredPolicies = std::map<std::string, Stored, std::less<>>;
  struct Application {
    std::string by;
    absl::Time at;
  };
  // A record that cannot be read.
  struct Unreadable {
    int64_t record_version = 0;
    UnreadableRecord record;
  };
  using UnreadablePolicies = std::map<std::string, Unreadable, std::less<>>;
  // What the store has. In the place of a record that cannot be read is what holds of it.
  struct Reading {
    StoredPolicies policies;
    UnreadablePolicies unreadable;
  };

  PolicyAdmin(RecordTable* records, RegistrySources* sources, RegistryAdmin* entries,
              UnreadableRecords* board, EventLog* events, const Clock* clock)
      : records_(records),
        sources_(sources),
        entries_(entries),
        board_(board),
        events_(events),
        clock_(clock),
        look_([sources] { return sources->snapshot(); }) {}
  absl::StatusOr<Reading> Read() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReadUnreadable(const RecordTable::Record& record, const absl::Status& why,
                      Reading* reading) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Says which records cannot be read.
  void SetUnreadable(UnreadablePolicies unreadable) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // An operator has replaced or deleted the record.
  void ForgetUnreadable(absl::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status TryReload() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Tells readers what stored_ is now.
  void ShowStored() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Puts what is stored in force.
  absl::Status Take(const StoredPolicies& stored) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Does `attempt`, which changes the policy, again while another control plane is faster.
  template <typename Attempt>
  absl::Status Retry(absl::string_view name, const Attempt& attempt)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // After another control plane has been faster: Aborted when it has changed this policy.
  absl::Status LookAgain(absl::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status TryPut(absl::string_view name, const istio::security::Authorization& policy,
                      absl::string_view who, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status TryDelete(absl::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Deletes a record that cannot be read and that nothing in force stands for.
  absl::Status DeleteUnreadable(absl::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What a change is checked against that takes away what workloads name; none where it does not.
  absl::optional<StoreCondition> UsersOf(const istio::security::Authorization& before,
                                         const istio::security::Authorization* after) const;
  // Puts `change` of the policy `name` in force once `commit` is done.
  absl::Status Publish(absl::string_view name, const RegistryChange& change,
                       const std::function<absl::Status()>& commit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // As ReviewPolicy of what is in force, for one at a time who waits for `turn`.
  PolicyReview Review(const istio::security::Authorization& policy, absl::Mutex* turn) const
      ABSL_LOCKS_EXCLUDED(turn);
  std::string VersionOf(absl::string_view name) const;
  // Why it is not to be changed here; OK: it is not another source's.
  absl::Status CheckOwner(absl::string_view name) const;

  RecordTable* const records_;      // Not owned.
  RegistrySources* const sources_;  // Not owned.
  RegistryAdmin* const entries_;    // Not owned.
  UnreadableRecords* const board_;  // Not owned.
  EventLog* const events_;          // Not owned.
  const Clock* const clock_;        // Not owned.
  // One change at a time; held over the store's calls.
  mutable absl::Mutex mu_;
  StoredPolicies stored_ ABSL_GUARDED_BY(mu_);
  UnreadablePolicies unreadable_ ABSL_GUARDED_BY(mu_);
  // The records have been read: what is not in stored_ was not there.
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  // The last commit found something changed.
  bool overtaken_ ABSL_GUARDED_BY(mu_) = false;
  // What is recorded is not in force, because the store could not be read.
  bool behind_ ABSL_GUARDED_BY(mu_) = false;
  RegistrySnapshotPtr behind_with_ ABSL_GUARDED_BY(mu_);
  mutable MeshLook look_;
  // Whoever applies a policy does not wait for all those who want to know about theirs.
  mutable absl::Mutex validate_turn_, apply_turn_;
  mutable absl::Mutex shown_mu_ ABSL_ACQUIRED_AFTER(mu_);
  // Who has applied what is stored, by name.
  std::map<std::string, Application, std::less<>> shown_ ABSL_GUARDED_BY(shown_mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_POLICY_ADMIN_H_
