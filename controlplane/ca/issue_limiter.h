#ifndef BYRNIE_CONTROLPLANE_CA_ISSUE_LIMITER_H_
#define BYRNIE_CONTROLPLANE_CA_ISSUE_LIMITER_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// Keeps requests for certificates under a rate, so that a fleet which comes back all at once, after
// an outage for example, is served bit by bit. Whoever is refused is told when to come back, each
// at a time of its own: the retries arrive about as fast as they can be served. Thread-safe; time
// is a parameter, monotonic.
//
// When not all can be served, those whose certificates end first are: who has more time left is
// admitted only while there is more room. In a lasting overload that settles where as many come as
// can be served, and they are the most urgent ones. One identity gets no more than its share.
//
// The rate is what somebody has set, and may be more than the machine can do. Then requests wait
// for their turn, and how long this one has waited says how much too many there are: the longer,
// the more urgent one has to be to be admitted. Those refused cost little, so that the others come
// up.
class IssueLimiter {
 public:
  // Nobody is told to wait longer.
  static constexpr absl::Duration kLongestWait = absl::Minutes(5);
  // With so much time left or more nobody is more urgent than another.
  static constexpr absl::Duration kNoHurry = absl::Minutes(15);
  // As urgent as a certificate that ends in so long: a workload that has none and waits for it.
  static constexpr absl::Duration kFirstCertificate = absl::Minutes(2);
  // Requests that have waited no longer than the one came when there was room; when they have
  // waited as long as the other, those alone are admitted who are in the greatest hurry.
  static constexpr absl::Duration kShortQueue = absl::Milliseconds(250);
  static constexpr absl::Duration kLongQueue = absl::Milliseconds(1500);

  // Who asks.
  struct Asker {
    // Empty: has no limit of its own.
    absl::string_view identity = {};
    // Until its present certificate ends; absent: it has none.
    absl::optional<absl::Duration> left = absl::nullopt;
    // How long the request has waited for its turn.
    absl::Duration waited = absl::ZeroDuration();
  };

  // At most `per_second` in the long run, and a tenth of that, but four at least, at once; of one
  // identity at most `per_identity`, and a second's worth at once. 0: no limit.
  explicit IssueLimiter(double per_second, double per_identity = 0);

  // ResourceExhausted, with when to come back (RetryAfter), when there is no room at `now`.
  absl::Status Admit(absl::Duration now,
                     const Asker& asker = {"", absl::ZeroDuration(), absl::ZeroDuration()});

  // Identities it keeps count of.
  size_t identities() const;

 private:
  // Fills up over time.
  struct Bucket {
    double tokens = 0;
    absl::Duration refilled = -absl::InfiniteDuration();
    void Refill(absl::Duration now, double per_second, double most);
  };
  // How many were admitted lately.
  struct Pace {
    absl::Duration since = -absl::InfiniteDuration();
    double count = 0;
    double before = 0;  // Per second.
    void Roll(absl::Duration now);
    double PerSecond(absl::Duration now) const;
  };
  // What has to be there for `asker` to be admitted, its own token included.
  double NeededFor(const Asker& asker) const;
  absl::Status AdmitIdentity(absl::Duration now, const Asker& asker, Bucket** bucket)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether a queue as long as `asker` has seen leaves room for it.
  absl::Status AdmitFromQueue(absl::Duration now, const Asker& asker)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // How long the one refused now is to wait, where so many can be served in a second.
  absl::Duration NextSlot(absl::Duration now, double per_second) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Forgets identities that have all of their share again.
  void Sweep(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const double per_second_;
  const double burst_;
  const double per_identity_;
  const double identity_burst_;
  mutable absl::Mutex mu_;
  Bucket all_ ABSL_GUARDED_BY(mu_);
  Pace pace_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Bucket> by_identity_ ABSL_GUARDED_BY(mu_);
  absl::Duration next_sweep_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
  // When the one refused last was told to come back.
  absl::Duration last_slot_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_ISSUE_LIMITER_H_
