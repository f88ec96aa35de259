#ifndef BYRNIE_CONTROLPLANE_STORE_OBSERVED_STORE_H_
#define BYRNIE_CONTROLPLANE_STORE_OBSERVED_STORE_H_

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/repeat_filter.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Another Store whose failures are counted and logged here, whoever asked: at first, and then at
// most once a minute for each reason. That a token is unknown is no failure. Thread-safe.
class ObservedStore final : public Store {
 public:
  // The pointers outlive this.
  ObservedStore(Store* store, const Clock* clock, Logger* logger, MetricRegistry* metrics);

  absl::StatusOr<absl::optional<AuthorityRecord>> LoadAuthority() override;
  absl::Status CreateAuthority(const AuthorityRecord& authority) override;
  absl::Status AddJoinToken(const JoinTokenRecord& token, absl::Time now) override;
  absl::StatusOr<JoinTokenRecord> FindJoinToken(const std::string& hash, absl::Time now) override;
  absl::Status ConsumeJoinToken(const std::string& hash, absl::Time now) override;
  absl::StatusOr<std::vector<JwtKeyRecord>> LoadJwtKeys(absl::Time now) override;
  absl::Status AddJwtKey(const JwtKeyRecord& key, absl::Time after, absl::Time now) override;
  absl::StatusOr<absl::optional<std::string>> LoadOperatorTokenHash() override;
  absl::Status SetOperatorTokenHash(const std::string& hash) override;

 private:
  // Notes what `result` says, and returns it.
  template <typename T>
  T Note(T result);
  void NoteStatus(const absl::Status& status);

  Store* const store_;        // Not owned.
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.
  Counter* const failures_;   // Not owned.
  absl::Mutex mutex_;
  RepeatFilter said_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_OBSERVED_STORE_H_
