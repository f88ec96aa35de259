#include "common/base/thread_pool.h"

#include <utility>

namespace byrnie {

ThreadPool::~ThreadPool() {
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    threads = std::move(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

bool ThreadPool::TryRun(Work* work) {
  absl::MutexLock lock(&mu_);
  // Those who are idle have not taken what waits yet; beyond them it waits for somebody to be done.
  const size_t unserved = waiting_.size() >= idle_ ? waiting_.size() - idle_ : 0;
  if (waiting_.size() >= idle_ && threads_.size() < max_threads_) {
    threads_.emplace_back([this] { Loop(); });
    ++idle_;
  } else if (waiting_.size() >= idle_ && unserved >= max_waiting_) {
    return false;
  }
  waiting_.push_back(std::move(*work));
  return true;
}

void ThreadPool::Loop() {
  while (true) {
    Work work;
    {
      absl::MutexLock lock(&mu_, absl::Condition(this, &ThreadPool::HasWork));
      if (waiting_.empty()) return;
      --idle_;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work();
    work = nullptr;  // What it holds may take the lock, or be looked for.
    absl::MutexLock lock(&mu_);
    ++idle_;
  }
}

}  // namespace byrnie
