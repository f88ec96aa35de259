#ifndef BYRNIE_CONTROLPLANE_HEALTH_HEALTH_WATCH_H_
#define BYRNIE_CONTROLPLANE_HEALTH_HEALTH_WATCH_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/base/periodic_thread.h"
#include "common/telemetry/metrics.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/health/cluster_health.h"
#include "controlplane/health/condition.h"
#include "controlplane/health/condition_board.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/registry/registry_sources.h"
#include "controlplane/store/observed_store.h"
#include "controlplane/trust/bundle_file.h"
#include "controlplane/trust/root_rotation.h"
#include "controlplane/trust/shared_fleet.h"
#include "controlplane/trust/trust_keeper.h"

namespace byrnie {

// Looks at the control plane itself again and again. What is asked of the store is asked on a
// thread of its own: that a store does not answer is itself to be told at once. Everything given
// outlives it.
class HealthWatch {
 public:
  static constexpr absl::Duration kInterval = absl::Seconds(1);

  struct Sources {
    // What this control plane is called, and how long it issues without the store it shares.
    std::string name;
    absl::Duration issues_without_store;
    const ObservedStore* store;
    const UnreadableRecords* unreadable;
    const IssuanceLog* log;
    TrustKeeper* trust;
    const TrustBundleSource* bundles;
    const RegistrySources* registry;
    // Null: nobody shares the store.
    SharedFleet* fleet;
    // On any thread, as what follows.
    std::function<ClusterHealth()> cluster;
    std::function<InputFiles()> input_files;
    // Null: there is none.
    const BundleFile* bundle_file;
    const Clock* clock;
  };

  HealthWatch(Sources sources, MetricRegistry* metrics);

  // Asks and looks once, and from then on until Stop(), which waits for what is under way.
  void Start();
  void Stop();

  const ConditionBoard& board() const { return board_; }

 private:
  // What the store said last.
  struct StoreAnswers {
    absl::optional<RotationStatus> rotation;
    absl::optional<absl::StatusOr<std::vector<SharedFleet::Peer>>> peers;
  };

  void AskStore();
  HealthFacts Look() const;
  void LookAndTell();

  const Sources s_;
  ConditionBoard board_;
  mutable absl::Mutex mu_;
  StoreAnswers answers_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<PeriodicThread> asking_, looking_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_HEALTH_HEALTH_WATCH_H_
