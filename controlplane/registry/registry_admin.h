#ifndef BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_ADMIN_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_ADMIN_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "controlplane/events/event_log.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/registry/registry_sources.h"
#include "controlplane/registry/resource.h"
#include "controlplane/store/store.h"

namespace byrnie {

// The workloads and services that operators apply: kept as records, in force beside those of the
// registry file, and the same at every control plane that shares the store.
//
// All of them have one generation in the store, which every change requires to be the one it was
// checked against: of two control planes that change something at the same time one is too late,
// looks again, and checks again. A change requires the records of the policies it names to be what
// was checked, too, and PolicyAdmin requires this generation where it takes away what a workload
// may name. So what is stored always goes together; where it does not with a registry file, see
// RegistrySources.
//
// A record that cannot be read, damaged or of a newer release, keeps no other one back: what was in
// force of it stays, and for a workload or service of which nothing is known something stands in
// that nobody gets through to (StandInForEntry), at the addresses that are stored beside it. It is
// among the UnreadableRecords until it can be read, or until an operator replaces or deletes it, by
// the same calls as any other.
//
// Thread-safe; may block; the pointers outlive it.
class RegistryAdmin final : private StoreListener {
 public:
  // What became of an entry.
  enum class Outcome { kCreated = 1, kChanged = 2, kUnchanged = 3 };
  struct Applied {
    ResourcePtr resource;
    Outcome outcome;
  };
  // Who applied a resource, and when; absent for one of the file.
  struct Application {
    std::string by;
    absl::Time at;
  };
  // As ApplyRegistryRequest says.
  static constexpr char kNoVersion[] = "none";
  // How often a change is tried that another control plane overtakes.
  static constexpr int kAttempts = 5;

  // Puts the stored entries in force, and those that another control plane stores later. Errors as
  // the store.
  static absl::StatusOr<std::unique_ptr<RegistryAdmin>> Create(
      Store* store, RegistrySources* sources, const std::string& trust_domain,
      UnreadableRecords* unreadable, EventLog* events, const Clock* clock);
  RegistryAdmin(const RegistryAdmin&) = delete;
  RegistryAdmin& operator=(const RegistryAdmin&) = delete;

  // Errors are those of byrnie.operator.v1's methods, details included.
  absl::StatusOr<std::vector<Applied>> Apply(absl::string_view document,
                                             absl::string_view expected_version,
                                             absl::string_view who);
  // `name` is the key.
  absl::Status Delete(ResourceKind kind, absl::string_view name, absl::string_view expected_version,
                      absl::string_view who);
  absl::optional<Application> ApplicationOf(const Resource& resource) const;

  // What a transaction requires that was checked against the workloads and services in force: to be
  // called where that was (RegistrySources::Change, in its `commit`).
  StoreCondition Unchanged() const;
  // Puts in force what other control planes have stored by now. Errors as the store.
  absl::Status Refresh();
  // Is called before what another control plane has stored is put in force, on a thread of the
  // store: what it may refer to comes first. Returns when no call of the one before is running.
  void SetBeforeChanges(std::function<void()> before);
  // Reads what is stored, where something that another control plane stored could not be taken in;
  // to be called about twice a second, by one thread. Blocks on the store.
  void CatchUp();

 private:
  // Of what is stored, by its key in the store.
  using Applications = std::map<std::string, Application, std::less<>>;
  using PoliciesByName = std::map<std::string, ResourcePtr>;
  // Records that cannot be read, by their keys.
  using Unreadable = std::map<std::string, UnreadableRecord>;
  struct Stored {
    int64_t generation = 0;
    Applications applications;
    Unreadable unreadable;
    // As SyncEntryAddresses takes them.
    std::map<std::string, absl::optional<std::string>> addresses;
    ResourceList list{RegistrySource::kApiEntries, /*ordered=*/false};
  };

  RegistryAdmin(Store* store, RegistrySources* sources, std::string trust_domain,
                UnreadableRecords* board, EventLog* events, const Clock* clock);

  absl::Status OnReset() override;
  void OnChanges(const std::vector<StoreChange>& changes) override;
  void TakeChanges(const std::vector<StoreChange>& changes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::StatusOr<Stored> Read() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Adds what holds in the place of a record that cannot be read.
  absl::Status AddUnreadable(const std::string& key, const absl::Status& why, ResourceList* list,
                             Unreadable* unreadable) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What is put in force for one of which nothing is known; null: nothing.
  absl::StatusOr<ResourcePtr> MakeStandIn(const std::string& key) const;
  void SetUnreadable(Unreadable unreadable) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What was in force of a record, which may not have been read since; null: nothing.
  ResourcePtr InForce(const std::string& key) const;
  // Adds what a record holds. InvalidArgument says what is wrong with it.
  absl::Status AddRecord(const std::string& key, const std::string& value, ResourceList* list,
                         Applications* applications) const;
  absl::Status Load() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::vector<Applied>> TryApply(const ResourceList& list,
                                                absl::string_view expected_version,
                                                absl::string_view who)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status TryDelete(ResourceKind kind, absl::string_view name,
                         absl::string_view expected_version, absl::string_view who)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsStale() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Does `attempt` again while another control plane is faster.
  template <typename Attempt>
  absl::Status Retry(const Attempt& attempt) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // That the records of these policies stay what they are: of two control planes, one of which
  // stores a workload that names a policy while the other one deletes or changes that, one is too
  // late. Aborted where a record is not what was checked.
  absl::Status RequirePolicies(const PoliciesByName& policies, StoreTransaction* transaction) const;
  absl::Status Commit(const RegistryChange& change, const PoliciesByName& policies,
                      absl::string_view who) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Store* const store_;              // Not owned.
  RegistrySources* const sources_;  // Not owned.
  const std::string trust_domain_;
  UnreadableRecords* const board_;  // Not owned.
  EventLog* const events_;          // Not owned.
  const Clock* const clock_;        // Not owned.
  // One change at a time.
  mutable absl::Mutex mu_;
  // Revision of the generation that is in force here; 0: nothing was ever stored. Changed together
  // with what is in force, under the sources' lock.
  std::atomic<int64_t> generation_{0};
  Applications applications_ ABSL_GUARDED_BY(mu_);
  // The last commit found another generation.
  bool overtaken_ ABSL_GUARDED_BY(mu_) = false;
  Unreadable unreadable_ ABSL_GUARDED_BY(mu_);
  // Something that was stored elsewhere could not be taken in.
  bool missed_ ABSL_GUARDED_BY(mu_) = false;
  absl::Mutex before_mu_;
  std::function<void()> before_changes_ ABSL_GUARDED_BY(before_mu_);
  // Last: gone before what its calls need.
  std::unique_ptr<StoreWatch> watch_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_ADMIN_H_
