#include "proxy/relay.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/byte_stream.h"
#include "common/net/testing/fake_buffer_budget.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Pattern(size_t size, int seed = 0) {
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
  bool Flushed() const override { return stream_->Flushed(); }
  uint64_t Undelivered() const override { return stream_->Undelivered(); }
  absl::Duration Unheard() const override { return host_->unheard; }
  void ShortenKeepalive() override { ++host_->keepalives_shortened; }
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

class RelayTest : public ::testing::TestWithParam<size_t> {
 protected:
  static constexpr size_t kScratch = 16 * 1024;

  void Connect(size_t quota) {
    done_.reset();
    near_.keepalives_shortened = far_.keepalives_shortened = 0;
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

INSTANTIATE_TEST_SUITE_P(Quotas, RelayTest, ::testing::Values(1, 13, 1 << 20));

TEST_P(RelayTest, CarriesBothWaysAndEndsCleanly) {
  Connect(GetParam());
  client_->SendAndShutdown(Pattern(5000, 1));
  server_->SendAndShutdown(Pattern(7000, 2));
  Start();
  EXPECT_EQ(server_->received, Pattern(5000, 1));
  EXPECT_EQ(client_->received, Pattern(7000, 2));
  EXPECT_TRUE(server_->eof);
  EXPECT_TRUE(client_->eof);
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, IsOk());
  EXPECT_EQ(done_->bytes_to_upstream, 5000u);
  EXPECT_EQ(done_->bytes_to_downstream, 7000u);
  ExpectKeepalivesShortened(0);
}

TEST_P(RelayTest, NotesTheNextMoveOfEitherSideOnce) {
  std::vector<uint64_t> moved;
  options_.moved = &moved;
  Connect(GetParam());
  relay_->NoteNextMove(7);
  Start();
  EXPECT_THAT(moved, IsEmpty());
  client_->Send(Pattern(500, 1));
  Run();
  EXPECT_THAT(moved, ElementsAre(7));
  relay_->NoteNextMove(7);
  Run();
  EXPECT_THAT(moved, ElementsAre(7));
  server_->Send(Pattern(500, 2));
  Run();
  EXPECT_THAT(moved, ElementsAre(7, 7));
}

TEST_P(RelayTest, PassesHalfClosesOnAtEachPointOfTheData) {
  for (bool client_first : {true, false}) {
    for (size_t before : {0, 3000}) {
      for (size_t after : {0, 3000}) {
        Connect(GetParam());
        App& first = client_first ? *client_ : *server_;
        App& second = client_first ? *server_ : *client_;
        first.SendAndShutdown(Pattern(before, 3));
        Start();
        EXPECT_EQ(second.received, Pattern(before, 3));
        EXPECT_TRUE(second.eof);
        EXPECT_FALSE(first.eof);
        EXPECT_FALSE(done_.has_value());
        loop_.AdvanceTime(absl::Milliseconds(900));
        ExpectKeepalivesShortened(0);
        loop_.AdvanceTime(absl::Milliseconds(100));
        ExpectKeepalivesShortened(1);
        loop_.AdvanceTime(absl::Seconds(30));
        ExpectKeepalivesShortened(1);
        second.SendAndShutdown(Pattern(after, 4));
        Run();
        EXPECT_EQ(first.received, Pattern(after, 4));
        EXPECT_TRUE(first.eof);
        ASSERT_TRUE(done_.has_value());
        EXPECT_THAT(done_->status, IsOk());
        EXPECT_EQ(done_->ended_by,
                  client_first ? RelayResult::Side::kDownstream : RelayResult::Side::kUpstream);
      }
    }
  }
}

TEST_P(RelayTest, PassesAResetOnAfterTheDataBeforeIt) {
  for (bool by_client : {true, false}) {
    for (size_t before : {0, 1, 20000}) {
      Connect(GetParam());
      App& resetter = by_client ? *client_ : *server_;
      App& other = by_client ? *server_ : *client_;
      resetter.SendAndReset(Pattern(before));
      Start();
      loop_.AdvanceTime(absl::Seconds(6));
      EXPECT_EQ(other.received, Pattern(before));
      EXPECT_TRUE(other.error);
      EXPECT_FALSE(other.eof);
      ASSERT_TRUE(done_.has_value());
      EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kUnavailable));
      EXPECT_EQ(done_->ended_by,
                by_client ? RelayResult::Side::kDownstream : RelayResult::Side::kUpstream);
    }
  }
}

TEST_P(RelayTest, KeepsTheResetBehindDataThatASlowReaderHasNotTaken) {
  if (GetParam() == 1) return;
  Connect(GetParam());
  server_->reading = false;
  Start();
  client_->SendAndReset(Pattern(100000));
  Run();
  EXPECT_FALSE(server_->error);
  EXPECT_FALSE(done_.has_value());
  server_->reading = true;
  server_->Pull();
  Run();
  EXPECT_EQ(server_->received, Pattern(100000));
  EXPECT_TRUE(server_->error);
  EXPECT_FALSE(server_->eof);
}

TEST_P(RelayTest, PassesAResetAfterAHalfCloseOn) {
  Connect(GetParam());
  client_->SendAndShutdown("request");
  Start();
  EXPECT_TRUE(server_->eof);
  server_->SendAndReset("partial");
  Run();
  EXPECT_EQ(client_->received, "partial");
  EXPECT_TRUE(client_->error);
  EXPECT_FALSE(client_->eof);
  loop_.AdvanceTime(absl::Seconds(6));
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_P(RelayTest, HoldsAtMostTheScratchBufferForAStoppedReader) {
  FakeBufferBudget budget;
  options_.budget = &budget;
  Connect(GetParam());
  server_->reading = false;
  Start();
  client_->Send(Pattern(1 << 20));
  Run();
  EXPECT_LE(relay_->buffered_bytes(), kScratch);
  EXPECT_GE(budget.held, static_cast<int64_t>(relay_->buffered_bytes()));
  EXPECT_LE(budget.held, static_cast<int64_t>(kScratch));
  EXPECT_LT(client_->sent, 300000u);
  server_->reading = true;
  server_->Pull();
  if (GetParam() > 100) {
    Run();
    EXPECT_EQ(server_->received, Pattern(1 << 20));
    EXPECT_EQ(relay_->buffered_bytes(), 0u);
    EXPECT_EQ(budget.held, 0);
  }
  relay_.reset();
  EXPECT_EQ(budget.held, 0);
  EXPECT_EQ(budget.more, 0);
  EXPECT_EQ(budget.least, 0);
}

TEST_P(RelayTest, KeepsLittleAndEndsNothingWhileTheBudgetIsShort) {
  FakeBufferBudget budget;
  budget.share = 0;
  options_.budget = &budget;
  Connect(GetParam());
  server_->reading = false;
  const std::string payload = Pattern(GetParam() == 1 ? 20000 : 1 << 20);
  client_->Send(payload);
  Start();
  loop_.AdvanceTime(absl::Seconds(600));
  EXPECT_FALSE(done_.has_value());
  EXPECT_LE(relay_->buffered_bytes(), 2048u);
  EXPECT_EQ(budget.more, 0);
  server_->reading = true;
  server_->Pull();
  Run();
  EXPECT_EQ(server_->received, payload);
  EXPECT_EQ(budget.held, 0);
  relay_.reset();
  EXPECT_EQ(budget.least, 0);
}

TEST_P(RelayTest, CarriesMegabytesBothWaysAtOnce) {
  if (GetParam() < 100) return;
  Connect(GetParam());
  const std::string up = Pattern(8 << 20, 5);
  const std::string down = Pattern(8 << 20, 6);
  client_->SendAndShutdown(up);
  server_->SendAndShutdown(down);
  Start();
  EXPECT_TRUE(server_->received == up);
  EXPECT_TRUE(client_->received == down);
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, IsOk());
}

TEST_P(RelayTest, EndsAHalfClosedPairOnlyWhenItIsQuiet) {
  Connect(GetParam());
  client_->SendAndShutdown("request");
  Start();
  for (int i = 0; i < 5; ++i) {
    loop_.AdvanceTime(absl::Seconds(50));
    server_->Send("x");
    Run();
  }
  EXPECT_FALSE(done_.has_value());
  loop_.AdvanceTime(absl::Seconds(59));
  EXPECT_FALSE(done_.has_value());
  loop_.AdvanceTime(absl::Seconds(7));
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("half")));
  EXPECT_EQ(client_->received, "xxxxx");
  EXPECT_TRUE(client_->error);
  EXPECT_TRUE(server_->eof);
}

TEST_P(RelayTest, WaitsForHoursForAnAnswerWhileBothHostsAreThere) {
  near_.unheard = absl::Seconds(3);
  far_.unheard = absl::ZeroDuration();
  for (const bool client_first : {true, false}) {
    Connect(GetParam());
    App& first = client_first ? *client_ : *server_;
    App& second = client_first ? *server_ : *client_;
    first.SendAndShutdown("request");
    Start();
    loop_.AdvanceTime(absl::Hours(5));
    ASSERT_FALSE(done_.has_value());
    ExpectKeepalivesShortened(1);
    second.SendAndShutdown("answer");
    Run();
    EXPECT_EQ(first.received, "answer");
    EXPECT_TRUE(first.eof);
    ASSERT_TRUE(done_.has_value());
    EXPECT_THAT(done_->status, IsOk());
  }
}

TEST_P(RelayTest, EndsAHalfClosedPairWhenEitherHostHasGoneSilent) {
  for (Host* silent : {&near_, &far_}) {
    near_.unheard = far_.unheard = absl::Seconds(3);
    Connect(GetParam());
    client_->SendAndShutdown("request");
    Start();
    loop_.AdvanceTime(absl::Minutes(10));
    ASSERT_FALSE(done_.has_value());
    silent->unheard = absl::Seconds(15);
    loop_.AdvanceTime(absl::Seconds(66));
    ASSERT_TRUE(done_.has_value());
    EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("half")));
    EXPECT_EQ(done_->deadline, RelayResult::Deadline::kHalfClose);
    EXPECT_TRUE(client_->error);
    EXPECT_TRUE(server_->eof);
  }
}

TEST_P(RelayTest, EndsAHalfClosedPairThatIsIdleForTooLongWhoeverIsThere) {
  options_.idle_timeout = absl::Minutes(10);
  near_.unheard = far_.unheard = absl::ZeroDuration();
  Connect(GetParam());
  client_->SendAndShutdown("request");
  Start();
  loop_.AdvanceTime(absl::Minutes(9));
  server_->Send("x");
  Run();
  loop_.AdvanceTime(absl::Minutes(9));
  EXPECT_FALSE(done_.has_value());
  loop_.AdvanceTime(absl::Minutes(2));
  ASSERT_TRUE(done_.has_value());
  EXPECT_EQ(done_->deadline, RelayResult::Deadline::kIdle);
}

TEST_P(RelayTest, WaitsForASlowReaderOfAHalfClosedPair) {
  const std::string answer = Pattern(200 * 1024, 5);  // More than all buffers on the way.
  Connect(GetParam());
  client_->SendAndShutdown("request");
  Start();
  client_->reading = false;
  server_->SendAndShutdown(answer);
  Run();
  loop_.AdvanceTime(absl::Minutes(10));
  EXPECT_FALSE(done_.has_value());
  client_->reading = true;
  client_->Pull();
  Run();
  EXPECT_EQ(client_->received, answer);
  EXPECT_TRUE(client_->eof);
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, IsOk());
}

TEST_P(RelayTest, WaitsForASlowReaderOfTheLastBytesWhileTheyMove) {
  slow_tail_ = 60000;
  Connect(GetParam());
  client_->SendAndShutdown("the last bytes");
  server_->SendAndShutdown("answer");
  Start();
  for (uint64_t left = slow_tail_; left > 0; left -= 1000) {
    loop_.AdvanceTime(absl::Seconds(50));
    ASSERT_FALSE(done_.has_value()) << left << " bytes are left";
    tail_->MoveOn(left - 1000);
  }
  Run();
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, IsOk());
}

TEST_P(RelayTest, EndsWhenTheLastBytesHaveNotMovedForAMinute) {
  slow_tail_ = 60000;
  Connect(GetParam());
  client_->SendAndShutdown("the last bytes");
  server_->SendAndShutdown("answer");
  Start();
  loop_.AdvanceTime(absl::Seconds(50));
  tail_->MoveOn(100);
  loop_.AdvanceTime(absl::Seconds(59));
  EXPECT_FALSE(done_.has_value());
  loop_.AdvanceTime(absl::Seconds(15));
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status,
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("last bytes")));
  EXPECT_EQ(done_->deadline, RelayResult::Deadline::kHalfClose);
}

TEST_P(RelayTest, EndsAnIdlePairOnlyWhenAsked) {
  Connect(GetParam());
  Start();
  loop_.AdvanceTime(absl::Hours(24));
  EXPECT_FALSE(done_.has_value());
  options_.idle_timeout = absl::Minutes(10);
  Connect(GetParam());
  Start();
  loop_.AdvanceTime(absl::Minutes(9));
  client_->Send("x");
  Run();
  loop_.AdvanceTime(absl::Minutes(9));
  EXPECT_FALSE(done_.has_value());
  loop_.AdvanceTime(absl::Minutes(2));
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("idle")));
}

TEST_P(RelayTest, AbortsInEveryState) {
  for (int step = 0; step < 40; ++step) {
    Connect(GetParam());
    client_->SendAndShutdown(Pattern(20));
    if (step > 0) relay_->Start();
    for (int i = 1; i < step; ++i) loop_.RunOnce();
    relay_->Abort(absl::PermissionDeniedError("policy changed"));
    relay_->Abort(absl::InternalError("only the first counts"));
    EXPECT_FALSE(done_.has_value());
    Run();
    loop_.AdvanceTime(absl::Seconds(6));
    ASSERT_TRUE(done_.has_value()) << step;
    EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kPermissionDenied));
    EXPECT_EQ(done_->ended_by, RelayResult::Side::kProxy);
    EXPECT_TRUE(client_->error);
    EXPECT_TRUE(server_->error || server_->eof);
  }
}

TEST_P(RelayTest, CutsOffAReaderThatHasStopped) {
  for (bool half_closed : {false, true}) {
    slow_tail_ = 1000;
    Connect(GetParam());
    Start();
    client_->Send(Pattern(20));
    if (half_closed) client_->stream->ShutdownWrite();
    Run();
    relay_->Cut(absl::PermissionDeniedError("policy changed"));
    EXPECT_FALSE(done_.has_value());
    loop_.AdvanceTime(absl::Milliseconds(1));
    ASSERT_TRUE(done_.has_value());
    EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kPermissionDenied));
    Run();
    EXPECT_TRUE(client_->error);
    // Who has read an end looks no further.
    EXPECT_TRUE(half_closed ? server_->eof : server_->error);
  }
}

TEST_P(RelayTest, CutsOffAnEndWhoseLastBytesWait) {
  for (bool aborted : {false, true}) {
    slow_tail_ = 1000;
    Connect(GetParam());
    Start();
    if (aborted) {
      relay_->Abort(absl::CancelledError("too old"));
    } else {
      client_->SendAndShutdown("a");
      server_->SendAndShutdown("b");
    }
    Run();
    loop_.AdvanceTime(absl::Seconds(4));
    EXPECT_FALSE(done_.has_value());
    relay_->Cut(absl::PermissionDeniedError("policy changed"));
    loop_.AdvanceTime(absl::Milliseconds(1));
    ASSERT_TRUE(done_.has_value());
    EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kPermissionDenied));
    ExpectKeepalivesShortened(0);
  }
}

TEST_P(RelayTest, IsDoneOnceAlsoWhenItLivesOn) {
  destroy_when_done_ = false;
  Connect(GetParam());
  client_->SendAndShutdown("a");
  server_->SendAndShutdown("b");
  Start();
  ASSERT_TRUE(done_.has_value());
  relay_->Abort(absl::InternalError("late"));
  loop_.AdvanceTime(absl::Hours(1));
  EXPECT_THAT(done_->status, IsOk());
}

TEST_P(RelayTest, MayBeDestroyedAtAnyTime) {
  for (int step = 0; step < 60; ++step) {
    for (int kind = 0; kind < 3; ++kind) {
      Connect(GetParam());
      if (kind == 0) client_->SendAndShutdown(Pattern(50));
      if (kind == 1) client_->SendAndReset(Pattern(50));
      if (kind == 2) server_->Send(Pattern(50));
      relay_->Start();
      for (int i = 0; i < step; ++i) loop_.RunOnce();
      const bool was_done = done_.has_value();
      relay_.reset();
      Run();
      EXPECT_EQ(done_.has_value(), was_done);
    }
  }
}

TEST_P(RelayTest, LetsOthersHaveTheirTurn) {
  if (GetParam() < 100) return;
  options_.bytes_per_event = 1000;
  Connect(GetParam());
  client_->SendAndShutdown(Pattern(60000));
  server_->SendAndShutdown("");
  Start();
  EXPECT_EQ(server_->received, Pattern(60000));
  ASSERT_TRUE(done_.has_value());
}

TEST(RelaySizeTest, StaysSmallBecauseThereAreManyThousands) { EXPECT_LE(sizeof(Relay), 300u); }

}  // namespace
}  // namespace byrnie
