#ifndef BYRNIE_COMMON_NET_BYTE_PIECES_H_
#define BYRNIE_COMMON_NET_BYTE_PIECES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace byrnie {

// Bytes in pieces of memory that somebody else owns, in order. Keeps the room for as many pieces as
// there once were, for the next use.
class BytePieces {
 public:
  using Piece = absl::Span<const uint8_t>;
  // What a list is good for: bytes in more pieces than this are cheaper to copy than to pass on.
  static constexpr size_t kMost = 64;

  // Not an empty piece, and not when there are kMost.
  void Add(Piece piece) {
    pieces_.push_back(piece);
    size_ += piece.size();
  }
  // The first `bytes`, of which there are so many, have been taken.
  void Skip(size_t bytes) {
    size_ -= bytes;
    while (bytes > 0) {
      Piece& first = pieces_[begin_];
      const size_t step = std::min(bytes, first.size());
      first.remove_prefix(step);
      bytes -= step;
      if (first.empty()) ++begin_;
    }
    if (size_ == 0) Clear();
  }
  void Clear() {
    pieces_.clear();
    begin_ = size_ = 0;
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  bool full() const { return pieces_.size() >= kMost; }
  absl::Span<const Piece> pieces() const { return absl::MakeConstSpan(pieces_).subspan(begin_); }

 private:
  std::vector<Piece> pieces_;
  size_t begin_ = 0;
  size_t size_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_BYTE_PIECES_H_
