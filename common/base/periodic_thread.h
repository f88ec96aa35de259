#ifndef BYRNIE_COMMON_BASE_PERIODIC_THREAD_H_
#define BYRNIE_COMMON_BASE_PERIODIC_THREAD_H_

#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/monotonic_cond_var.h"

namespace byrnie {

// A thread for what is to be done again and again and may take long, so that no event loop waits
// for it. The destructor waits for a run under way; there is none afterwards.
class PeriodicThread {
 public:
  // Runs `work` now, and `interval` after the end of each run, whatever becomes of the wall clock.
  PeriodicThread(absl::Duration interval, std::function<void()> work)
      : thread_([this, interval, work = std::move(work)] { Run(interval, work); }) {}
  PeriodicThread(const PeriodicThread&) = delete;
  PeriodicThread& operator=(const PeriodicThread&) = delete;
  ~PeriodicThread() {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    stopped_.NotifyAll();
    thread_.join();
  }

 private:
  void Run(absl::Duration interval, const std::function<void()>& work) {
    while (true) {
      work();
      absl::MutexLock lock(&mu_);
      const auto stopping = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_; };
      if (stopped_.AwaitWithTimeout(&mu_, interval, stopping)) return;
    }
  }

  absl::Mutex mu_;
  MonotonicCondVar stopped_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: begins when all else is there.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_PERIODIC_THREAD_H_
