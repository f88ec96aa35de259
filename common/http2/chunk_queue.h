#ifndef BYRNIE_COMMON_HTTP2_CHUNK_QUEUE_H_
#define BYRNIE_COMMON_HTTP2_CHUNK_QUEUE_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace byrnie {

// A FIFO of bytes in chunks that are allocated as bytes come and freed as they leave: an empty
// queue owns nothing. Small appends fill the last chunk, so the overhead stays bounded however the
// bytes arrive.
class ChunkQueue {
 public:
  ChunkQueue() = default;
  ChunkQueue(const ChunkQueue&) = delete;
  ChunkQueue& operator=(const ChunkQueue&) = delete;
  ~ChunkQueue() { Clear(); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // The memory the bytes are in.
  size_t allocated() const { return allocated_; }

  void Append(absl::Span<const uint8_t> data);
  // Takes at most out.size() bytes from the front; returns how many.
  size_t Take(absl::Span<uint8_t> out);
  void Clear();

 private:
  struct Chunk;

  void FreeFirst();

  Chunk* head_ = nullptr;
  Chunk* tail_ = nullptr;
  size_t size_ = 0;
  size_t allocated_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_CHUNK_QUEUE_H_
