// What a relay waits for, and for how long.
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/relay.h"
#include "proxy/testing/relay_fixture.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

using RelayDeadlineTest = RelayTest;

INSTANTIATE_TEST_SUITE_P(Quotas, RelayDeadlineTest, ::testing::Values(1, 13, 1 << 20));

TEST_P(RelayDeadlineTest, EndsAHalfClosedPairOnlyWhenItIsQuiet) {
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

TEST_P(RelayDeadlineTest, WaitsForHoursForAnAnswerWhileBothHostsAreThere) {
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

TEST_P(RelayDeadlineTest, EndsAHalfClosedPairWhenEitherHostHasGoneSilent) {
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

TEST_P(RelayDeadlineTest, EndsAHalfClosedPairThatIsIdleForTooLongWhoeverIsThere) {
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

TEST_P(RelayDeadlineTest, WaitsForASlowReaderOfAHalfClosedPair) {
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

TEST_P(RelayDeadlineTest, WaitsForASlowReaderOfTheLastBytesWhileTheyMove) {
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

TEST_P(RelayDeadlineTest, EndsWhenTheLastBytesHaveNotMovedForAMinute) {
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

TEST_P(RelayDeadlineTest, EndsAnIdlePairOnlyWhenAsked) {
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

}  // namespace
}  // namespace byrnie
