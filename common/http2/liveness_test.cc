#include "common/http2/liveness.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

using Verdict = Liveness::Verdict;

class LivenessTest : public ::testing::Test {
 protected:
  static absl::Duration At(double seconds) { return absl::Seconds(seconds); }
  Liveness::Look Idle(double seconds) { return liveness_.OnTimer(At(seconds), /*waiting=*/false); }
  Liveness::Look Waiting(double seconds) {
    return liveness_.OnTimer(At(seconds), /*waiting=*/true);
  }

  Liveness liveness_{{absl::Seconds(10), absl::Seconds(20), absl::Seconds(1), absl::Seconds(3)},
                     absl::ZeroDuration()};
};

TEST_F(LivenessTest, AsksOnlyAfterAQuietInterval) {
  liveness_.OnHeard(At(4));
  const Liveness::Look early = Idle(10);
  EXPECT_EQ(early.verdict, Verdict::kWait);
  EXPECT_EQ(early.next, absl::Seconds(4));
  EXPECT_EQ(Idle(14).verdict, Verdict::kSendPing);
}

TEST_F(LivenessTest, MeasuresTheRoundTripOfAnAnswerThatWasAskedFor) {
  EXPECT_FALSE(liveness_.OnAnswer(At(1)));
  EXPECT_EQ(Idle(10).verdict, Verdict::kSendPing);
  EXPECT_TRUE(liveness_.OnAnswer(At(12)));
  EXPECT_EQ(liveness_.round_trip(), absl::Seconds(2));
  EXPECT_FALSE(liveness_.OnAnswer(At(13)));
}

TEST_F(LivenessTest, LooksOnceAnIntervalWhileNothingIsAsked) {
  double now = 0;
  for (int i = 0; i < 10; ++i) {
    now += absl::ToDoubleSeconds(liveness_.next());
    EXPECT_EQ(Idle(now).verdict, Verdict::kSendPing);
    // The answer comes before it is looked for.
    liveness_.OnHeard(At(now));
    EXPECT_TRUE(liveness_.OnAnswer(At(now)));
    EXPECT_EQ(liveness_.next(), absl::Seconds(10));
  }
}

TEST_F(LivenessTest, TakesAnythingHeardForAlive) {
  EXPECT_EQ(Idle(10).verdict, Verdict::kSendPing);
  EXPECT_EQ(Idle(13).verdict, Verdict::kSilent);
  EXPECT_TRUE(liveness_.OnHeard(At(25)));
  EXPECT_FALSE(liveness_.silent());
  EXPECT_EQ(Idle(27).verdict, Verdict::kWait);
  EXPECT_EQ(Idle(28).verdict, Verdict::kSilent);
  EXPECT_EQ(Idle(44).verdict, Verdict::kWait);
  EXPECT_EQ(Idle(45).verdict, Verdict::kDead);
}

TEST_F(LivenessTest, GivesUpOnSilence) {
  const Liveness::Look asked = Idle(10);
  EXPECT_EQ(asked.verdict, Verdict::kSendPing);
  EXPECT_EQ(asked.next, absl::Seconds(3));
  const Liveness::Look silent = Idle(13);
  EXPECT_EQ(silent.verdict, Verdict::kSilent);
  EXPECT_EQ(silent.silent, absl::Seconds(3));
  EXPECT_EQ(silent.next, absl::Seconds(17));
  const Liveness::Look dead = Idle(30);
  EXPECT_EQ(dead.verdict, Verdict::kDead);
  EXPECT_EQ(dead.silent, absl::Seconds(20));
}

TEST_F(LivenessTest, ARequestIsAskedAboutAndGivenUpLongBeforeThePeerIs) {
  liveness_.OnHeard(At(5));
  EXPECT_TRUE(liveness_.OnRequest(At(7)));
  EXPECT_FALSE(liveness_.OnRequest(At(7.5))) << "it is being looked after";
  const Liveness::Look early = Waiting(7.5);
  EXPECT_EQ(early.verdict, Verdict::kWait);
  EXPECT_EQ(early.next, absl::Seconds(0.5));
  const Liveness::Look asked = Waiting(8);
  EXPECT_EQ(asked.verdict, Verdict::kSendPing);
  EXPECT_EQ(asked.next, absl::Seconds(2));
  EXPECT_EQ(Waiting(9).verdict, Verdict::kWait);
  const Liveness::Look silent = Waiting(10);
  EXPECT_EQ(silent.verdict, Verdict::kSilent);
  EXPECT_EQ(silent.silent, absl::Seconds(3));
  EXPECT_TRUE(liveness_.silent());
  EXPECT_EQ(Waiting(27.9).verdict, Verdict::kWait);
  EXPECT_EQ(Waiting(28).verdict, Verdict::kDead);
}

TEST_F(LivenessTest, APeerThatAnswersPingsMayTakeItsTimeForARequest) {
  EXPECT_TRUE(liveness_.OnRequest(At(1)));
  double now = 1;
  for (int i = 0; i < 60; ++i) {
    now += 1;
    EXPECT_EQ(Waiting(now).verdict, Verdict::kSendPing);
    liveness_.OnHeard(At(now));
    EXPECT_TRUE(liveness_.OnAnswer(At(now)));
    EXPECT_EQ(liveness_.next(), absl::Seconds(1));
  }
  // It is answered: back to the interval.
  EXPECT_EQ(Idle(now + 1).next, absl::Seconds(9));
}

TEST_F(LivenessTest, APingUnderWayCountsForARequestThatComesMeanwhile) {
  EXPECT_EQ(Idle(10).verdict, Verdict::kSendPing);
  EXPECT_TRUE(liveness_.OnRequest(At(11)));
  EXPECT_EQ(Waiting(12).verdict, Verdict::kWait);
  EXPECT_EQ(Waiting(13).verdict, Verdict::kSilent);
}

TEST_F(LivenessTest, ARequestThatComesWhileAPingIsUnderWayIsLookedAfterOnceThatIsAnswered) {
  EXPECT_EQ(Idle(10).verdict, Verdict::kSendPing);
  EXPECT_TRUE(liveness_.OnRequest(At(11)));
  liveness_.OnHeard(At(11.5));
  EXPECT_TRUE(liveness_.OnAnswer(At(11.5)));
  EXPECT_EQ(liveness_.next(), absl::Seconds(1));
}

TEST_F(LivenessTest, ARequestAfterOneThatWasWithdrawnIsLookedAfterToo) {
  EXPECT_TRUE(liveness_.OnRequest(At(1)));
  EXPECT_EQ(Idle(2).verdict, Verdict::kWait);
  EXPECT_TRUE(liveness_.OnRequest(At(3)));
  EXPECT_EQ(Waiting(4).verdict, Verdict::kSendPing);
}

TEST_F(LivenessTest, AProcessThatSleptItselfGivesThePeerTimeToAnswer) {
  EXPECT_TRUE(liveness_.OnRequest(At(1)));
  const Liveness::Look woken = Waiting(9);
  EXPECT_EQ(woken.verdict, Verdict::kSendPing);
  EXPECT_EQ(woken.next, absl::Seconds(2));
  EXPECT_EQ(Waiting(10.9).verdict, Verdict::kWait);
  EXPECT_EQ(Waiting(11).verdict, Verdict::kSilent);
}

}  // namespace
}  // namespace byrnie
