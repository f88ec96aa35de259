#include "common/base/thread_pool.h"

#include <algorithm>
#include <iterator>
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

void ThreadPool::Run(absl::string_view source, Work work) {
  absl::optional<Work> refused;
  {
    absl::MutexLock lock(&mu_);
    // Those who are idle have not taken what waits yet; beyond them it waits for somebody to be
    // done.
    const size_t unserved = waiting_ >= idle_ ? waiting_ - idle_ : 0;
    bool room = true;
    if (waiting_ >= idle_ && threads_.size() < max_threads_) {
      threads_.emplace_back([this] { Loop(); });
      ++idle_;
    } else if (waiting_ >= idle_ && unserved >= max_waiting_) {
      refused = MakeRoomFor(source);
      room = refused.has_value();
    }
    if (room) {
      auto found = sources_.find(source);
      if (found == sources_.end()) {
        turns_.push_back({std::string(source), {}});
        found = sources_.emplace(source, std::prev(turns_.end())).first;
      }
      found->second->waiting.push_back(std::move(work));
      ++waiting_;
    } else {
      refused = std::move(work);
    }
  }
  if (refused.has_value()) refused->refuse();
}

absl::optional<ThreadPool::Work> ThreadPool::MakeRoomFor(absl::string_view source) {
  const auto own = sources_.find(source);
  const size_t with_own = (own == sources_.end() ? 0 : own->second->waiting.size()) + 1;
  const auto most = std::max_element(
      turns_.begin(), turns_.end(),
      [](const Source& a, const Source& b) { return a.waiting.size() < b.waiting.size(); });
  if (most == turns_.end() || most->waiting.size() <= with_own) return absl::nullopt;
  Work newest = std::move(most->waiting.back());
  most->waiting.pop_back();  // It had two at least.
  --waiting_;
  return newest;
}

ThreadPool::Work ThreadPool::TakeNext() {
  const auto source = turns_.begin();
  Work work = std::move(source->waiting.front());
  source->waiting.pop_front();
  --waiting_;
  if (source->waiting.empty()) {
    sources_.erase(source->name);
    turns_.erase(source);
  } else {
    turns_.splice(turns_.end(), turns_, source);
  }
  return work;
}

void ThreadPool::Loop() {
  while (true) {
    Work work;
    {
      absl::MutexLock lock(&mu_, absl::Condition(this, &ThreadPool::HasWork));
      if (turns_.empty()) return;
      --idle_;
      work = TakeNext();
    }
    work.run();
    work = {};  // What it holds may take the lock, or be looked for.
    absl::MutexLock lock(&mu_);
    ++idle_;
  }
}

size_t ThreadPool::waiting() const {
  absl::MutexLock lock(&mu_);
  return waiting_;
}

}  // namespace byrnie
