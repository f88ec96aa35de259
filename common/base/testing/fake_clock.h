#ifndef BYRNIE_COMMON_BASE_TESTING_FAKE_CLOCK_H_
#define BYRNIE_COMMON_BASE_TESTING_FAKE_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace byrnie {

// A clock that stands still until the test moves it. Thread-safe.
class FakeClock final : public Clock {
 public:
  // Starts at 2030-01-01 00:00:00 UTC unless told otherwise.
  explicit FakeClock(absl::Time wall = absl::FromUnixSeconds(1893456000)) : wall_(wall) {}

  absl::Time WallNow() const override {
    absl::MutexLock lock(&mutex_);
    return wall_;
  }
  absl::Duration MonotonicNow() const override {
    absl::MutexLock lock(&mutex_);
    return monotonic_;
  }

  // Lets `by` pass on both clocks.
  void Advance(absl::Duration by) {
    absl::MutexLock lock(&mutex_);
    wall_ += by;
    monotonic_ += by;
  }
  // Sets the wall clock alone, as an operator or NTP would.
  void SetWall(absl::Time wall) {
    absl::MutexLock lock(&mutex_);
    wall_ = wall;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Time wall_ ABSL_GUARDED_BY(mutex_);
  absl::Duration monotonic_ ABSL_GUARDED_BY(mutex_) = absl::Seconds(1000);
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_TESTING_FAKE_CLOCK_H_
