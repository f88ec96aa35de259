#include "common/net/scratch_pool.h"

namespace byrnie {

ScratchPool::Block ScratchPool::Borrow() {
  if (lent_ >= kMostLent) return Block();
  ++lent_;
  std::unique_ptr<uint8_t[]> memory;
  if (free_.empty()) {
    memory.reset(new uint8_t[kBlockSize]);
  } else {
    memory = std::move(free_.back());
    free_.pop_back();
  }
  least_free_ = std::min(least_free_, free_.size());
  return Block(this, std::move(memory));
}

void ScratchPool::TakeBack(std::unique_ptr<uint8_t[]> memory) {
  --lent_;
  free_.push_back(std::move(memory));
}

void ScratchPool::Trim() {
  free_.erase(free_.begin(), free_.begin() + static_cast<std::ptrdiff_t>(least_free_));
  least_free_ = free_.size();
}

}  // namespace byrnie
