#ifndef BYRNIE_PROXY_SHARED_COUNT_H_
#define BYRNIE_PROXY_SHARED_COUNT_H_

#include <atomic>
#include <cstddef>

namespace byrnie {

// How many of something all workers have together, for a limit of the process. Thread-safe, no
// locks.
class SharedCount {
 public:
  // Counts one more, unless there are `limit` already.
  bool TryAdd(size_t limit) {
    size_t count = count_.load(std::memory_order_relaxed);
    while (count < limit) {
      if (count_.compare_exchange_weak(count, count + 1, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  void Remove() { count_.fetch_sub(1, std::memory_order_relaxed); }
  size_t value() const { return count_.load(std::memory_order_relaxed); }

 private:
  std::atomic<size_t> count_{0};
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_SHARED_COUNT_H_
