#ifndef BYRNIE_PROXY_TESTING_RELAY_FIXTURE_H_
#define BYRNIE_PROXY_TESTING_RELAY_FIXTURE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/byte_stream.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gtest/gtest.h"
#include "proxy/relay.h"

namespace byrnie {

inline std::string Pattern(size_t size, int seed = 0) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 131 + i / 257 + seed);
  return bytes;
}

// An application at one end: sends what it is told, reads what comes, remembers how it ended.
class App final : public ByteStream::Observer {
 public:
  void Attach(std::unique_ptr<ByteStream> s) {
    stream = std::move(s);
    stream->SetObserver(this);
  }
  void Send(const std::string& data) {
    to_send += data;
    Push();
  }
  void SendAndShutdown(const std::string& data) {
    shutdown_when_sent = true;
    Send(data);
  }
  void SendAndReset(const std::string& data) {
    reset_when_sent = true;
    Send(data);
  }
  void Push() {
    while (sent < to_send.size()) {
      const IoResult result = stream->Write(absl::MakeConstSpan(
          reinterpret_cast<const uint8_t*>(to_send.data()) + sent, to_send.size() - sent));
      if (result.status == IoStatus::kError) return;
      sent += result.bytes;
      if (result.status == IoStatus::kWouldBlock) return;
    }
    if (shutdown_when_sent) stream->ShutdownWrite();
    if (reset_when_sent) stream->Reset();
  }
  void Pull() {
    uint8_t buffer[8192];
    while (reading && !eof && !error) {
      const IoResult result = stream->Read(absl::MakeSpan(buffer));
      if (result.status == IoStatus::kEof) eof = true;
      if (result.status == IoStatus::kError) error = true;
      if (eof || error) return;
      received.append(reinterpret_cast<const char*>(buffer), result.bytes);
      if (result.status == IoStatus::kWouldBlock) return;
    }
  }
  void OnReadable() override { Pull(); }
  void OnWritable() override { Push(); }

  std::unique_ptr<ByteStream> stream;
  std::string to_send;
  size_t sent = 0;
  std::string received;
  bool reading = true;
  bool shutdown_when_sent = false;
  bool reset_when_sent = false;
  bool eof = false;
  bool error = false;
};

// The host at the other end of a stream, as its transport sees it.
struct Host {
  absl::Duration unheard = absl::InfiniteDuration();
  int keepalives_shortened = 0;
  absl::optional<uint32_t> reset_with;
};

// A stream with a transport that asks a host for signs of life.
class AskingStream final : public ByteStream {
 public:
  AskingStream(std::unique_ptr<ByteStream> stream, Host* host)
      : stream_(std::move(stream)), host_(host) {}
  void SetObserver(Observer* observer) override { stream_->SetObserver(observer); }
  IoResult Read(absl::Span<uint8_t> buffer) override { return stream_->Read(buffer); }
  IoResult Write(absl::Span<const uint8_t> data) override { return stream_->Write(data); }
  void ShutdownWrite() override { stream_->ShutdownWrite(); }
  void Reset() override { stream_->Reset(); }
  void ResetWith(uint32_t code) override {
    host_->reset_with = code;
    stream_->ResetWith(code);
  }
  bool Flushed() const override { return stream_->Flushed(); }
  uint64_t Undelivered() const override { return stream_->Undelivered(); }
  absl::Duration Unheard() const override { return host_->unheard; }
  void ShortenKeepalive() override { ++host_->keepalives_shortened; }
  bool Lost() const override { return stream_->Lost(); }
  void HearOfLoss(bool hears) override { stream_->HearOfLoss(hears); }
  absl::Status error() const override { return stream_->error(); }

 private:
  const std::unique_ptr<ByteStream> stream_;
  Host* const host_;  // Not owned.
};

// A stream whose last bytes wait for a slow reader, as those of a tunnel do.
class SlowTail final : public ByteStream {
 public:
  SlowTail(std::unique_ptr<ByteStream> stream, uint64_t undelivered)
      : stream_(std::move(stream)), undelivered_(undelivered) {}
  void SetObserver(Observer* observer) override {
    observer_ = observer;
    stream_->SetObserver(observer);
  }
  IoResult Read(absl::Span<uint8_t> buffer) override { return stream_->Read(buffer); }
  IoResult Write(absl::Span<const uint8_t> data) override { return stream_->Write(data); }
  void ShutdownWrite() override { stream_->ShutdownWrite(); }
  void Reset() override { stream_->Reset(); }
  bool Flushed() const override { return undelivered_ == 0; }
  uint64_t Undelivered() const override { return undelivered_; }
  bool Lost() const override { return stream_->Lost(); }
  void HearOfLoss(bool hears) override { stream_->HearOfLoss(hears); }
  absl::Status error() const override { return stream_->error(); }

  void MoveOn(uint64_t left) {
    undelivered_ = left;
    if (left == 0) observer_->OnWritable();
  }

 private:
  const std::unique_ptr<ByteStream> stream_;
  uint64_t undelivered_;
  Observer* observer_ = nullptr;  // Not owned.
};

// A relay between two applications, over streams that take and give so many bytes at once as the
// parameter says.
class RelayTest : public ::testing::TestWithParam<size_t> {
 protected:
  static constexpr size_t kScratch = 16 * 1024;

  void Connect(size_t quota) {
    done_.reset();
    near_.keepalives_shortened = far_.keepalives_shortened = 0;
    near_.reset_with = far_.reset_with = absl::nullopt;
    client_ = std::make_unique<App>();
    server_ = std::make_unique<App>();
    auto [client, downstream] = MakePair(quota);
    auto [upstream, server] = MakePair(quota);
    if (slow_tail_ != 0) {
      auto slow = std::make_unique<SlowTail>(std::move(upstream), slow_tail_);
      tail_ = slow.get();
      upstream = std::move(slow);
    }
    client_->Attach(std::move(client));
    server_->Attach(std::move(server));
    relay_ = std::make_unique<Relay>(&loop_, absl::MakeSpan(scratch_),
                                     std::make_unique<AskingStream>(std::move(downstream), &near_),
                                     std::make_unique<AskingStream>(std::move(upstream), &far_),
                                     &options_, [this](const RelayResult& result) {
                                       EXPECT_FALSE(done_.has_value());
                                       done_ = result;
                                       if (destroy_when_done_) relay_.reset();
                                     });
  }
  void Start() {
    relay_->Start();
    Run();
  }
  void Run() { loop_.RunUntilIdle(); }
  // Of the hosts at both ends, how often.
  void ExpectKeepalivesShortened(int times) {
    EXPECT_EQ(near_.keepalives_shortened, times);
    EXPECT_EQ(far_.keepalives_shortened, times);
  }
  std::pair<std::unique_ptr<ByteStream>, std::unique_ptr<ByteStream>> MakePair(size_t quota) {
    MemoryStreamPair::Quota hostile;
    if (quota == 1) {
      hostile = MemoryStreamPair::Quota::OneByte();
    } else if (quota < 1000) {
      hostile = {quota, quota, 64 * 1024, /*block_between=*/true};
    }
    pairs_.push_back(std::make_unique<MemoryStreamPair>(&loop_, hostile, hostile));
    return {pairs_.back()->TakeA(), pairs_.back()->TakeB()};
  }

  ManualEventLoop loop_;
  std::vector<std::unique_ptr<MemoryStreamPair>> pairs_;
  std::vector<uint8_t> scratch_ = std::vector<uint8_t>(kScratch);
  Relay::Options options_;
  std::unique_ptr<App> client_;
  std::unique_ptr<App> server_;
  std::unique_ptr<Relay> relay_;
  absl::optional<RelayResult> done_;
  Host near_;
  Host far_;
  bool destroy_when_done_ = true;
  // What the stream to the server keeps back of what it has accepted; set before Connect.
  uint64_t slow_tail_ = 0;
  SlowTail* tail_ = nullptr;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TESTING_RELAY_FIXTURE_H_
