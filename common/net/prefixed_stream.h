#ifndef BYRNIE_COMMON_NET_PREFIXED_STREAM_H_
#define BYRNIE_COMMON_NET_PREFIXED_STREAM_H_

#include <memory>
#include <string>

#include "common/event/event_loop.h"
#include "common/net/byte_stream.h"

namespace byrnie {

// A stream whose first bytes somebody has read already to see what they are: gives these again,
// then is the stream it wraps. Lives on one loop. Holds no memory for them once they have been
// read.
class PrefixedStream final : public ByteStream {
 public:
  PrefixedStream(EventLoop* loop, std::string prefix, std::unique_ptr<ByteStream> stream);
  PrefixedStream(const PrefixedStream&) = delete;
  PrefixedStream& operator=(const PrefixedStream&) = delete;
  ~PrefixedStream() override;

  void SetObserver(Observer* observer) override;
  // The prefix comes before whatever the stream has to say, its end or error included.
  IoResult Read(absl::Span<uint8_t> buffer) override;
  IoResult Write(absl::Span<const uint8_t> data) override { return stream_->Write(data); }
  IoResult WritePieces(absl::Span<const absl::Span<const uint8_t>> pieces) override {
    return stream_->WritePieces(pieces);
  }
  void ShutdownWrite() override { stream_->ShutdownWrite(); }
  void Reset() override;
  bool Flushed() const override { return stream_->Flushed(); }
  uint64_t Undelivered() const override { return stream_->Undelivered(); }
  size_t Room() const override { return stream_->Room(); }
  absl::Duration Unheard() const override { return stream_->Unheard(); }
  absl::Duration ShortestRoundTrip() const override { return stream_->ShortestRoundTrip(); }
  void ShortenKeepalive() override { stream_->ShortenKeepalive(); }
  bool Lost() const override { return stream_->Lost(); }
  void HearOfLoss(bool hears) override { stream_->HearOfLoss(hears); }
  absl::Status error() const override { return stream_->error(); }

 private:
  EventLoop* const loop_;  // Not owned.
  const std::unique_ptr<ByteStream> stream_;
  std::string prefix_;
  size_t begin_ = 0;
  std::unique_ptr<EventLoop::Deferred> tell_;  // Only while an upcall is due.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_PREFIXED_STREAM_H_
