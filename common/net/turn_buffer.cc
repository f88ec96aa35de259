#include "common/net/turn_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace byrnie {
namespace {

// Of own memory, where it is not known how much is to come.
constexpr size_t kFirstCapacity = 4 * 1024;

}  // namespace

uint8_t* TurnBuffer::Reserve(size_t size) {
  MakeRoom(size);
  uint8_t* const at = memory() + end_;
  end_ += size;
  return at;
}

void TurnBuffer::Append(absl::Span<const uint8_t> data) {
  if (!data.empty()) std::memcpy(Reserve(data.size()), data.data(), data.size());
}

absl::Span<uint8_t> TurnBuffer::Room(size_t size) {
  MakeRoom(size);
  return {memory() + end_, capacity_ - end_};
}

void TurnBuffer::Settle() {
  if (empty()) {
    block_ = ScratchPool::Block();
    own_.reset();
    capacity_ = begin_ = end_ = 0;
  } else if (block_) {
    MoveTo(std::unique_ptr<uint8_t[]>(new uint8_t[size()]), size());
  }
}

void TurnBuffer::MakeRoom(size_t size) {
  if (end_ + size <= capacity_) return;
  if (empty() && own_) Settle();
  const size_t used = this->size();
  if (capacity_ == 0 && scratch_ != nullptr && size <= ScratchPool::kBlockSize) {
    block_ = scratch_->Borrow();
    if (block_) {
      capacity_ = ScratchPool::kBlockSize;
      return;
    }
  }
  // Moved down only where at least half is free: a trickle must not copy the rest for each byte.
  if (used + size <= capacity_ && used * 2 <= capacity_) {
    std::memmove(memory(), memory() + begin_, used);
    begin_ = 0;
    end_ = used;
    return;
  }
  size_t capacity = std::max(capacity_, kFirstCapacity);
  while (capacity < used + size) capacity *= 2;
  MoveTo(std::unique_ptr<uint8_t[]>(new uint8_t[capacity]), capacity);
}

void TurnBuffer::MoveTo(std::unique_ptr<uint8_t[]> to, size_t capacity) {
  const size_t used = size();
  if (used > 0) std::memcpy(to.get(), memory() + begin_, used);
  block_ = ScratchPool::Block();
  own_ = std::move(to);
  capacity_ = capacity;
  begin_ = 0;
  end_ = used;
}

}  // namespace byrnie
