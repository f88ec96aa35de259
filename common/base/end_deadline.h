#ifndef BYRNIE_COMMON_BASE_END_DEADLINE_H_
#define BYRNIE_COMMON_BASE_END_DEADLINE_H_

#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/monotonic_cond_var.h"

namespace byrnie {

// A limit to how long something takes that may wait for a thread which hangs, as the end of a
// process does: nobody could destroy what that thread still uses.
class EndDeadline {
 public:
  // Runs `overdue` on a thread of its own, once, unless this is destroyed within `time`. It may end
  // the process.
  EndDeadline(absl::Duration time, std::function<void()> overdue)
      : thread_([this, time, overdue = std::move(overdue)] { Run(time, overdue); }) {}
  EndDeadline(const EndDeadline&) = delete;
  EndDeadline& operator=(const EndDeadline&) = delete;
  // Waits for `overdue` where that has begun.
  ~EndDeadline() {
    {
      absl::MutexLock lock(&mu_);
      met_ = true;
    }
    changed_.NotifyAll();
    thread_.join();
  }

 private:
  void Run(absl::Duration time, const std::function<void()>& overdue) {
    {
      absl::MutexLock lock(&mu_);
      const auto met = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return met_; };
      if (changed_.AwaitWithTimeout(&mu_, time, met)) return;
    }
    overdue();
  }

  absl::Mutex mu_;
  MonotonicCondVar changed_;
  bool met_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: begins when all else is there.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_END_DEADLINE_H_
