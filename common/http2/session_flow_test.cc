#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/base/status_matchers.h"
#include "common/http2/connect_session.h"
#include "common/http2/testing/session_pair.h"
#include "common/net/byte_stream.h"
#include "common/net/scratch_pool.h"
#include "common/net/testing/counted_stream.h"
#include "common/net/testing/fake_buffer_budget.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Streams that share a session: windows, marks, turns, and how many there may be.
class SessionFlowTest : public SessionPairTest {};

INSTANTIATE_TEST_SUITE_P(Quotas, SessionFlowTest, ::testing::Values(1, 17, 1 << 20));

TEST_P(SessionFlowTest, ASlowReaderStallsNobodyAndBoundsItsWriter) {
  if (GetParam() == 1) return;  // Megabytes; the other quotas tell enough.
  FakeBufferBudget server_budget;
  ConnectSession::Options server_options;
  server_options.budget = &server_budget;
  Connect(GetParam(), {}, server_options);
  Talker* slow = client_.Open();
  Talker* fast = client_.Open();
  Run();
  const std::string payload = Pattern(1 << 20);
  slow->Send(payload);
  Run();
  EXPECT_EQ(server_.talkers[0]->received, payload);
  server_.talkers[0]->received.clear();
  server_.talkers[0]->reading = false;
  slow->Send(payload);
  Run();
  // The stream's window, what waits unsent, and nothing else.
  const size_t taken = slow->sent - payload.size();
  EXPECT_LE(taken, 256u * 1024 + 64 * 1024);
  if (GetParam() > 1000) {
    // A transport that is slower than the window has not made it larger.
    EXPECT_GE(taken, 128u * 1024);
  }
  fast->Send(payload);
  Run();
  EXPECT_EQ(server_.talkers[1]->received, payload);
  server_.talkers[0]->reading = true;
  server_.talkers[0]->Pull();
  Run();
  EXPECT_EQ(server_.talkers[0]->received, payload);
  server_.talkers.clear();
  server_.session.reset();
}

TEST_P(SessionFlowTest, BulkIsShownWhereItIsToWhoeverWaits) {
  if (GetParam() < 1000) return;  // No bulk.
  Connect(GetParam());
  Talker* one = client_.Open();
  Talker* other = client_.Open();
  Run();
  for (const auto& talker : server_.talkers) talker->peeks = true;
  const std::string payload = Pattern(3 << 20);
  const std::string more = Pattern(1 << 20, 5);
  one->shutdown_when_sent = true;
  one->Send(payload);
  other->Send(more);
  Run();
  EXPECT_EQ(server_.talkers[0]->received, payload);
  EXPECT_TRUE(server_.talkers[0]->eof);
  EXPECT_EQ(server_.talkers[1]->received, more);
  // The end comes with its last bytes, and is told with what else there is at the end of a turn.
  EXPECT_GT(server_.talkers[0]->peeked, payload.size() / 2);
  EXPECT_GT(server_.talkers[1]->peeked, more.size() / 2);
  EXPECT_THAT(server_.talkers[1]->stream->Peek(), IsEmpty());
}

TEST_P(SessionFlowTest, WhatIsShownAndNotTakenIsKept) {
  if (GetParam() < 1000) return;
  Connect(GetParam());
  Talker* talker = client_.Open();
  Run();
  // Reads what is shown; then stops in the midst of it.
  const std::string payload = Pattern(200 * 1024);
  Talker& reader = *server_.talkers[0];
  reader.reading = false;
  talker->Send(payload);
  Run();
  EXPECT_GT(reader.readable, 0);
  EXPECT_EQ(reader.received, "");
  reader.reading = reader.peeks = true;
  reader.Pull();
  Run();
  EXPECT_EQ(reader.received, payload);
}

// A piece takes memory of its own, and a write of many small ones more time than their copy.
TEST_P(SessionFlowTest, BulkInTinyFramesIsNotShown) {
  if (GetParam() < 1000) return;
  Connect(GetParam());
  Talker* talker = client_.Open();
  Run();
  Talker& reader = *server_.talkers[0];
  reader.peeks = true;
  const std::string payload = Pattern(4 << 10);
  frozen_ = true;
  // A frame for each, and all at once.
  for (int i = 0; i < 8; ++i) {
    for (const char byte : payload) talker->Send(std::string(1, byte));
  }
  frozen_ = false;
  valve_->Thaw();
  Run();
  EXPECT_EQ(reader.received.size(), 8 * payload.size());
  EXPECT_EQ(reader.received.substr(0, payload.size()), payload);
  EXPECT_LT(reader.peeked, reader.received.size());
}

// Does something in the midst of what is shown, once.
class Disturber final : public ByteStream::Observer {
 public:
  Disturber(ByteStream* stream, std::function<void()> disturb)
      : stream_(stream), disturb_(std::move(disturb)) {
    stream_->SetObserver(this);
  }
  void OnReadable() override {
    if (done_) return;
    if (stream_->Peek().empty()) {
      uint8_t buffer[4096];
      while (stream_->Read(absl::MakeSpan(buffer)).status == IoStatus::kOk) {
      }
      return;
    }
    done_ = true;
    stream_->Skip(100);
    disturb_();
  }
  void OnWritable() override {}
  bool done() const { return done_; }

 private:
  ByteStream* const stream_;  // Not owned.
  const std::function<void()> disturb_;
  bool done_ = false;
};

TEST_P(SessionFlowTest, AnythingMayHappenWhileBulkIsShown) {
  if (GetParam() < 1000) return;
  for (const std::string what : {"the stream goes", "it is reset", "the session goes", "all goes",
                                 "its observer goes", "another one goes", "it is read"}) {
    SCOPED_TRACE(what);
    server_.talkers.clear();
    client_.talkers.clear();
    server_.session.reset();
    client_.session.reset();
    client_.closed = server_.closed = absl::nullopt;
    Connect(GetParam());
    Talker* one = client_.Open();
    Talker* other = client_.Open();
    Run();
    ASSERT_EQ(server_.talkers.size(), 2u);
    server_.talkers[1]->peeks = true;
    const std::string payload = Pattern(1 << 20);
    std::string read;
    ByteStream* const stream = server_.talkers[0]->stream.get();
    Disturber disturber(stream, [&] {
      if (what == "the stream goes") server_.talkers[0]->stream.reset();
      if (what == "it is reset") stream->Reset();
      if (what == "the session goes" || what == "all goes") server_.session.reset();
      if (what == "all goes") server_.talkers[0]->stream.reset();
      if (what == "its observer goes") stream->SetObserver(nullptr);
      if (what == "another one goes") server_.talkers[1]->stream.reset();
      if (what != "it is read" && what != "the session goes") return;
      // What was shown can be read on, whatever else there is.
      std::vector<uint8_t> buffer(1000);
      const IoResult result = stream->Read(absl::MakeSpan(buffer));
      read.assign(reinterpret_cast<const char*>(buffer.data()), result.bytes);
    });
    one->Send(payload);
    other->Send(payload);
    Run();
    EXPECT_TRUE(disturber.done());
    if (!read.empty()) {
      EXPECT_EQ(payload.find(read) % payload.size(), 100u);
    }
    if (what == "it is read" || what == "the session goes") {
      EXPECT_EQ(read.size(), 1000u);
    }
    const bool other_lives = server_.session != nullptr && what != "another one goes";
    if (other_lives) {
      EXPECT_EQ(server_.talkers[1]->received, payload);
    }
    if (server_.talkers[0]->stream != nullptr) stream->SetObserver(nullptr);
  }
}

TEST_P(SessionFlowTest, AWindowIsWideOnlyWhileHardlyAnyOfTheBudgetIsInUse) {
  if (GetParam() < 1000) return;  // Megabytes.
  FakeBufferBudget server_budget;
  server_budget.spare = 700 * 1024;
  ConnectSession::Options server_options;
  server_options.budget = &server_budget;
  Connect(GetParam(), {}, server_options);
  Talker* talker = client_.Open();
  Run();
  const std::string payload = Pattern(8 << 20);
  const auto fill = [&] {
    server_.talkers[0]->reading = true;
    server_.talkers[0]->Pull();
    Run();
    talker->Send(payload);
    Run();
    EXPECT_EQ(server_.talkers[0]->received, payload);
    server_.talkers[0]->received.clear();
    server_.talkers[0]->reading = false;
    const size_t before = talker->sent;
    talker->Send(payload);
    Run();
    return talker->sent - before;
  };
  const size_t wide = fill();
  EXPECT_GT(wide, 400u * 1024);
  EXPECT_LE(wide, (700u + 64) * 1024);
  // Others use it now: what has been read is not promised again.
  server_budget.spare = 0;
  server_.talkers[0]->reading = true;
  server_.talkers[0]->Pull();
  Run();
  EXPECT_EQ(server_.talkers[0]->received, payload);
  server_.talkers[0]->received.clear();
  EXPECT_LE(fill(), (256u + 64) * 1024);
  server_.talkers.clear();
  server_.session.reset();
}

// A megabyte is on the way all the time at 50 MB/s and 20 ms.
TEST_P(SessionFlowTest, AWindowGrowsWithThePath) {
  if (GetParam() < 1000) return;  // Megabytes.
  for (const auto& [round_trip, least, most] :
       {std::tuple(absl::Milliseconds(20), 3 << 20, 6 << 20),
        std::tuple(absl::Seconds(1), 12 << 20, 17 << 20)}) {
    Connect(GetParam());
    pairs_.back()->SetRoundTrip(round_trip);
    Talker* talker = client_.Open();
    Run();
    const std::string payload = Pattern(32 << 20);
    talker->Send(payload);
    Run();
    server_.talkers.back()->reading = false;
    talker->Send(payload);
    Run();
    const size_t taken = talker->sent - payload.size();
    EXPECT_GE(taken, static_cast<size_t>(least)) << round_trip;
    EXPECT_LE(taken, static_cast<size_t>(most)) << round_trip;
  }
}

TEST_P(SessionFlowTest, AReaderThatHasNotReadYetIsNotTrustedWithMuch) {
  Connect(GetParam());
  Talker* talker = client_.Open();
  Run();
  server_.talkers[0]->reading = false;
  talker->Send(Pattern(1 << 20));
  Run();
  EXPECT_LE(talker->sent, 16u * 1024 + 64 * 1024);
}

TEST_P(SessionFlowTest, WhileTheBudgetIsShortEachBufferHasItsLeastAndGoesOn) {
  FakeBufferBudget client_budget;
  FakeBufferBudget server_budget;
  ConnectSession::Options client_options;
  client_options.budget = &client_budget;
  ConnectSession::Options server_options;
  server_options.budget = &server_budget;
  client_budget.share = server_budget.share = 0;
  Connect(GetParam(), client_options, server_options);
  Talker* talker = client_.Open();
  Run();
  server_.talkers[0]->reading = false;
  const std::string payload = Pattern(GetParam() == 1 ? 60000 : 1 << 20);
  talker->Send(payload);
  Run();
  // The least window and what may always wait unsent; what nobody reads is not added to.
  EXPECT_LE(talker->sent, 4u * 1024 + 4 * 1024);
  EXPECT_GE(talker->sent, 4u * 1024 + 4 * 1024);
  EXPECT_LE(client_budget.held, 4 * 1024 + 512) << "unsent, and nothing in the session's output";
  EXPECT_GE(client_budget.held, 4 * 1024);
  EXPECT_LE(server_budget.held, 4 * 1024 + 512);
  EXPECT_LE(server_budget.more, 512);
  // A reader that reads gets everything, however short it is.
  server_.talkers[0]->reading = true;
  server_.talkers[0]->Pull();
  Run();
  EXPECT_EQ(server_.talkers[0]->received, payload);
  EXPECT_LE(server_budget.most_more, 1024);
  EXPECT_EQ(client_budget.held, 0);
  EXPECT_EQ(server_budget.held, 0);
  client_.talkers.clear();
  server_.talkers.clear();
  client_.session.reset();
  server_.session.reset();
  EXPECT_EQ(client_budget.least, 0);
  EXPECT_EQ(client_budget.more, 0);
  EXPECT_EQ(server_budget.least, 0);
  EXPECT_EQ(server_budget.more, 0);
}

TEST_P(SessionFlowTest, AWindowThatHasGrownIsNotGivenBackWhileTheBudgetIsShort) {
  if (GetParam() < 1000)
    return;  // A transport that is slower than the window does not make it larger.
  FakeBufferBudget budget;
  ConnectSession::Options options;
  options.budget = &budget;
  Connect(GetParam(), {}, options);
  Talker* talker = client_.Open();
  Run();
  const std::string payload = Pattern(1 << 20);
  talker->Send(payload);
  Run();
  EXPECT_GE(budget.more, 100 * 1024) << "what the peer may send is promised";
  budget.share = 0;
  talker->Send(payload);
  Run();
  EXPECT_EQ(server_.talkers[0]->received.size(), 2 * payload.size());
  EXPECT_EQ(budget.more, 0);
  // Room again.
  budget.share = 1 << 20;
  talker->Send(payload);
  Run();
  EXPECT_EQ(server_.talkers[0]->received.size(), 3 * payload.size());
  EXPECT_GE(budget.more, 100 * 1024);
  talker->Send(payload);
  server_.talkers.clear();
  server_.session.reset();
  EXPECT_EQ(budget.more, 0);
  EXPECT_EQ(budget.held, 0);
}

TEST_P(SessionFlowTest, ASmallWriteWaitsForABoundedPartOfABulkStream) {
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

TEST_P(SessionFlowTest, ATransportThatTakesNothingStopsTheWriters) {
  Connect(GetParam());
  Talker* talker = client_.Open();
  Run();
  frozen_ = true;
  talker->Send(Pattern(1 << 20));
  Run();
  // The stream's unsent bytes and the session's output, with the frame that crossed its mark.
  EXPECT_LE(talker->sent, 64u * 1024 + 64 * 1024 + 16 * 1024);
}

TEST_P(SessionFlowTest, BulkFillsTheTransportsWritesWithWholeRecords) {
  if (GetParam() < 1000) return;
  ScratchPool scratch;
  for (ScratchPool* pool : {&scratch, static_cast<ScratchPool*>(nullptr)}) {
    StreamCalls calls;
    ConnectSession::Options options;
    options.scratch = pool;
    options.stream_window = 1 << 20;
    MemoryStreamPair::Quota quota;
    quota.capacity = 4 << 20;
    MemoryStreamPair pair(&loop_, quota, quota);
    client_.session = ConnectSession::CreateClient(
        &loop_, std::make_unique<CountedStream>(pair.TakeA(), &calls), options, &client_);
    server_.session = ConnectSession::CreateServer(&loop_, pair.TakeB(), options, &server_);
    Talker* talker = client_.Open();
    Run();
    // Until the window is as large as it gets.
    talker->Send(Pattern(4 << 20));
    Run();
    EXPECT_EQ(server_.talkers.back()->received.size(), size_t{4} << 20);
    const size_t records = pool == nullptr ? 4 : 16;
    const std::string whole = Pattern(records * ConnectSession::kDataPerRecord);
    calls.writes.clear();
    talker->Send(whole);
    EXPECT_THAT(calls.writes, ElementsAre(records * 16 * 1024));
    Run();
    EXPECT_EQ(server_.talkers.back()->received.substr(size_t{4} << 20), whole);
    EXPECT_EQ(scratch.lent(), 0u);
    // Before what they count in and borrow from.
    client_.talkers.clear();
    server_.talkers.clear();
    client_.session.reset();
    server_.session.reset();
  }
}

TEST_P(SessionFlowTest, MovesManyStreamsAtOnce) {
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

TEST_P(SessionFlowTest, RefusesStreamsPastTheLimit) {
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

}  // namespace
}  // namespace byrnie
