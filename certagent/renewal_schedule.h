#ifndef BYRNIE_CERTAGENT_RENEWAL_SCHEDULE_H_
#define BYRNIE_CERTAGENT_RENEWAL_SCHEDULE_H_

#include <functional>

#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "certagent/rotation_policy.h"

namespace byrnie {

// When the next attempt to get a certificate begins. A value without clocks of its own: it is told
// what happened and what both clocks say. Lives on one thread.
//
// A deadline is kept by both clocks and the first to come counts. The wall clock goes on while the
// machine is suspended; the monotonic one while somebody sets the wall clock back. Each attempt
// sets the next deadline, so that no clock, however wrong, makes attempts follow each other at
// once.
class RenewalSchedule {
 public:
  // What the clocks say.
  struct Instant {
    absl::Time wall;
    absl::Duration monotonic;
  };

  // `random` gives uniform numbers in [0, 1).
  explicit RenewalSchedule(std::function<double()> random) : random_(std::move(random)) {}

  // A certificate that ends at `not_after` has been issued just now.
  void OnIssued(const Instant& now, absl::Time not_after,
                const absl::optional<RenewalWindow>& window);
  // The attempt failed. `not_after` is the end of the present certificate, `retry_after` what the
  // authority asked for. Returns the delay.
  absl::Duration OnFailed(const Instant& now, absl::optional<absl::Time> not_after,
                          absl::optional<absl::Duration> retry_after);
  // Makes the next attempt due.
  void Hasten(const Instant& now);
  // Makes it due at a random time within `within` from now, unless it is due before that anyway.
  void HastenWithin(const Instant& now, absl::Duration within);

  // How far the wall clock has jumped since the last call, the monotonic one being right; zero when
  // what they differ by can be explained by delays. Call it about once a second.
  absl::Duration NoticeClockJump(const Instant& now);

  bool Due(const Instant& now) const { return UntilDue(now) <= absl::ZeroDuration(); }
  // Infinite before the first event.
  absl::Duration UntilDue(const Instant& now) const;
  absl::Time next_attempt() const { return next_.wall; }
  int failures_in_a_row() const { return failures_; }

 private:
  void SetNext(const Instant& now, absl::Duration delay);

  std::function<double()> random_;
  int failures_ = 0;
  Instant next_ = {absl::InfiniteFuture(), absl::InfiniteDuration()};
  absl::optional<Instant> noticed_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_RENEWAL_SCHEDULE_H_
