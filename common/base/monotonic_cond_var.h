#ifndef BYRNIE_COMMON_BASE_MONOTONIC_COND_VAR_H_
#define BYRNIE_COMMON_BASE_MONOTONIC_COND_VAR_H_

#include <algorithm>
#include <condition_variable>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace byrnie {

// Waits for a time to pass by the clock that nobody sets. The timed waits of absl::Mutex and
// absl::CondVar end when the wall clock says so: where that is set back by two hours meanwhile, one
// of a second takes two hours. Thread-safe.
class MonotonicCondVar {
 public:
  // Lets go of `mu`, which the caller holds, until `holds` says true or `time` has passed, and
  // takes it again. `holds` is asked with `mu` held, at first and after each NotifyAll(). Returns
  // what it said last.
  template <typename Condition>
  bool AwaitWithTimeout(absl::Mutex* mu, absl::Duration time, Condition holds)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    Lock lock{mu};
    return changed_.wait_for(lock, absl::ToChronoNanoseconds(std::min(time, kLongest)), holds);
  }
  void NotifyAll() { changed_.notify_all(); }

 private:
  // As the standard library wants it.
  struct Lock {
    void lock() ABSL_NO_THREAD_SAFETY_ANALYSIS { mu->Lock(); }
    void unlock() ABSL_NO_THREAD_SAFETY_ANALYSIS { mu->Unlock(); }
    absl::Mutex* const mu;
  };
  // What is longer ends by then; the sum of it and the time since the machine was started is to be
  // one that can be counted.
  static constexpr absl::Duration kLongest = absl::Hours(24 * 365);

  std::condition_variable_any changed_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_MONOTONIC_COND_VAR_H_
