#ifndef BYRNIE_COMMON_HTTP2_OUTPUT_BUFFER_H_
#define BYRNIE_COMMON_HTTP2_OUTPUT_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"

namespace byrnie {

// Frames on their way to the transport, in order, in one piece of memory. Bytes are counted from
// the first ever appended, so that a place in the output can be named. Release() once it is empty
// gives the memory back.
class OutputBuffer {
 public:
  // Room for `size` more bytes at the end, to be filled before the next call.
  uint8_t* Reserve(size_t size);
  void Append(const uint8_t* data, size_t size);
  // The first `size` bytes have been taken.
  void Consume(size_t size) { begin_ += size; }
  void Release();

  size_t size() const { return end_ - begin_; }
  // The memory they are in.
  size_t allocated() const { return capacity_; }
  absl::Span<const uint8_t> bytes() const { return {memory_.get() + begin_, size()}; }
  // The count at the end, and at what has not been taken yet.
  uint64_t end_mark() const { return total_; }
  uint64_t taken_mark() const { return total_ - size(); }

 private:
  // [begin_, end_) of memory_ waits.
  std::unique_ptr<uint8_t[]> memory_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t total_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_OUTPUT_BUFFER_H_
