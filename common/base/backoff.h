#ifndef BYRNIE_COMMON_BASE_BACKOFF_H_
#define BYRNIE_COMMON_BASE_BACKOFF_H_

#include "absl/random/bit_gen_ref.h"
#include "absl/time/time.h"

namespace byrnie {

// How long to wait before the next attempt: exponential with a cap, jittered so that many clients
// that failed together do not come back together. Lives on one thread.
class Backoff {
 public:
  struct Options {
    // The longest wait after the first failure. Greater than zero.
    absl::Duration initial = absl::Milliseconds(100);
    // The longest wait at all. At least `initial`.
    absl::Duration max = absl::Seconds(30);
    // Growth per failure. At least 1.
    double multiplier = 2.0;
    // The share of the wait that is random: 1 draws from (0, limit] ("full jitter"), 0.2 from
    // [0.8 limit, limit], 0 always waits the limit. Between 0 and 1.
    double jitter = 1.0;
    // The shortest wait, so that full jitter never means at once. At most `initial`.
    absl::Duration min = absl::Milliseconds(10);
  };

  // `random` is borrowed and outlives this.
  Backoff(const Options& options, absl::BitGenRef random);

  // The wait before the next attempt; each call counts as one more failure.
  absl::Duration Next();
  // An attempt succeeded: the next wait is drawn from `initial` again.
  void Reset() { limit_ = options_.initial; }

 private:
  const Options options_;
  absl::BitGenRef random_;  // Not owned.
  absl::Duration limit_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_BACKOFF_H_
