#include "controlplane/ca/settled_time.h"

namespace byrnie {
namespace {

// What a clock is slewed by, and a thread that had to wait between reading the two clocks.
constexpr absl::Duration kTolerance = absl::Seconds(2);

}  // namespace

constexpr absl::Duration SettledTime::kSettle;

SettledTime::SettledTime(const Clock* clock)
    : clock_(clock),
      began_(clock->MonotonicNow()),
      wall_(clock->WallNow()),
      monotonic_(clock->MonotonicNow()) {}

absl::Time SettledTime::Now() {
  const absl::Time wall = clock_->WallNow();
  const absl::Duration monotonic = clock_->MonotonicNow();
  const absl::Time expected = wall_ + (monotonic - monotonic_);
  if (wall > expected + kTolerance) {
    if (ahead_since_ == absl::InfiniteDuration()) ahead_since_ = monotonic;
    if (monotonic - ahead_since_ < kSettle) return expected;
  }
  ahead_since_ = absl::InfiniteDuration();
  wall_ = wall;
  monotonic_ = monotonic;
  return wall;
}

bool SettledTime::IsTried() const { return clock_->MonotonicNow() - began_ >= kSettle; }

}  // namespace byrnie
