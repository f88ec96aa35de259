#ifndef BYRNIE_COMMON_BASE_THREAD_POOL_H_
#define BYRNIE_COMMON_BASE_THREAD_POOL_H_

#include <cstddef>
#include <deque>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace byrnie {

// Threads for work that may block, in the order in which it comes. They are started when all that
// are there are busy, and kept. Thread-safe.
class ThreadPool {
 public:
  using Work = absl::AnyInvocable<void()>;

  // At most `max_threads` at work, and `max_waiting` pieces of work that wait for one.
  ThreadPool(size_t max_threads, size_t max_waiting)
      : max_threads_(max_threads), max_waiting_(max_waiting) {}
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  // All that was taken has run when this returns. Not from a thread of the pool.
  ~ThreadPool();

  // False: as much waits as may, and `work` has not been touched.
  bool TryRun(Work* work);

  size_t max_threads() const { return max_threads_; }
  size_t max_waiting() const { return max_waiting_; }

 private:
  void Loop();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !waiting_.empty(); }

  const size_t max_threads_;
  const size_t max_waiting_;
  absl::Mutex mu_;
  std::deque<Work> waiting_ ABSL_GUARDED_BY(mu_);
  // Threads that look for work.
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_THREAD_POOL_H_
