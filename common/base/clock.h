#ifndef BYRNIE_COMMON_BASE_CLOCK_H_
#define BYRNIE_COMMON_BASE_CLOCK_H_

#include "absl/time/time.h"

namespace byrnie {

// Where every component gets the time from, so that tests decide what time it is.
// Thread-safe. A pointer to a Clock outlives everything it is given to.
class Clock {
 public:
  virtual ~Clock() = default;

  // Wall-clock time: for certificate validity and for people. May jump either way.
  virtual absl::Time WallNow() const = 0;

  // Time since an arbitrary start that never goes backwards: for timeouts. Stops while the machine
  // is suspended, which is why certificate deadlines are judged by WallNow().
  virtual absl::Duration MonotonicNow() const = 0;
};

// The clocks of the machine (CLOCK_REALTIME and CLOCK_MONOTONIC).
class SystemClock final : public Clock {
 public:
  absl::Time WallNow() const override;
  absl::Duration MonotonicNow() const override;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_CLOCK_H_
