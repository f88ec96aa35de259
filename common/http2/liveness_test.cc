#include "common/http2/liveness.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

using Verdict = Liveness::Verdict;

class LivenessTest : public ::testing::Test {
 protected:
  Liveness liveness_{absl::Seconds(10), absl::Seconds(20), absl::ZeroDuration()};
};

TEST_F(LivenessTest, AsksOnlyAfterAQuietInterval) {
  liveness_.OnHeard(absl::Seconds(4));
  const Liveness::Look early = liveness_.OnTimer(absl::Seconds(10));
  EXPECT_EQ(early.verdict, Verdict::kWait);
  EXPECT_EQ(early.next, absl::Seconds(4));
  const Liveness::Look due = liveness_.OnTimer(absl::Seconds(14));
  EXPECT_EQ(due.verdict, Verdict::kSendPing);
  EXPECT_EQ(due.next, absl::Seconds(20));
}

TEST_F(LivenessTest, MeasuresTheRoundTripOfAnAnswerThatWasAskedFor) {
  EXPECT_FALSE(liveness_.OnAnswer(absl::Seconds(1)));
  EXPECT_EQ(liveness_.OnTimer(absl::Seconds(10)).verdict, Verdict::kSendPing);
  EXPECT_TRUE(liveness_.OnAnswer(absl::Seconds(12)));
  EXPECT_EQ(liveness_.round_trip(), absl::Seconds(2));
  EXPECT_FALSE(liveness_.OnAnswer(absl::Seconds(13)));
}

TEST_F(LivenessTest, TakesAnythingHeardForAlive) {
  EXPECT_EQ(liveness_.OnTimer(absl::Seconds(10)).verdict, Verdict::kSendPing);
  liveness_.OnHeard(absl::Seconds(25));
  const Liveness::Look look = liveness_.OnTimer(absl::Seconds(30));
  EXPECT_EQ(look.verdict, Verdict::kWait);
  EXPECT_EQ(look.next, absl::Seconds(15));
}

TEST_F(LivenessTest, GivesUpOnSilence) {
  EXPECT_EQ(liveness_.OnTimer(absl::Seconds(10)).verdict, Verdict::kSendPing);
  const Liveness::Look look = liveness_.OnTimer(absl::Seconds(30));
  EXPECT_EQ(look.verdict, Verdict::kDead);
  EXPECT_EQ(look.silent, absl::Seconds(20));
}

}  // namespace
}  // namespace byrnie
