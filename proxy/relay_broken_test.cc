// A relay of which one side is broken while the other takes nothing of what came before.
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "common/http2/peer_end.h"
#include "common/net/end_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/relay.h"
#include "proxy/testing/relay_fixture.h"

namespace byrnie {
namespace {

class RelayBrokenTest : public RelayTest {
 protected:
  // A relay between two applications that have both sent more than it takes and read nothing.
  void Jam() {
    Connect(GetParam());
    client_->reading = server_->reading = false;
    Start();
    client_->Send(Pattern(1 << 20, 1));
    server_->Send(Pattern(1 << 20, 2));
    Run();
    ASSERT_LT(client_->sent, client_->to_send.size());
    ASSERT_LT(server_->sent, server_->to_send.size());
  }
  // Of the pairs that Connect made last.
  MemoryStreamPair& to_client() { return *pairs_[pairs_.size() - 2]; }
  MemoryStreamPair& to_server() { return *pairs_[pairs_.size() - 1]; }
  void Resume(App* app) {
    app->reading = true;
    app->Pull();
  }
  static absl::Status Ended(uint32_t code) {
    return PeerEndError({PeerEnd::Of::kStream, code}, "the peer reset the stream");
  }
};

INSTANTIATE_TEST_SUITE_P(Quotas, RelayBrokenTest, ::testing::Values(1, 13, 1 << 20));

TEST_P(RelayBrokenTest, PassesAResetOnToAnApplicationThatDoesNotRead) {
  for (const bool by_client : {true, false}) {
    SCOPED_TRACE(by_client);
    Jam();
    App& resetter = by_client ? *client_ : *server_;
    App& other = by_client ? *server_ : *client_;
    resetter.stream->Reset();
    Run();
    loop_.AdvanceTime(options_.flush_timeout - absl::Milliseconds(10));
    EXPECT_FALSE(done_.has_value());
    loop_.AdvanceTime(absl::Milliseconds(20));
    ASSERT_TRUE(done_.has_value());
    EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_EQ(done_->ended_by,
              by_client ? RelayResult::Side::kDownstream : RelayResult::Side::kUpstream);
    Run();
    Resume(&other);
    EXPECT_TRUE(other.error);
    EXPECT_FALSE(other.eof);
  }
}

TEST_P(RelayBrokenTest, ReadsNothingForASideThatIsGone) {
  Jam();
  const std::string more = Pattern(1 << 20, 3);
  server_->stream->Reset();
  Run();
  const size_t taken = client_->sent;
  for (int i = 0; i < 4; ++i) {
    client_->Send(more);
    loop_.AdvanceTime(absl::Seconds(1));
  }
  EXPECT_LE(client_->sent, taken + 64 * 1024) << "what fits into the kernel";
  EXPECT_FALSE(done_.has_value());
}

TEST_P(RelayBrokenTest, DeliversWhatCameBeforeToAReaderThatTakesAnyOfIt) {
  if (GetParam() < 1000) return;  // A call may give nothing.
  Jam();
  server_->stream->Reset();
  const size_t sent = server_->sent;
  for (int i = 0; i < 6; ++i) {
    Run();
    loop_.AdvanceTime(absl::Seconds(4));
    ASSERT_FALSE(done_.has_value());
    char buffer[100];
    const IoResult read =
        client_->stream->Read(absl::MakeSpan(reinterpret_cast<uint8_t*>(buffer), sizeof(buffer)));
    client_->received.append(buffer, read.bytes);
  }
  Resume(client_.get());
  Run();
  loop_.AdvanceTime(absl::Seconds(6));
  EXPECT_TRUE(client_->received == Pattern(1 << 20, 2).substr(0, sent));
  EXPECT_TRUE(client_->error);
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_P(RelayBrokenTest, WaitsForTheLastBytesBeforeAResetWhileTheyMove) {
  slow_tail_ = 1000;
  Connect(GetParam());
  Start();
  client_->stream->Reset();
  Run();
  for (uint64_t left = 900; left > 0; left -= 100) {
    loop_.AdvanceTime(absl::Seconds(4));
    ASSERT_FALSE(done_.has_value()) << left;
    tail_->MoveOn(left);
  }
  tail_->MoveOn(0);
  Run();
  ASSERT_TRUE(done_.has_value());
  EXPECT_EQ(done_->ended_by, RelayResult::Side::kDownstream);
}

TEST_P(RelayBrokenTest, DropsTheLastBytesBeforeAResetThatStandStill) {
  slow_tail_ = 1000;
  Connect(GetParam());
  Start();
  client_->stream->Reset();
  Run();
  loop_.AdvanceTime(absl::Seconds(3));
  tail_->MoveOn(900);
  loop_.AdvanceTime(options_.flush_timeout - absl::Milliseconds(10));
  EXPECT_FALSE(done_.has_value());
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_TRUE(done_.has_value());
}

TEST_P(RelayBrokenTest, CountsFromTheLastByteThatTheReaderTook) {
  if (GetParam() < 1000) return;
  Jam();
  server_->stream->Reset();
  Run();
  loop_.AdvanceTime(absl::Seconds(4));
  uint8_t buffer[1000];
  ASSERT_GT(client_->stream->Read(absl::MakeSpan(buffer)).bytes, 0u);
  Run();
  loop_.AdvanceTime(absl::Seconds(4));
  EXPECT_FALSE(done_.has_value());
  loop_.AdvanceTime(absl::Seconds(2));
  EXPECT_TRUE(done_.has_value());
}

TEST_P(RelayBrokenTest, NoticesTheEndOfAnApplicationThatIsToHearOfOne) {
  Jam();
  server_->stream->Reset();
  Run();
  EXPECT_FALSE(done_.has_value());
  client_->stream->Reset();
  Run();
  loop_.AdvanceTime(absl::Milliseconds(10));
  EXPECT_TRUE(done_.has_value());
}

TEST_P(RelayBrokenTest, DropsAtOnceWhatThePeerForbids) {
  const struct {
    uint32_t code;
    bool forbids;
  } cases[] = {{kEndPolicyChanged, true},     {kEndIdentityExpired, true},
               {kEndTrustRemoved, true},      {kEndCertificateRevoked, true},
               {kEndRevocationUnknown, true}, {kEndDrained, false},
               {kEndMaxAge, false},           {0, false}};
  for (const auto& [code, forbids] : cases) {
    for (const bool by_client : {true, false}) {
      SCOPED_TRACE(code);
      Jam();
      (by_client ? to_client() : to_server()).Fail(Ended(code));
      Run();
      loop_.AdvanceTime(absl::Milliseconds(10));
      ASSERT_EQ(done_.has_value(), forbids);
      App& other = by_client ? *server_ : *client_;
      if (!forbids) continue;
      EXPECT_EQ(done_->ended_by,
                by_client ? RelayResult::Side::kDownstream : RelayResult::Side::kUpstream);
      Run();
      Resume(&other);
      EXPECT_EQ(other.received, "");
      EXPECT_TRUE(other.error);
    }
  }
}

TEST_P(RelayBrokenTest, DropsAtOnceWhatThePeerForbidsAlsoWhereTheKernelHasItAll) {
  Connect(GetParam());
  client_->reading = false;
  Start();
  server_->Send("x");
  Run();
  to_server().Fail(Ended(kEndPolicyChanged));
  Run();
  loop_.AdvanceTime(absl::Milliseconds(10));
  ASSERT_TRUE(done_.has_value());
  EXPECT_THAT(done_->status, StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace byrnie
