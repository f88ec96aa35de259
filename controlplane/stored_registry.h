#ifndef BYRNIE_CONTROLPLANE_STORED_REGISTRY_H_
#define BYRNIE_CONTROLPLANE_STORED_REGISTRY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/telemetry/log.h"
#include "controlplane/events/event_log.h"
#include "controlplane/policy/policy_admin.h"
#include "controlplane/records/record_table.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/registry/registry_admin.h"
#include "controlplane/registry/registry_sources.h"
#include "controlplane/store/store.h"
#include "controlplane/store/store_mirror.h"

namespace byrnie {

// Policies, workloads and services that are kept in the store: in force together with what other
// sources have, as are those that another control plane stores later. Says in the log and among the
// events what does not go with the rest. Lives on one thread but for what it gives out and
// CatchUp().
class StoredRegistry {
 public:
  // Takes in what is stored, while `sources` hold (RegistrySources::Hold). Errors as the store. The
  // pointers outlive it.
  static absl::StatusOr<std::unique_ptr<StoredRegistry>> Load(
      Store* store, const std::string& trust_domain, RegistrySources* sources,
      UnreadableRecords* unreadable, EventLog* events, const Clock* clock, Logger* logger);
  StoredRegistry(const StoredRegistry&) = delete;
  StoredRegistry& operator=(const StoredRegistry&) = delete;
  ~StoredRegistry() { StopFollowing(); }

  PolicyAdmin* policies() { return policies_.get(); }
  RegistryAdmin* entries() { return entries_.get(); }

  // Makes good what could not be taken in before; waits for the store.
  void CatchUp();
  // Takes in nothing more of what others store. Idempotent.
  void StopFollowing();

 private:
  StoredRegistry(Store* store, Logger* logger);
  void ReloadPolicies();

  Logger* const logger_;  // Not owned.
  RecordTable policy_records_;
  std::unique_ptr<PolicyAdmin> policies_;
  std::unique_ptr<StoreMirror> policy_mirror_;
  std::unique_ptr<RegistryAdmin> entries_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORED_REGISTRY_H_
