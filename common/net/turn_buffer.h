#ifndef BYRNIE_COMMON_NET_TURN_BUFFER_H_
#define BYRNIE_COMMON_NET_TURN_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "common/net/scratch_pool.h"

namespace byrnie {

// A FIFO of bytes in one piece. Within a turn it is a block of the loop's scratch memory, where
// there is room for much and nothing is allocated; Settle() moves what is left into memory of its
// own, no larger than that. An empty one holds nothing.
class TurnBuffer {
 public:
  // `scratch` may be null: memory of its own at once.
  explicit TurnBuffer(ScratchPool* scratch) : scratch_(scratch) {}
  TurnBuffer(const TurnBuffer&) = delete;
  TurnBuffer& operator=(const TurnBuffer&) = delete;

  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  absl::Span<const uint8_t> bytes() const { return {memory() + begin_, size()}; }
  // Own memory.
  size_t allocated() const { return own_ ? capacity_ : 0; }

  // Room for `size` more bytes at the end, which count as there: to be filled before the next call.
  uint8_t* Reserve(size_t size);
  void Append(absl::Span<const uint8_t> data);
  // Room for at least `size` more bytes, and as many more as there happens to be, of which only
  // those that Commit() names count.
  absl::Span<uint8_t> Room(size_t size);
  void Commit(size_t size) { end_ += size; }
  // The first `size` bytes have been taken.
  void Consume(size_t size) {
    begin_ += size;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  // For the end of a turn or before: the scratch memory is given back.
  void Settle();

 private:
  uint8_t* memory() const { return own_ ? own_.get() : block_.data(); }
  void MakeRoom(size_t size);
  void MoveTo(std::unique_ptr<uint8_t[]> memory, size_t capacity);

  ScratchPool* const scratch_;  // Not owned.
  // At most one of the two.
  ScratchPool::Block block_;
  std::unique_ptr<uint8_t[]> own_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_TURN_BUFFER_H_
