#include "common/http2/chunk_queue.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace byrnie {

namespace {
// Small enough for a ping-pong, large enough for a bulk stream to need few.
constexpr size_t kMinChunk = 512;
constexpr size_t kMaxChunk = 16 * 1024;
}  // namespace

// The bytes follow the header in the same allocation.
struct ChunkQueue::Chunk {
  uint8_t* data() { return reinterpret_cast<uint8_t*>(this + 1); }

  Chunk* next = nullptr;
  uint32_t begin = 0;
  uint32_t end = 0;
  uint32_t capacity = 0;
};

void ChunkQueue::Append(absl::Span<const uint8_t> data) {
  while (!data.empty()) {
    if (tail_ == nullptr || tail_->end == tail_->capacity) {
      const size_t capacity = std::clamp(data.size(), kMinChunk, kMaxChunk);
      Chunk* chunk = new (::operator new(sizeof(Chunk) + capacity)) Chunk;
      chunk->capacity = static_cast<uint32_t>(capacity);
      allocated_ += sizeof(Chunk) + capacity;
      (tail_ == nullptr ? head_ : tail_->next) = chunk;
      tail_ = chunk;
    }
    const size_t n = std::min<size_t>(data.size(), tail_->capacity - tail_->end);
    std::memcpy(tail_->data() + tail_->end, data.data(), n);
    tail_->end += static_cast<uint32_t>(n);
    size_ += n;
    data.remove_prefix(n);
  }
}

size_t ChunkQueue::Take(absl::Span<uint8_t> out) {
  size_t taken = 0;
  while (head_ != nullptr && taken < out.size()) {
    const size_t n = std::min<size_t>(out.size() - taken, head_->end - head_->begin);
    std::memcpy(out.data() + taken, head_->data() + head_->begin, n);
    head_->begin += static_cast<uint32_t>(n);
    taken += n;
    if (head_->begin == head_->end) FreeFirst();
  }
  size_ -= taken;
  return taken;
}

void ChunkQueue::Clear() {
  while (head_ != nullptr) FreeFirst();
  size_ = 0;
}

void ChunkQueue::FreeFirst() {
  Chunk* next = head_->next;
  allocated_ -= sizeof(Chunk) + head_->capacity;
  ::operator delete(head_);
  head_ = next;
  if (head_ == nullptr) tail_ = nullptr;
}

}  // namespace byrnie
