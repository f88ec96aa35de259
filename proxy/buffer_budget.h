#ifndef BYRNIE_PROXY_BUFFER_BUDGET_H_
#define BYRNIE_PROXY_BUFFER_BUDGET_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "common/net/buffer_budget.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// One budget for the buffers of all workers. Thread-safe, no locks.
class SharedBufferBudget final : public BufferBudget {
 public:
  // One buffer gets this part of what is left, or of the first quarter that is.
  static constexpr int64_t kShare = 16;

  // `limit` is for what goes beyond the buffers' least; `held` shows the memory in use and outlives
  // this.
  SharedBufferBudget(uint64_t limit, Gauge* held)
      : limit_(static_cast<int64_t>(limit)), held_(held), ceiling_(limit_) {}

  size_t Share() const override {
    return static_cast<size_t>(std::max<int64_t>(0, Left()) / kShare);
  }
  bool Plenty() const override { return Left() >= limit_ / 2; }
  size_t Spare() const override {
    return static_cast<size_t>(std::max<int64_t>(0, Left() - limit_ / 4 * 3) / kShare);
  }
  void Add(int64_t least, int64_t more, int64_t held) override {
    if (least != 0) least_.fetch_add(least, std::memory_order_relaxed);
    if (more != 0) more_.fetch_add(more, std::memory_order_relaxed);
    if (held != 0) held_->Add(held);
  }

  // What buffers may still come to hold without asking again.
  uint64_t Unfilled() const {
    return static_cast<uint64_t>(std::max<int64_t>(0, least_.load(std::memory_order_relaxed) +
                                                          more_.load(std::memory_order_relaxed) -
                                                          held_->value()));
  }
  // Tells how much memory is free for everything, what has been promised included, until told
  // again.
  void SetMemoryLeft(int64_t left) {
    const int64_t beyond = left - static_cast<int64_t>(Unfilled());
    ceiling_.store(
        std::min(limit_, more_.load(std::memory_order_relaxed) + std::max<int64_t>(0, beyond)),
        std::memory_order_relaxed);
  }

 private:
  // Two workers may both take the last of it: Share is a small part, so it is not much too much.
  int64_t Left() const {
    return ceiling_.load(std::memory_order_relaxed) - more_.load(std::memory_order_relaxed);
  }

  const int64_t limit_;
  Gauge* const held_;  // Not owned.
  std::atomic<int64_t> least_{0};
  std::atomic<int64_t> more_{0};
  // Of more_: the limit, or less while memory is short.
  std::atomic<int64_t> ceiling_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_BUFFER_BUDGET_H_
