#include "proxy/relay.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "common/net/testing/fake_buffer_budget.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/testing/relay_fixture.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

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
