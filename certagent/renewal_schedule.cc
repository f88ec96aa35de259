#include "certagent/renewal_schedule.h"

#include <algorithm>
#include <utility>

namespace byrnie {
namespace {

// A difference between the two clocks that no scheduling delay explains.
constexpr absl::Duration kClockJump = absl::Seconds(5);

}  // namespace

void RenewalSchedule::OnIssued(const Instant& now, absl::Time not_after,
                               const absl::optional<RenewalWindow>& window) {
  failures_ = 0;
  SetNext(now, RenewalTime(now.wall, not_after, window, random_()) - now.wall);
}

absl::Duration RenewalSchedule::OnFailed(const Instant& now, absl::optional<absl::Time> not_after,
                                         absl::optional<absl::Duration> retry_after) {
  ++failures_;
  const absl::Duration left = not_after.has_value() ? *not_after - now.wall : absl::ZeroDuration();
  const absl::Duration delay = RetryDelay(failures_, left, retry_after, random_());
  SetNext(now, delay);
  return delay;
}

void RenewalSchedule::Hasten(const Instant& now) { next_ = now; }

void RenewalSchedule::HastenWithin(const Instant& now, absl::Duration within) {
  const absl::Duration delay = std::max(within, absl::ZeroDuration()) * random_();
  if (delay < UntilDue(now)) SetNext(now, delay);
}

void RenewalSchedule::SetNext(const Instant& now, absl::Duration delay) {
  next_ = {now.wall + delay, now.monotonic + delay};
}

absl::Duration RenewalSchedule::NoticeClockJump(const Instant& now) {
  const Instant before = noticed_.value_or(now);
  noticed_ = now;
  const absl::Duration jump = (now.wall - before.wall) - (now.monotonic - before.monotonic);
  return absl::AbsDuration(jump) < kClockJump ? absl::ZeroDuration() : jump;
}

absl::Duration RenewalSchedule::UntilDue(const Instant& now) const {
  return std::min(next_.wall - now.wall, next_.monotonic - now.monotonic);
}

}  // namespace byrnie
