#include "controlplane/ca/settled_time.h"

#include <algorithm>

namespace byrnie {
namespace {

// What a clock is slewed by, and a thread that had to wait between reading the two clocks.
constexpr absl::Duration kTolerance = absl::Seconds(2);

}  // namespace

constexpr absl::Duration SettledTime::kSettle;

SettledTime::SettledTime(const Clock* clock, absl::Time known)
    : clock_(clock),
      began_(clock->MonotonicNow()),
      wall_(std::min(clock->WallNow(), known)),
      monotonic_(clock->MonotonicNow()) {}

SettledTime::Reading SettledTime::Read() {
  const absl::Time wall = clock_->WallNow();
  const absl::Duration monotonic = clock_->MonotonicNow();
  const absl::Time expected = wall_ + (monotonic - monotonic_);
  if (wall > expected + kTolerance) {
    // Also one that jumps on: what it says now is as old as that.
    const absl::Duration ahead = wall - expected;
    if (ahead_since_ == absl::InfiniteDuration() || ahead > ahead_ + kTolerance) {
      ahead_since_ = monotonic;
    }
    ahead_ = ahead;
    const absl::Duration left = ahead_since_ + kSettle - monotonic;
    if (left > absl::ZeroDuration()) return {expected, ahead, left};
  }
  ahead_since_ = absl::InfiniteDuration();
  wall_ = wall;
  monotonic_ = monotonic;
  return {wall, absl::ZeroDuration(), absl::ZeroDuration()};
}

bool SettledTime::IsTried() const { return clock_->MonotonicNow() - began_ >= kSettle; }

}  // namespace byrnie
