#ifndef BYRNIE_PROXY_BUFFER_BUDGET_H_
#define BYRNIE_PROXY_BUFFER_BUDGET_H_

#include <atomic>
#include <cstddef>

#include "common/telemetry/metrics.h"
#include "proxy/relay.h"

namespace byrnie {

// One budget for the relays of all workers. Thread-safe.
class SharedBufferBudget final : public BufferBudget {
 public:
  // `used` shows what is reserved; outlives this.
  SharedBufferBudget(size_t limit, Gauge* used) : limit_(limit), gauge_(used) {}

  bool Reserve(size_t bytes) override {
    const size_t before = used_.fetch_add(bytes, std::memory_order_relaxed);
    if (before + bytes > limit_) {
      used_.fetch_sub(bytes, std::memory_order_relaxed);
      return false;
    }
    gauge_->Add(static_cast<int64_t>(bytes));
    return true;
  }
  void Release(size_t bytes) override {
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    gauge_->Add(-static_cast<int64_t>(bytes));
  }

 private:
  const size_t limit_;
  Gauge* const gauge_;  // Not owned.
  std::atomic<size_t> used_{0};
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_BUFFER_BUDGET_H_
