#ifndef BYRNIE_COMMON_TELEMETRY_LINE_BUDGET_H_
#define BYRNIE_COMMON_TELEMETRY_LINE_BUDGET_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// How many lines strangers get in the log: whoever needs no proof to be refused could fill a disk
// with refusals. kAtOnce in a burst and kPerSecond in the long run; what goes unsaid is counted for
// the next line. Thread-safe; time is a parameter, monotonic.
class LineBudget {
 public:
  static constexpr double kAtOnce = 100;
  static constexpr double kPerSecond = 5;

  // One more refusal. None: say nothing. Otherwise how many have gone unsaid since the last line.
  absl::optional<uint64_t> Admit(absl::Duration now);

 private:
  absl::Mutex mu_;
  double left_ ABSL_GUARDED_BY(mu_) = kAtOnce;
  absl::Duration filled_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
  uint64_t unsaid_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TELEMETRY_LINE_BUDGET_H_
