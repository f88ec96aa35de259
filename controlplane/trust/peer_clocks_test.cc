#include "controlplane/trust/peer_clocks.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kQuiet = absl::Minutes(1), kSilent = absl::Minutes(3);

// Time passes for all; the other's clock shows something else.
class PeerClocksTest : public ::testing::Test {
 protected:
  void Pass(absl::Duration duration) {
    now_ += duration;
    monotonic_ += duration;
  }
  // The other one writes.
  void Write() {
    report_.written_at = now_ - ahead_;
    ++report_.revision;
  }
  void Watch(absl::Duration duration) {
    while (duration > absl::ZeroDuration()) {
      const absl::Duration step = std::min(duration, PeerClocks::kLongestBreak);
      Pass(step);
      Look();
      duration -= step;
    }
  }
  void Look() { clocks_.Look({report_}, now_, monotonic_); }
  std::string Doubt() const { return clocks_.Doubt(report_, now_, monotonic_); }
  absl::optional<absl::Duration> Ahead() const { return clocks_.Ahead(report_, now_, monotonic_); }
  absl::Time WrittenAt() const { return clocks_.WrittenAt(report_, now_, monotonic_); }

  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  absl::Duration monotonic_ = absl::Hours(1);
  // How far this clock is ahead.
  absl::Duration ahead_;
  FleetReport report_;
  PeerClocks clocks_{kQuiet, kSilent};
};

TEST_F(PeerClocksTest, ClocksThatAgreeAreInNoDoubt) {
  Write();
  Look();
  EXPECT_EQ(Doubt(), "");
  for (int i = 0; i < 200; ++i) {
    Pass(absl::Seconds(1));
    if (i % 60 == 0) Write();
    Pass(absl::Seconds(1));
    Look();
    EXPECT_EQ(Doubt(), "");
  }
}

TEST_F(PeerClocksTest, AClockThatIsAheadIsFoundOutByTheNextReport) {
  ahead_ = absl::Hours(2);
  Write();
  Look();
  // It is silent, for all that is known.
  EXPECT_THAT(Doubt(), HasSubstr("or this clock is ahead"));
  EXPECT_FALSE(Ahead().has_value());
  Pass(absl::Seconds(1));
  Write();
  Look();
  EXPECT_THAT(Doubt(), HasSubstr("2h behind this one's"));
  EXPECT_EQ(Ahead(), ahead_);
  Pass(absl::Seconds(50));
  EXPECT_THAT(Doubt(), HasSubstr("2h behind this one's"));
  // It is set.
  ahead_ = absl::ZeroDuration();
  Look();
  Pass(absl::Seconds(1));
  Write();
  Look();
  EXPECT_EQ(Doubt(), "");
}

TEST_F(PeerClocksTest, AClockThatIsBehindIsFoundOutAtOnce) {
  ahead_ = -absl::Minutes(5);
  Write();
  Look();
  EXPECT_THAT(Doubt(), HasSubstr("5m ahead of this one's"));
}

TEST_F(PeerClocksTest, WhoIsSilentIsSoOnceItHasBeenWaitedFor) {
  Write();
  Pass(absl::Hours(3));
  Look();
  EXPECT_NE(Doubt(), "");
  Watch(kQuiet + PeerClocks::kMost + absl::Seconds(1));
  EXPECT_EQ(Doubt(), "");
}

// The store was away for all of them: whoever looks again first does not know who has gone.
TEST_F(PeerClocksTest, NobodyIsSilentWhoCouldNotWrite) {
  Write();
  Look();
  Pass(absl::Minutes(5));
  Look();
  EXPECT_THAT(Doubt(), HasSubstr("or this clock is ahead"));
  Pass(absl::Seconds(1));
  Write();
  Look();
  EXPECT_EQ(Doubt(), "");
}

// Nobody can set the clock of one that is gone.
TEST_F(PeerClocksTest, TheClockOfOneThatIsSilentIsInNoDispute) {
  for (const absl::Duration ahead : {absl::Seconds(31), absl::Hours(2), -absl::Hours(5)}) {
    ahead_ = ahead;
    Look();
    Pass(absl::Seconds(1));
    Write();
    Look();
    const absl::Time written = now_;
    EXPECT_EQ(WrittenAt(), written);
    Watch(kQuiet + PeerClocks::kMost);
    EXPECT_EQ(Ahead(), ahead);
    EXPECT_THAT(Doubt(), HasSubstr("this one's"));
    Pass(absl::Seconds(1));
    Look();
    EXPECT_FALSE(Ahead().has_value());
    EXPECT_EQ(Doubt(), "") << ahead;
    // Which the clock's coming to what the report says does not change.
    for (int hours = 0; hours < 7; ++hours) {
      EXPECT_EQ(WrittenAt(), written) << ahead << " " << hours;
      EXPECT_EQ(Doubt(), "") << ahead << " " << hours;
      Watch(absl::Hours(1));
    }
    // It was away alone.
    Pass(absl::Seconds(1));
    Write();
    Look();
    EXPECT_EQ(Ahead(), ahead);
  }
}

// Where it was this clock that was wrong.
TEST_F(PeerClocksTest, ASilentOneIsHeardOfWhenItWasByTheClockAsItIsNow) {
  ahead_ = absl::Hours(5);
  Look();
  Pass(absl::Seconds(1));
  Write();
  Look();
  now_ -= ahead_;
  const absl::Time written = now_;
  Watch(absl::Minutes(2));
  EXPECT_EQ(WrittenAt(), written);
}

// One that is there already when somebody begins to look, of a clock that is ahead.
TEST_F(PeerClocksTest, OneOfATimeThatHasNotComeIsHeardOfWhenItWasFound) {
  ahead_ = -absl::Hours(5);
  Write();
  Look();
  const absl::Time found = now_;
  Watch(absl::Hours(6));
  EXPECT_EQ(Doubt(), "");
  EXPECT_EQ(WrittenAt(), found);
}

// Several threads read the store and look, and the last to look is not the last to have read.
TEST_F(PeerClocksTest, AnOlderReportThatIsLookedAtLaterSaysNothing) {
  Write();
  Look();
  const FleetReport older = report_;
  for (int i = 0; i < 60; ++i) {
    Pass(absl::Seconds(1));
    Look();
  }
  Write();
  Look();
  clocks_.Look({older}, now_, monotonic_);
  EXPECT_EQ(Doubt(), "");
  EXPECT_FALSE(Ahead().has_value());
}

TEST_F(PeerClocksTest, WhatIsFoundAfterABreakSaysNothingOfClocks) {
  Write();
  Look();
  Pass(absl::Seconds(10));
  Write();
  Pass(absl::Seconds(50));
  Look();
  EXPECT_EQ(Doubt(), "");
}

}  // namespace
}  // namespace byrnie
