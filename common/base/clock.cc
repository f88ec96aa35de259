#include "common/base/clock.h"

#include <time.h>

#include "absl/time/clock.h"

namespace byrnie {

absl::Time SystemClock::WallNow() const { return absl::Now(); }

absl::Duration SystemClock::MonotonicNow() const {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);  // Cannot fail for this clock.
  return absl::DurationFromTimespec(now);
}

}  // namespace byrnie
