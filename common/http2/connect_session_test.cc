#include "common/http2/connect_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/byte_stream.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Pattern(size_t size, int seed = 0) {
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
  void Pull() {
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
  bool echo = false;
  bool shutdown_when_sent = false;
  bool eof = false;
  bool error = false;
  bool write_error = false;
  int readable = 0;
  int writable = 0;
};

// A transport that can be frozen: as if the network had gone, no byte moves and no edge comes.
class Valve final : public ByteStream, private ByteStream::Observer {
 public:
  Valve(std::unique_ptr<ByteStream> inner, const bool* frozen)
      : inner_(std::move(inner)), frozen_(frozen) {
    inner_->SetObserver(this);
  }
  void SetObserver(ByteStream::Observer* observer) override {
    observer_ = observer;
    inner_->SetObserver(this);
  }
  IoResult Read(absl::Span<uint8_t> buffer) override {
    return *frozen_ ? IoResult{0, IoStatus::kWouldBlock} : inner_->Read(buffer);
  }
  IoResult Write(absl::Span<const uint8_t> data) override {
    return *frozen_ ? IoResult{0, IoStatus::kWouldBlock} : inner_->Write(data);
  }
  void ShutdownWrite() override { inner_->ShutdownWrite(); }
  void Reset() override { inner_->Reset(); }
  bool Flushed() const override { return inner_->Flushed(); }
  absl::Status error() const override { return inner_->error(); }
  // The edges of a network that moves again.
  void Thaw() {
    OnReadable();
    OnWritable();
  }

 private:
  void OnReadable() override {
    if (observer_ != nullptr && !*frozen_) observer_->OnReadable();
  }
  void OnWritable() override {
    if (observer_ != nullptr && !*frozen_) observer_->OnWritable();
  }

  std::unique_ptr<ByteStream> inner_;
  const bool* const frozen_;
  ByteStream::Observer* observer_ = nullptr;
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

class ConnectSessionTest : public ::testing::TestWithParam<size_t> {
 protected:
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

INSTANTIATE_TEST_SUITE_P(Quotas, ConnectSessionTest, ::testing::Values(1, 17, 1 << 20));

TEST_P(ConnectSessionTest, CarriesARequestItsAnswerAndBytesBothWays) {
  Connect(GetParam());
  server_.echo = true;
  Talker* talker = client_.Open("[fd00::1]:8080", {{"baggage", "k=v"}, {"traceparent", "00-1"}});
  ASSERT_NE(talker, nullptr);
  talker->shutdown_when_sent = true;
  talker->Send(Pattern(3000));
  Run();
  ASSERT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(server_.requests[0].authority, "[fd00::1]:8080");
  EXPECT_EQ(server_.requests[0].headers, (HeaderList{{"baggage", "k=v"}, {"traceparent", "00-1"}}));
  ASSERT_NE(client_.answers[0], nullptr);
  EXPECT_THAT(client_.answers[0]->status, IsOk());
  EXPECT_EQ(client_.answers[0]->http_status, 200);
  EXPECT_EQ(client_.answers[0]->headers, (HeaderList{{"x-by", "end"}}));
  EXPECT_EQ(talker->received, Pattern(3000));
  EXPECT_TRUE(talker->eof);
  EXPECT_TRUE(talker->stream->Flushed());
  EXPECT_TRUE(server_.talkers[0]->eof);
  EXPECT_TRUE(server_.talkers[0]->stream->Flushed());
  EXPECT_EQ(client_.session->open_streams(), 0u);
  EXPECT_EQ(server_.session->open_streams(), 0u);
  EXPECT_GT(client_.changes, 0);
  EXPECT_THAT(talker->stream->error(), IsOk());
}

TEST_P(ConnectSessionTest, ClosesEachDirectionByItself) {
  Connect(GetParam());
  Talker* talker = client_.Open();
  Run();
  Talker* peer = server_.talkers[0].get();
  peer->Send("reply");
  peer->stream->ShutdownWrite();
  Run();
  EXPECT_EQ(talker->received, "reply");
  EXPECT_TRUE(talker->eof);
  EXPECT_FALSE(peer->eof);
  talker->Send("still here");
  Run();
  EXPECT_EQ(peer->received, "still here");
  EXPECT_EQ(client_.session->open_streams(), 1u);
  talker->stream->ShutdownWrite();
  Run();
  EXPECT_TRUE(peer->eof);
  EXPECT_EQ(client_.session->open_streams(), 0u);
  EXPECT_EQ(server_.session->open_streams(), 0u);
}

TEST_P(ConnectSessionTest, DeliversDataBeforeTheResetAfterIt) {
  for (bool by_client : {true, false}) {
    Connect(GetParam());
    Talker* client = client_.Open();
    Run();
    Talker* server = server_.talkers.back().get();
    Talker* resetter = by_client ? client : server;
    Talker* other = by_client ? server : client;
    resetter->Send(Pattern(50000));
    resetter->stream->Reset();
    EXPECT_FALSE(resetter->stream->Flushed());
    Run();
    EXPECT_EQ(other->received, Pattern(50000));
    EXPECT_TRUE(other->error);
    EXPECT_FALSE(other->eof);
    EXPECT_THAT(other->stream->error(), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_TRUE(resetter->stream->Flushed());
    EXPECT_EQ(client_.session->open_streams(), 0u);
    EXPECT_EQ(server_.session->open_streams(), 0u);
    client_.talkers.clear();
    server_.talkers.clear();
    client_.answers.clear();
  }
}

TEST_P(ConnectSessionTest, ShowsHowMuchASlowReaderHasLeft) {
  if (GetParam() == 1) return;
  Connect(GetParam());
  Talker* talker = client_.Open();
  Run();
  Talker* peer = server_.talkers[0].get();
  peer->reading = false;
  talker->Send(Pattern(1 << 20));
  Run();
  const uint64_t left = talker->stream->Undelivered();
  EXPECT_GT(left, 30000u);
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(talker->stream->Undelivered(), left) << "it changes only when bytes move";
  peer->reading = true;
  peer->Pull();
  Run();
  EXPECT_EQ(peer->received, Pattern(1 << 20));
  EXPECT_EQ(talker->stream->Undelivered(), 0u);
}

TEST_P(ConnectSessionTest, CancelsAStreamThatIsDestroyed) {
  Connect(GetParam());
  client_.Open();
  Talker* bystander = client_.Open();
  Run();
  client_.talkers[0].reset();
  Run();
  EXPECT_TRUE(server_.talkers[0]->error);
  EXPECT_EQ(server_.session->open_streams(), 1u);
  bystander->Send("unharmed");
  Run();
  EXPECT_EQ(server_.talkers[1]->received, "unharmed");
}

TEST_P(ConnectSessionTest, TellsTheClientWhyItWasRefused) {
  for (auto [status, code] : {std::make_pair(401, absl::StatusCode::kPermissionDenied),
                              std::make_pair(403, absl::StatusCode::kPermissionDenied),
                              std::make_pair(400, absl::StatusCode::kInvalidArgument),
                              std::make_pair(503, absl::StatusCode::kUnavailable),
                              std::make_pair(302, absl::StatusCode::kUnavailable)}) {
    Connect(GetParam());
    server_.reject_with = status;
    server_.reject_headers = {{"x-reason", "policy"}};
    Talker* talker = client_.Open();
    Run();
    ASSERT_NE(client_.answers[0], nullptr);
    EXPECT_THAT(client_.answers[0]->status, StatusIs(code, HasSubstr(absl::StrCat(status))));
    EXPECT_EQ(client_.answers[0]->http_status, status);
    EXPECT_EQ(client_.answers[0]->headers, (HeaderList{{"x-reason", "policy"}}));
    EXPECT_TRUE(talker->error);
    EXPECT_TRUE(talker->stream->Flushed());
    EXPECT_EQ(client_.session->open_streams(), 0u);
    EXPECT_EQ(server_.session->open_streams(), 0u);
    EXPECT_FALSE(client_.closed.has_value());
    client_.talkers.clear();
    client_.answers.clear();
  }
}

TEST_P(ConnectSessionTest, KeepsBytesOfBothSidesUntilTheTunnelIsOpen) {
  Connect(GetParam());
  server_.answer = false;
  Talker* talker = client_.Open();
  talker->Send("early");
  EXPECT_EQ(talker->sent, 0u);
  Run();
  ASSERT_EQ(server_.waiting.size(), 1u);
  uint8_t byte;
  EXPECT_EQ(server_.waiting[0]->Read(absl::MakeSpan(&byte, 1)).status, IoStatus::kWouldBlock);
  EXPECT_EQ(server_.waiting[0]->Write(absl::MakeConstSpan(&byte, 1)).status, IoStatus::kWouldBlock);
  server_.waiting[0]->Accept();
  Talker peer(std::move(server_.waiting[0]));
  Run();
  EXPECT_EQ(peer.received, "early");
}

TEST_P(ConnectSessionTest, DrainsWithStreamsOpenAndEndsWithTheLast) {
  for (bool by_server : {true, false}) {
    Connect(GetParam());
    client_.closed.reset();
    server_.closed.reset();
    client_.goaways = server_.goaways = 0;
    Talker* talker = client_.Open();
    Run();
    Talker* peer = server_.talkers.back().get();
    End& drainer = by_server ? server_ : client_;
    End& other = by_server ? client_ : server_;
    drainer.session->Drain();
    drainer.session->Drain();
    Run();
    EXPECT_EQ(other.goaways, 1);
    EXPECT_FALSE(client_.session->CanOpenStream());
    EXPECT_EQ(client_.Open(), nullptr);
    EXPECT_THAT(client_.open_status, StatusIs(absl::StatusCode::kUnavailable));
    talker->Send(Pattern(20000));
    Run();
    EXPECT_EQ(peer->received, Pattern(20000));
    EXPECT_FALSE(client_.closed.has_value());
    EXPECT_FALSE(server_.closed.has_value());
    talker->stream->ShutdownWrite();
    peer->Send("last words");
    peer->stream->ShutdownWrite();
    Run();
    EXPECT_EQ(talker->received, "last words");
    EXPECT_TRUE(talker->eof);
    ASSERT_TRUE(client_.closed.has_value());
    ASSERT_TRUE(server_.closed.has_value());
    EXPECT_THAT(*client_.closed, IsOk());
    EXPECT_THAT(*server_.closed, IsOk());
    client_.talkers.clear();
    server_.talkers.clear();
    client_.answers.clear();
  }
}

TEST_P(ConnectSessionTest, BreaksStreamsWhenClosedAndLetsThemOutliveIt) {
  Connect(GetParam());
  client_.destroy_when_closed = true;
  Talker* talker = client_.Open();
  Run();
  client_.session->Close();
  Run();
  ASSERT_TRUE(client_.closed.has_value());
  EXPECT_THAT(*client_.closed, IsOk());
  EXPECT_EQ(client_.session, nullptr);
  EXPECT_TRUE(talker->error);
  EXPECT_THAT(talker->stream->error(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(talker->stream->Flushed());
  talker->stream->ShutdownWrite();
  talker->stream->Reset();
  EXPECT_TRUE(server_.talkers[0]->error);
  ASSERT_TRUE(server_.closed.has_value());
}

TEST_P(ConnectSessionTest, TellsStreamsOfASessionThatIsDestroyed) {
  Connect(GetParam());
  server_.answer = false;
  Talker* unanswered = client_.Open();
  Run();
  client_.session.reset();
  EXPECT_FALSE(unanswered->error);
  Run();
  EXPECT_TRUE(unanswered->error);
  ASSERT_NE(client_.answers[0], nullptr);
  EXPECT_THAT(client_.answers[0]->status, StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_TRUE(server_.closed.has_value());
}

TEST_P(ConnectSessionTest, ASlowReaderStallsNobodyAndBoundsItsWriter) {
  if (GetParam() == 1) return;  // Megabytes; the other quotas tell enough.
  Connect(GetParam());
  Talker* slow = client_.Open();
  Talker* fast = client_.Open();
  Run();
  server_.talkers[0]->reading = false;
  const std::string payload = Pattern(1 << 20);
  slow->Send(payload);
  Run();
  // The stream's window, what waits unsent, and nothing else.
  EXPECT_LE(slow->sent, 256u * 1024 + 64 * 1024);
  EXPECT_GE(slow->sent, 256u * 1024);
  fast->Send(payload);
  Run();
  EXPECT_EQ(server_.talkers[1]->received, payload);
  server_.talkers[0]->reading = true;
  server_.talkers[0]->Pull();
  Run();
  EXPECT_EQ(server_.talkers[0]->received, payload);
}

TEST_P(ConnectSessionTest, ASmallWriteWaitsForABoundedPartOfABulkStream) {
  Connect(GetParam());
  Talker* bulk = client_.Open();
  Talker* small = client_.Open();
  Run();
  frozen_ = true;
  bulk->Send(Pattern(1 << 20));
  Run();
  small->Send("hello");
  frozen_ = false;
  valve_->Thaw();
  size_t ahead = 0;
  while (server_.talkers[1]->received.empty() && loop_.RunOnce()) {
    ahead = server_.talkers[0]->received.size();
  }
  EXPECT_FALSE(server_.talkers[1]->received.empty());
  // What was in the output by then, no more than a frame of what waits behind it, and what the turn
  // that brought it brought of the next.
  EXPECT_LE(ahead, 2 * 64u * 1024 + 3 * 16 * 1024);
}

TEST_P(ConnectSessionTest, ATransportThatTakesNothingStopsTheWriters) {
  Connect(GetParam());
  Talker* talker = client_.Open();
  Run();
  frozen_ = true;
  talker->Send(Pattern(1 << 20));
  Run();
  // The stream's unsent bytes and the session's output, with the frame that crossed its mark.
  EXPECT_LE(talker->sent, 64u * 1024 + 64 * 1024 + 16 * 1024);
}

TEST_P(ConnectSessionTest, MovesManyStreamsAtOnce) {
  if (GetParam() == 1) return;
  Connect(GetParam());
  server_.echo = true;
  for (int i = 0; i < 20; ++i) {
    Talker* talker = client_.Open();
    talker->shutdown_when_sent = true;
    talker->Send(Pattern(30000, i));
  }
  Run();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(client_.talkers[i]->received, Pattern(30000, i)) << i;
    EXPECT_TRUE(client_.talkers[i]->eof);
  }
  EXPECT_EQ(client_.session->open_streams(), 0u);
}

TEST_P(ConnectSessionTest, RefusesStreamsPastTheLimit) {
  ConnectSession::Options options;
  options.max_concurrent_streams = 2;
  Connect(GetParam(), {}, options);
  // The server's settings are not here yet: the third is refused by it.
  client_.Open();
  client_.Open();
  client_.Open();
  Run();
  EXPECT_THAT(client_.answers[0]->status, IsOk());
  EXPECT_THAT(client_.answers[1]->status, IsOk());
  EXPECT_THAT(client_.answers[2]->status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(client_.answers[2]->http_status, 0);
  EXPECT_EQ(server_.requests.size(), 2u);
  // Now they are.
  EXPECT_EQ(client_.session->stream_limit(), 2u);
  EXPECT_FALSE(client_.session->CanOpenStream());
  EXPECT_EQ(client_.Open(), nullptr);
  EXPECT_THAT(client_.open_status, StatusIs(absl::StatusCode::kResourceExhausted));
  const int changes = client_.changes;
  client_.talkers[0].reset();
  Run();
  EXPECT_GT(client_.changes, changes);
  EXPECT_TRUE(client_.session->CanOpenStream());
}

TEST_P(ConnectSessionTest, MeasuresTheRoundTripAndNoticesASilentPeer) {
  Connect(GetParam());
  Talker* talker = client_.Open();
  Run();
  EXPECT_EQ(client_.session->round_trip(), absl::ZeroDuration());
  loop_.AdvanceTime(absl::Seconds(35));
  EXPECT_FALSE(client_.closed.has_value());
  frozen_ = true;
  loop_.AdvanceTime(absl::Seconds(60));
  ASSERT_TRUE(client_.closed.has_value());
  EXPECT_THAT(*client_.closed, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("silent")));
  EXPECT_TRUE(talker->error);
}

TEST_P(ConnectSessionTest, SurvivesDestructionInEveryState) {
  for (int step = 0; step < 60; ++step) {
    for (int victim = 0; victim < 4; ++victim) {
      Connect(GetParam());
      server_.echo = true;
      Talker* talker = client_.Open();
      talker->shutdown_when_sent = true;
      talker->Send(Pattern(400));
      for (int i = 0; i < step; ++i) loop_.RunOnce();
      if (victim == 0) client_.session.reset();
      if (victim == 1) server_.session.reset();
      if (victim == 2) client_.talkers.clear();
      if (victim == 3) server_.talkers.clear();
      Run();
      client_.talkers.clear();
      server_.talkers.clear();
      client_.session.reset();
      server_.session.reset();
      client_.answers.clear();
      client_.closed.reset();
      server_.closed.reset();
      Run();
    }
  }
}

// ---- Against nghttp2 itself, for what our own client never sends
// --------------------------------------------------

// Bytes of a raw client made of nghttp2, for the server under test to read.
class RawClient {
 public:
  RawClient() {
    nghttp2_session_callbacks* callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks,
        [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
           const uint8_t* value, size_t value_size, uint8_t, void* self) {
          if (absl::string_view(reinterpret_cast<const char*>(name), name_size) == ":status") {
            absl::StrAppend(&static_cast<RawClient*>(self)->log, frame->hd.stream_id, ":",
                            absl::string_view(reinterpret_cast<const char*>(value), value_size),
                            " ");
          }
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
          std::string& log = static_cast<RawClient*>(self)->log;
          if (frame->hd.type == NGHTTP2_RST_STREAM) {
            absl::StrAppend(&log, frame->hd.stream_id, ":reset=", frame->rst_stream.error_code,
                            " ");
          }
          if (frame->hd.type == NGHTTP2_GOAWAY) {
            absl::StrAppend(&log, "goaway=", frame->goaway.error_code, " ");
          }
          return 0;
        });
    nghttp2_option* option;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_option_set_peer_max_concurrent_streams(option, 100000);
    nghttp2_session_client_new2(&session, callbacks, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session, 0, nullptr, 0);
  }
  ~RawClient() { nghttp2_session_del(session); }

  int32_t Request(const HeaderList& headers, bool end_stream) {
    std::vector<nghttp2_nv> values;
    for (const auto& [name, value] : headers) {
      values.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                        value.size(), 0});
    }
    return nghttp2_submit_headers(session, end_stream ? NGHTTP2_FLAG_END_STREAM : 0, -1, nullptr,
                                  values.data(), values.size(), nullptr);
  }
  void Exchange(ByteStream* stream, ManualEventLoop* loop) {
    for (int i = 0; i < 20; ++i) {
      const uint8_t* data;
      ssize_t size;
      while ((size = nghttp2_session_mem_send(session, &data)) > 0) {
        absl::Span<const uint8_t> rest = absl::MakeConstSpan(data, size);
        while (!rest.empty()) {
          const IoResult written = stream->Write(rest);
          if (written.status == IoStatus::kError) return;
          rest.remove_prefix(written.bytes);
          loop->RunUntilIdle();
        }
      }
      loop->RunUntilIdle();
      uint8_t buffer[4096];
      IoResult read;
      while ((read = stream->Read(absl::MakeSpan(buffer))).bytes > 0 &&
             read.status != IoStatus::kError) {
        nghttp2_session_mem_recv(session, buffer, read.bytes);
      }
    }
  }

  nghttp2_session* session;
  std::string log;
};

class ConnectServerTest : public ConnectSessionTest {
 protected:
  void Listen(const ConnectSession::Options& options = {}) {
    auto [a, b] = MakePair(1 << 20);
    raw_ = std::move(a);
    server_.session = ConnectSession::CreateServer(&loop_, std::move(b), options, &server_);
  }
  void Exchange() { client_.Exchange(raw_.get(), &loop_); }

  std::unique_ptr<ByteStream> raw_;
  RawClient client_;
};

TEST_F(ConnectServerTest, AnswersOtherMethodsWith400AndGoesOn) {
  Listen();
  const int32_t get = client_.Request(
      {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}}, true);
  const int32_t post = client_.Request(
      {{":method", "POST"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}}, false);
  const int32_t connect =
      client_.Request({{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}}, false);
  Exchange();
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(get, ":400")));
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(post, ":400")));
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(post, ":reset=0")));
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(connect, ":200")));
  EXPECT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(server_.session->open_streams(), 1u);
}

TEST_F(ConnectServerTest, ResetsMalformedConnectsAlone) {
  Listen();
  const int32_t path = client_.Request(
      {{":method", "CONNECT"}, {":authority", "a:1"}, {":scheme", "https"}, {":path", "/"}}, false);
  const int32_t nowhere = client_.Request({{":method", "CONNECT"}}, false);
  const int32_t good = client_.Request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
  Exchange();
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(path, ":reset=1")));
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(nowhere, ":reset=1")));
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(good, ":200")));
}

TEST_F(ConnectServerTest, RefusesHeadersThatAreTooLarge) {
  ConnectSession::Options options;
  options.max_header_list_size = 1000;
  Listen(options);
  const int32_t id = client_.Request(
      {{":method", "CONNECT"}, {":authority", "a:1"}, {"x", std::string(2000, 'x')}}, false);
  Exchange();
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(id, ":431")));
  EXPECT_THAT(server_.requests, IsEmpty());
}

TEST_F(ConnectServerTest, EndsASessionThatResetsBeforeItIsAnswered) {
  Listen();
  server_.answer = false;
  for (int i = 0; i < 300; ++i) {
    const int32_t id = client_.Request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
    Exchange();
    if (absl::StrContains(client_.log, "goaway")) break;
    nghttp2_submit_rst_stream(client_.session, 0, id, NGHTTP2_CANCEL);
    Exchange();
  }
  EXPECT_THAT(client_.log, HasSubstr("goaway=11"));
  Exchange();
  raw_->ShutdownWrite();
  Exchange();
  loop_.AdvanceTime(absl::Seconds(3));
  ASSERT_TRUE(server_.closed.has_value());
  EXPECT_THAT(*server_.closed, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ConnectServerTest, EndsASessionOfAPeerThatSpeaksSomethingElse) {
  Listen();
  const std::string http1 = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  raw_->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(http1.data()), http1.size()));
  loop_.RunUntilIdle();
  loop_.AdvanceTime(absl::Seconds(3));
  ASSERT_TRUE(server_.closed.has_value());
  EXPECT_THAT(*server_.closed, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ConnectServerTest, SendsNoPushAndNoStreamAfterGarbageFrames) {
  Listen();
  client_.Request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
  Exchange();
  // A DATA frame on stream 0 is a connection error (RFC 9113 section 6.1).
  const uint8_t frame[] = {0, 0, 1, 0, 0, 0, 0, 0, 0, 'x'};
  raw_->Write(absl::MakeConstSpan(frame));
  Exchange();
  EXPECT_THAT(client_.log, HasSubstr("goaway=1"));
  loop_.AdvanceTime(absl::Seconds(3));
  ASSERT_TRUE(server_.closed.has_value());
  EXPECT_TRUE(server_.talkers[0]->error);
}

}  // namespace
}  // namespace byrnie
