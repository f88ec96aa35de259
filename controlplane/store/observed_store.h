#ifndef BYRNIE_CONTROLPLANE_STORE_OBSERVED_STORE_H_
#define BYRNIE_CONTROLPLANE_STORE_OBSERVED_STORE_H_

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/repeat_filter.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Another Store whose failures are counted and logged here, whoever asked: at first, and then at
// most once a minute for each reason. That a condition does not hold is no failure. Thread-safe.
class ObservedStore final : public Store {
 public:
  // How calls of a kind went.
  struct Access {
    // Of the last one; OK before there was one.
    absl::Status status;
    // Of the first of the failures that this is the last of.
    absl::Time failing_since = absl::InfiniteFuture();
  };

  // The pointers outlive this.
  ObservedStore(Store* store, const Clock* clock, Logger* logger, MetricRegistry* metrics);

  // Failures are logged from now on. Before, whoever starts says why a start has failed.
  void BeginLog();

  Access reads() const;
  Access writes() const;

  absl::StatusOr<absl::optional<StoreEntry>> Get(absl::string_view key) override;
  absl::StatusOr<Page> List(absl::string_view prefix, absl::string_view after_key,
                            int limit) override;
  absl::StatusOr<int64_t> Count(absl::string_view prefix) override;
  absl::StatusOr<int64_t> Commit(const StoreTransaction& transaction) override;
  std::unique_ptr<StoreWatch> Watch(absl::string_view prefix, StoreListener* listener) override;
  std::unique_ptr<StoreElection> Campaign(absl::string_view name) override;

 private:
  // Notes what `result` says of calls of its kind, and returns it.
  template <typename T>
  absl::StatusOr<T> Note(absl::StatusOr<T> result, Access* access);

  Store* const store_;        // Not owned.
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.
  Counter* const failures_;   // Not owned.
  mutable absl::Mutex mutex_;
  Access reads_ ABSL_GUARDED_BY(mutex_), writes_ ABSL_GUARDED_BY(mutex_);
  bool logs_ ABSL_GUARDED_BY(mutex_) = false;
  RepeatFilter said_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_OBSERVED_STORE_H_
