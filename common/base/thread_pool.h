#ifndef BYRNIE_COMMON_BASE_THREAD_POOL_H_
#define BYRNIE_COMMON_BASE_THREAD_POOL_H_

#include <cstddef>
#include <deque>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"

namespace byrnie {

// Threads for work that may block. Where it has to wait its sources take turns, so that nobody
// waits for all that another one has sent; the work of one source keeps its order. Threads are
// started when all that are there are busy, and kept. Thread-safe.
class ThreadPool {
 public:
  // One of the two is called, once.
  struct Work {
    // On a thread of the pool.
    absl::AnyInvocable<void()> run;
    // Too much waits. On whatever thread calls Run.
    absl::AnyInvocable<void()> refuse;
  };

  // At most `max_threads` at work, and `max_waiting` pieces of work that wait for one.
  ThreadPool(size_t max_threads, size_t max_waiting)
      : max_threads_(max_threads), max_waiting_(max_waiting) {}
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  // All that was taken has run when this returns. Not from a thread of the pool.
  ~ThreadPool();

  // Takes work of `source`, any name. Where as much waits as may, the newest work of the source
  // that has most waiting is refused for it; this one where no source has more than `source` would.
  void Run(absl::string_view source, Work work);

  size_t max_threads() const { return max_threads_; }
  size_t max_waiting() const { return max_waiting_; }
  // How many pieces of work wait now.
  size_t waiting() const;

 private:
  struct Source {
    std::string name;
    std::deque<Work> waiting;  // Never empty.
  };
  using Turns = std::list<Source>;

  void Loop();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !turns_.empty(); }
  // What is refused for work of `source`; absent: that work itself.
  absl::optional<Work> MakeRoomFor(absl::string_view source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Work TakeNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t max_threads_;
  const size_t max_waiting_;
  mutable absl::Mutex mu_;
  // Sources with something that waits, by whose turn it is; and where each is.
  Turns turns_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Turns::iterator> sources_ ABSL_GUARDED_BY(mu_);
  size_t waiting_ ABSL_GUARDED_BY(mu_) = 0;
  // Threads that look for work.
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_THREAD_POOL_H_
