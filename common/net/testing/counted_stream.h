#ifndef BYRNIE_COMMON_NET_TESTING_COUNTED_STREAM_H_
#define BYRNIE_COMMON_NET_TESTING_COUNTED_STREAM_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/net/byte_stream.h"

namespace byrnie {

// What a stream was asked for: of a socket, system calls.
struct StreamCalls {
  int reads = 0;
  std::vector<size_t> writes;  // What each took.
  size_t longest_read = 0;     // Of the buffers.
};

// A stream that notes what it is asked for.
class CountedStream final : public ByteStream {
 public:
  // `calls` outlives this.
  CountedStream(std::unique_ptr<ByteStream> inner, StreamCalls* calls)
      : inner_(std::move(inner)), calls_(calls) {}
  void SetObserver(Observer* observer) override { inner_->SetObserver(observer); }
  IoResult Read(absl::Span<uint8_t> buffer) override {
    ++calls_->reads;
    calls_->longest_read = std::max(calls_->longest_read, buffer.size());
    return inner_->Read(buffer);
  }
  IoResult Write(absl::Span<const uint8_t> data) override {
    const IoResult result = inner_->Write(data);
    calls_->writes.push_back(result.bytes);
    return result;
  }
  // One call, as of a socket.
  IoResult WritePieces(absl::Span<const absl::Span<const uint8_t>> pieces) override {
    const IoResult result = inner_->WritePieces(pieces);
    calls_->writes.push_back(result.bytes);
    return result;
  }
  size_t Room() const override { return inner_->Room(); }
  void ShutdownWrite() override { inner_->ShutdownWrite(); }
  void Reset() override { inner_->Reset(); }
  bool Flushed() const override { return inner_->Flushed(); }
  bool Lost() const override { return inner_->Lost(); }
  void HearOfLoss(bool hears) override { inner_->HearOfLoss(hears); }
  absl::Status error() const override { return inner_->error(); }

 private:
  const std::unique_ptr<ByteStream> inner_;
  StreamCalls* const calls_;  // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_TESTING_COUNTED_STREAM_H_
