#ifndef BYRNIE_COMMON_HTTP2_OUTPUT_BUFFER_H_
#define BYRNIE_COMMON_HTTP2_OUTPUT_BUFFER_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "common/net/scratch_pool.h"
#include "common/net/turn_buffer.h"

namespace byrnie {

// Frames on their way to the transport, in order, in one piece of memory. Bytes are counted from
// the first ever appended, so that a place in the output can be named. Settle() gives memory back
// that is not needed beyond a turn.
class OutputBuffer {
 public:
  // `scratch` may be null, as TurnBuffer's.
  explicit OutputBuffer(ScratchPool* scratch) : buffer_(scratch) {}

  // Room for `size` more bytes at the end, to be filled before the next call.
  uint8_t* Reserve(size_t size) {
    total_ += size;
    return buffer_.Reserve(size);
  }
  void Append(const uint8_t* data, size_t size) {
    total_ += size;
    buffer_.Append({data, size});
  }
  // The first `size` bytes have been taken.
  void Consume(size_t size) { buffer_.Consume(size); }
  void Settle() { buffer_.Settle(); }

  size_t size() const { return buffer_.size(); }
  // The memory they are in, of the buffer's own.
  size_t allocated() const { return buffer_.allocated(); }
  absl::Span<const uint8_t> bytes() const { return buffer_.bytes(); }
  // The count at the end, and at what has not been taken yet.
  uint64_t end_mark() const { return total_; }
  uint64_t taken_mark() const { return total_ - size(); }

 private:
  TurnBuffer buffer_;
  uint64_t total_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_OUTPUT_BUFFER_H_
