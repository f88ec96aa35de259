#ifndef BYRNIE_COMMON_HTTP2_TESTING_SESSION_PAIR_H_
#define BYRNIE_COMMON_HTTP2_TESTING_SESSION_PAIR_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http2/connect_session.h"
#include "common/net/byte_stream.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/net/testing/valve.h"
#include "gtest/gtest.h"

namespace byrnie {

// Bytes of which none looks like its neighbours.
inline std::string Pattern(size_t size, int seed = 0) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 131 + i / 257 + seed);
  return bytes;
}

// Sends what it is given and reads what comes, with every byte of state visible to the test.
class Talker final : public ByteStream::Observer {
 public:
  explicit Talker(std::unique_ptr<ConnectStream> s) : stream(std::move(s)) {
    stream->SetObserver(this);
  }

  void Send(const std::string& data) {
    to_send += data;
    Push();
  }
  void Push() {
    while (sent < to_send.size()) {
      const IoResult result = stream->Write(absl::MakeConstSpan(
          reinterpret_cast<const uint8_t*>(to_send.data()) + sent, to_send.size() - sent));
      if (result.status == IoStatus::kError) {
        write_error = true;
        return;
      }
      sent += result.bytes;
      if (result.status == IoStatus::kWouldBlock) return;
    }
    if (shutdown_when_sent) stream->ShutdownWrite();
  }
  // Takes what the stream shows, a little less than all of it at a time.
  void PullShown() {
    while (reading && !stream->Peek().empty()) {
      size_t shown = 0;
      for (const absl::Span<const uint8_t> piece : stream->Peek()) {
        const size_t size = piece.size() > 1 ? piece.size() - 1 : 1;
        received.append(reinterpret_cast<const char*>(piece.data()), size);
        shown += size;
        if (size < piece.size()) break;
      }
      peeked += shown;
      stream->Skip(shown);
    }
  }
  void Pull() {
    if (peeks) PullShown();
    std::vector<uint8_t> buffer(read_size);
    while (reading && !eof && !error) {
      const IoResult result = stream->Read(absl::MakeSpan(buffer));
      if (result.status == IoStatus::kEof) eof = true;
      if (result.status == IoStatus::kError) error = true;
      if (eof || error) return;
      received.append(reinterpret_cast<const char*>(buffer.data()), result.bytes);
      if (echo) Send(std::string(reinterpret_cast<const char*>(buffer.data()), result.bytes));
      if (result.status == IoStatus::kWouldBlock) return;
    }
  }
  void OnReadable() override {
    ++readable;
    Pull();
    if (echo && eof && sent == to_send.size()) stream->ShutdownWrite();
  }
  void OnWritable() override {
    ++writable;
    Push();
    if (echo && eof && sent == to_send.size()) stream->ShutdownWrite();
  }

  std::unique_ptr<ConnectStream> stream;
  std::string to_send;
  size_t sent = 0;
  std::string received;
  size_t read_size = 4096;
  bool reading = true;
  bool peeks = false;
  size_t peeked = 0;
  bool echo = false;
  bool shutdown_when_sent = false;
  bool eof = false;
  bool error = false;
  bool write_error = false;
  int readable = 0;
  int writable = 0;
};

struct Answer {
  absl::Status status;
  int http_status = 0;
  HeaderList headers;
};

// One end: the session, what it said, and the streams that came.
class End final : public ConnectSession::Delegate {
 public:
  void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest request) override {
    EXPECT_FALSE(in_call);
    requests.push_back(std::move(request));
    if (reject_with != 0) {
      stream->Reject(reject_with, reject_headers);
      return;
    }
    if (!answer) {
      waiting.push_back(std::move(stream));
      return;
    }
    stream->Accept({{"x-by", "end"}});
    talkers.push_back(std::make_unique<Talker>(std::move(stream)));
    talkers.back()->echo = echo;
  }
  void OnBadRequest(std::unique_ptr<ConnectStream> stream, int http_status,
                    const absl::Status& why) override {
    EXPECT_FALSE(in_call);
    bad.push_back(why);
    if (stream != nullptr) stream->Reject(http_status, reject_headers);
  }
  void OnGoaway() override { ++goaways; }
  void OnStreamsChanged() override { ++changes; }
  void OnSessionClosed(const absl::Status& status) override {
    EXPECT_FALSE(in_call);
    EXPECT_FALSE(closed.has_value());
    closed = status;
    if (destroy_when_closed) session.reset();
  }

  // Client.
  Talker* Open(const std::string& authority = "10.0.0.1:80", HeaderList headers = {}) {
    answers.push_back(nullptr);
    const size_t index = answers.size() - 1;
    in_call = true;
    auto stream = session->OpenStream(
        {authority, std::move(headers)},
        [this, index](absl::Status status, int http_status, const HeaderList& response) {
          EXPECT_FALSE(in_call);
          EXPECT_EQ(answers[index], nullptr);
          answers[index] = std::make_unique<Answer>(Answer{status, http_status, response});
        });
    in_call = false;
    open_status = stream.status();
    if (!stream.ok()) return nullptr;
    talkers.push_back(std::make_unique<Talker>(std::move(*stream)));
    return talkers.back().get();
  }

  std::unique_ptr<ConnectSession> session;
  std::vector<std::unique_ptr<Talker>> talkers;
  std::vector<std::unique_ptr<ConnectStream>> waiting;
  std::vector<ConnectRequest> requests;
  std::vector<absl::Status> bad;
  std::vector<std::unique_ptr<Answer>> answers;
  absl::Status open_status;
  absl::optional<absl::Status> closed;
  int reject_with = 0;
  HeaderList reject_headers;
  bool answer = true;
  bool echo = false;
  bool destroy_when_closed = false;
  bool in_call = false;
  int goaways = 0;
  int changes = 0;
};

// Two sessions over one transport, on a loop that the test steps. The parameter is for Connect: how
// many bytes the transport takes at once.
class SessionPairTest : public ::testing::TestWithParam<size_t> {
 protected:
  // May be called again, for a fresh pair.
  void Connect(size_t quota, const ConnectSession::Options& client_options = {},
               const ConnectSession::Options& server_options = {}) {
    auto [a, b] = MakePair(quota);
    auto valve = std::make_unique<Valve>(std::move(a), &frozen_);
    valve_ = valve.get();
    client_.session =
        ConnectSession::CreateClient(&loop_, std::move(valve), client_options, &client_);
    server_.session = ConnectSession::CreateServer(&loop_, std::move(b), server_options, &server_);
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

  void Run() { loop_.RunUntilIdle(); }

  ManualEventLoop loop_;
  std::vector<std::unique_ptr<MemoryStreamPair>> pairs_;
  bool frozen_ = false;
  Valve* valve_ = nullptr;  // Owned by the client's session.
  End client_;
  End server_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_TESTING_SESSION_PAIR_H_
