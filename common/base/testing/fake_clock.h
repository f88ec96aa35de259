#ifndef BYRNIE_COMMON_BASE_TESTING_FAKE_CLOCK_H_
#define BYRNIE_COMMON_BASE_TESTING_FAKE_CLOCK_H_

#include <mutex>

#include "absl/time/time.h"
#include "common/base/clock.h"

namespace byrnie {

// A clock that stands still until the test moves it. Thread-safe.
class FakeClock final : public Clock {
 public:
  // Starts at 2030-01-01 00:00:00 UTC unless told otherwise.
  explicit FakeClock(absl::Time wall = absl::FromUnixSeconds(1893456000)) : wall_(wall) {}

  absl::Time WallNow() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return wall_;
  }
  absl::Duration MonotonicNow() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return monotonic_;
  }

  // Lets `by` pass on both clocks.
  void Advance(absl::Duration by) {
    std::lock_guard<std::mutex> lock(mutex_);
    wall_ += by;
    monotonic_ += by;
  }
  // Sets the wall clock alone, as an operator or NTP would.
  void SetWall(absl::Time wall) {
    std::lock_guard<std::mutex> lock(mutex_);
    wall_ = wall;
  }

 private:
  // Not absl::Mutex: ThreadSanitizer does not see through that of a library built without it.
  mutable std::mutex mutex_;
  absl::Time wall_;  // Guarded by mutex_, as the next.
  absl::Duration monotonic_ = absl::Seconds(1000);
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_TESTING_FAKE_CLOCK_H_
