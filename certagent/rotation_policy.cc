#include "certagent/rotation_policy.h"

#include <algorithm>

namespace byrnie {
namespace {

constexpr double kEarliest = 0.45;
constexpr double kLatest = 0.6;
// A window that asks for a later renewal than this part of the life is not followed.
constexpr double kLastResort = 0.9;

constexpr absl::Duration kFirstRetry = absl::Seconds(1);
constexpr absl::Duration kLastRetryAlive = absl::Minutes(2);
constexpr absl::Duration kLastRetryDead = absl::Seconds(4);
constexpr double kRetryPartOfLeft = 0.05;
constexpr double kRetrySpread = 0.5;
constexpr absl::Duration kLongestRetryAfterDead = absl::Minutes(5);
constexpr double kRetryAfterSpread = 0.25;

}  // namespace

absl::Time RenewalTime(absl::Time issued_at, absl::Time not_after,
                       const absl::optional<RenewalWindow>& window, double random) {
  const absl::Duration life = not_after - issued_at;
  if (life <= absl::ZeroDuration()) return issued_at + kShortestRenewal;
  absl::Time from = issued_at + life * kEarliest;
  absl::Time to = issued_at + life * kLatest;
  if (window.has_value() && window->start <= window->end && window->end > issued_at) {
    const absl::Time limit = issued_at + life * kLastResort;
    const absl::Time start = std::clamp(window->start, issued_at, limit);
    const absl::Time end = std::clamp(window->end, issued_at, limit);
    from = std::clamp(from, start, end);
    to = std::clamp(to, start, end);
  }
  return std::max(from + (to - from) * random, issued_at + kShortestRenewal);
}

absl::Duration RetryDelay(int failures, absl::Duration left,
                          absl::optional<absl::Duration> retry_after, double random) {
  const bool alive = left > absl::ZeroDuration();
  const int doublings = std::clamp(failures - 1, 0, 16);
  absl::Duration delay = kFirstRetry * (1 << doublings);
  if (alive) {
    delay = std::min({delay, std::max(left * kRetryPartOfLeft, kFirstRetry), kLastRetryAlive});
  } else {
    delay = std::min(delay, kLastRetryDead);
  }
  delay *= 1 + kRetrySpread * random;
  if (retry_after.has_value()) {
    // Spread again: an authority gives the same answer to many.
    const absl::Duration longest = alive ? left / 2 : kLongestRetryAfterDead;
    delay = std::max(delay, std::min(*retry_after * (1 + kRetryAfterSpread * random), longest));
  }
  return alive ? std::min(delay, std::max(left, kFirstRetry)) : delay;
}

}  // namespace byrnie
