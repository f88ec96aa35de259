#ifndef BYRNIE_CONTROLPLANE_CA_ISSUE_LIMITER_H_
#define BYRNIE_CONTROLPLANE_CA_ISSUE_LIMITER_H_

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace byrnie {

// Keeps requests for certificates under a rate, so that a fleet which comes back all at once, after
// an outage for example, is served bit by bit. Whoever is refused is told when to come back, each
// at a time of its own: the retries arrive about as fast as they can be served. Thread-safe; time
// is a parameter, monotonic.
class IssueLimiter {
 public:
  // Nobody is told to wait longer.
  static constexpr absl::Duration kLongestWait = absl::Minutes(5);

  // At most `per_second` in the long run, and a tenth of that at once. 0: no limit.
  explicit IssueLimiter(double per_second);

  // ResourceExhausted, with when to come back (RetryAfter), when there is no room at `now`.
  absl::Status Admit(absl::Duration now);

 private:
  const double per_second_;
  const double burst_;
  absl::Mutex mu_;
  double tokens_ ABSL_GUARDED_BY(mu_);
  absl::Duration refilled_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
  // When the one refused last was told to come back.
  absl::Duration last_slot_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_ISSUE_LIMITER_H_
