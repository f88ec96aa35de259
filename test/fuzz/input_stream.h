#ifndef BYRNIE_TEST_FUZZ_INPUT_STREAM_H_
#define BYRNIE_TEST_FUZZ_INPUT_STREAM_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/net/byte_stream.h"

namespace byrnie {

// Gives the input in pieces, then the end; takes everything and forgets it.
class InputStream final : public ByteStream {
 public:
  InputStream(absl::Span<const uint8_t> input, size_t piece) : input_(input), piece_(piece) {}

  void SetObserver(Observer*) override {}
  IoResult Read(absl::Span<uint8_t> buffer) override {
    if (input_.empty()) return {0, IoStatus::kEof};
    const size_t n = std::min({buffer.size(), piece_, input_.size()});
    std::memcpy(buffer.data(), input_.data(), n);
    input_.remove_prefix(n);
    return {n, IoStatus::kOk};
  }
  IoResult Write(absl::Span<const uint8_t> data) override { return {data.size(), IoStatus::kOk}; }
  void ShutdownWrite() override {}
  void Reset() override {}
  bool Flushed() const override { return true; }
  absl::Status error() const override { return absl::OkStatus(); }

 private:
  absl::Span<const uint8_t> input_;
  const size_t piece_;
};

}  // namespace byrnie

#endif  // BYRNIE_TEST_FUZZ_INPUT_STREAM_H_
