#include "certagent/rotation_policy.h"

#include <algorithm>

namespace byrnie {
namespace {

constexpr double kEarliest = 0.4;
constexpr double kLatest = 0.6;
// A window that asks for a later renewal than this part of the life is not followed.
constexpr double kLastResort = 0.9;

constexpr absl::Duration kFirstRetry = absl::Milliseconds(500);
constexpr absl::Duration kLastRetry = absl::Seconds(15);
constexpr absl::Duration kShortestRetry = absl::Milliseconds(250);
constexpr double kRetrySpread = 0.25;
constexpr double kRetryPartOfLife = 0.05;

}  // namespace

absl::Time RenewalTime(absl::Time issued_at, absl::Time not_after,
                       const absl::optional<RenewalWindow>& window, double random) {
  const absl::Duration life = not_after - issued_at;
  if (life <= absl::ZeroDuration()) return issued_at;
  absl::Time from = issued_at + life * kEarliest;
  absl::Time to = issued_at + life * kLatest;
  if (window.has_value() && window->start <= window->end) {
    const absl::Time limit = issued_at + life * kLastResort;
    const absl::Time start = std::clamp(window->start, issued_at, limit);
    const absl::Time end = std::clamp(window->end, issued_at, limit);
    from = std::clamp(from, start, end);
    to = std::clamp(to, start, end);
  }
  return from + (to - from) * random;
}

absl::Duration RetryDelay(int failures, absl::Time now, absl::optional<absl::Time> not_after,
                          absl::Duration life, double random) {
  const int doublings = std::clamp(failures - 1, 0, 16);
  absl::Duration delay = std::min(kFirstRetry * (1 << doublings), kLastRetry);
  if (life > absl::ZeroDuration()) {
    delay = std::min(delay, std::max(life * kRetryPartOfLife, kShortestRetry));
  }
  delay *= 1 - kRetrySpread + 2 * kRetrySpread * random;
  if (not_after.has_value() && *not_after > now) delay = std::min(delay, *not_after - now);
  return delay;
}

}  // namespace byrnie
