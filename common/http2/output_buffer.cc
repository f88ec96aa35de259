#include "common/http2/output_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace byrnie {
namespace {

constexpr size_t kFirstCapacity = 4 * 1024;

}  // namespace

uint8_t* OutputBuffer::Reserve(size_t size) {
  if (end_ + size > capacity_) {
    const size_t used = this->size();
    size_t capacity = std::max(capacity_, kFirstCapacity);
    while (capacity < used + size) capacity *= 2;
    if (capacity == capacity_) {
      std::memmove(memory_.get(), memory_.get() + begin_, used);
    } else {
      std::unique_ptr<uint8_t[]> grown(new uint8_t[capacity]);
      if (used > 0) std::memcpy(grown.get(), memory_.get() + begin_, used);
      memory_ = std::move(grown);
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = used;
  }
  uint8_t* at = memory_.get() + end_;
  end_ += size;
  total_ += size;
  return at;
}

void OutputBuffer::Append(const uint8_t* data, size_t size) {
  if (size > 0) std::memcpy(Reserve(size), data, size);
}

void OutputBuffer::Release() {
  memory_.reset();
  capacity_ = begin_ = end_ = 0;
}

}  // namespace byrnie
