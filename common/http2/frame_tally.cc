#include "common/http2/frame_tally.h"

#include <algorithm>

namespace byrnie {
namespace {

// RFC 9113 section 6.
constexpr uint8_t kData = 0, kHeaders = 1, kReset = 3, kGoaway = 7, kWindowUpdate = 8,
                  kContinuation = 9;
constexpr size_t kKilobyte = 1024;

size_t LengthOf(const uint8_t* header) {
  return size_t{header[0]} << 16 | size_t{header[1]} << 8 | header[2];
}

}  // namespace

FrameTally::Counts FrameTally::Take(absl::Span<const uint8_t> data) {
  Counts counts;
  while (!data.empty()) {
    if (left_ == 0) {
      const size_t taken = std::min(kHeader - header_size_, data.size());
      std::copy_n(data.data(), taken, header_.data() + header_size_);
      header_size_ += taken;
      data.remove_prefix(taken);
      if (header_size_ < kHeader) break;
      left_ = LengthOf(header_.data());
    }
    const size_t passed = std::min(left_, data.size());
    left_ -= passed;
    data.remove_prefix(passed);
    if (left_ > 0) break;
    // The preface is none.
    if (header_size_ == kHeader) CountFrame(&counts);
    header_size_ = 0;
  }
  return counts;
}

void FrameTally::CountFrame(Counts* counts) const {
  const uint8_t type = header_[3];
  if (type == kHeaders || type == kReset || type == kWindowUpdate || type == kContinuation) {
    ++counts->of_streams;
    return;
  }
  const size_t length = LengthOf(header_.data());
  if (type == kData && !MayBeEmpty(length, header_[4])) return;
  ++counts->others;
  if (type == kGoaway || type > kContinuation) counts->others += length / kKilobyte;
}

}  // namespace byrnie
