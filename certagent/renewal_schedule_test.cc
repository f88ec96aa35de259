#include "certagent/renewal_schedule.h"

#include <algorithm>
#include <random>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr absl::Time kStart = absl::FromUnixSeconds(1893456000);

class RenewalScheduleTest : public ::testing::Test {
 protected:
  void Pass(absl::Duration time) {
    now_.wall += time;
    now_.monotonic += time;
  }
  RenewalSchedule::Instant now_ = {kStart, absl::Seconds(1000)};
  double random_ = 0;
  RenewalSchedule schedule_{[this] { return random_; }};
};

TEST_F(RenewalScheduleTest, IsNeverDueBeforeSomethingHappened) {
  EXPECT_FALSE(schedule_.Due(now_));
  EXPECT_EQ(schedule_.UntilDue(now_), absl::InfiniteDuration());
}

TEST_F(RenewalScheduleTest, HastensToARandomTimeButNeverDelays) {
  schedule_.OnIssued(now_, now_.wall + absl::Hours(1), absl::nullopt);
  random_ = 0.25;
  schedule_.HastenWithin(now_, absl::Minutes(8));
  EXPECT_EQ(schedule_.UntilDue(now_), absl::Minutes(2));
  random_ = 0.75;
  schedule_.HastenWithin(now_, absl::Minutes(8));
  EXPECT_EQ(schedule_.UntilDue(now_), absl::Minutes(2));
  schedule_.HastenWithin(now_, -absl::Minutes(8));
  EXPECT_TRUE(schedule_.Due(now_));
}

TEST_F(RenewalScheduleTest, RenewsTenThousandLivesBetween45And80PercentSpreadByATenth) {
  std::mt19937_64 engine(11);
  std::uniform_real_distribution<double> uniform(0, 1);
  RenewalSchedule schedule([&] { return uniform(engine); });
  double lowest = 1, highest = 0;
  for (int i = 0; i < 10000; ++i) {
    const absl::Duration life = absl::Seconds(10 + 86400 * uniform(engine));
    schedule.OnIssued(now_, now_.wall + life, absl::nullopt);
    const double part = absl::FDivDuration(schedule.UntilDue(now_), life);
    ASSERT_GE(part, 0.45 - 1e-9);
    ASSERT_LE(part, 0.8);
    lowest = std::min(lowest, part);
    highest = std::max(highest, part);
    Pass(schedule.UntilDue(now_));
    ASSERT_TRUE(schedule.Due(now_));
  }
  EXPECT_GE(highest - lowest, 0.1);
}

TEST_F(RenewalScheduleTest, IsDueByTheWallClockAfterASleep) {
  schedule_.OnIssued(now_, kStart + absl::Hours(1), absl::nullopt);
  now_.wall += absl::Minutes(40);
  EXPECT_TRUE(schedule_.Due(now_));
}

TEST_F(RenewalScheduleTest, IsDueByTheMonotonicClockWhenTheOtherIsSetBack) {
  schedule_.OnIssued(now_, kStart + absl::Hours(1), absl::nullopt);
  Pass(absl::Minutes(26));
  now_.wall -= absl::Hours(5);
  EXPECT_FALSE(schedule_.Due(now_));
  EXPECT_EQ(schedule_.UntilDue(now_), absl::Minutes(1));
  Pass(absl::Minutes(1));
  EXPECT_TRUE(schedule_.Due(now_));
}

TEST_F(RenewalScheduleTest, CountsFailuresUntilASuccess) {
  EXPECT_EQ(schedule_.OnFailed(now_, absl::nullopt, absl::nullopt), absl::Seconds(1));
  EXPECT_EQ(schedule_.OnFailed(now_, absl::nullopt, absl::nullopt), absl::Seconds(2));
  EXPECT_EQ(schedule_.failures_in_a_row(), 2);
  schedule_.OnIssued(now_, kStart + absl::Hours(1), absl::nullopt);
  EXPECT_EQ(schedule_.failures_in_a_row(), 0);
}

TEST_F(RenewalScheduleTest, WaitsAsTheAuthorityWantsWhileTheCertificateAllows) {
  EXPECT_EQ(schedule_.OnFailed(now_, kStart + absl::Hours(1), absl::Minutes(3)), absl::Minutes(3));
  EXPECT_EQ(schedule_.OnFailed(now_, kStart + absl::Minutes(4), absl::Minutes(3)),
            absl::Minutes(2));
}

TEST_F(RenewalScheduleTest, NoticesAClockThatWasSetAndNotOneThatIsLate) {
  EXPECT_EQ(schedule_.NoticeClockJump(now_), absl::ZeroDuration());
  Pass(absl::Hours(3));
  EXPECT_EQ(schedule_.NoticeClockJump(now_), absl::ZeroDuration());
  now_.wall -= absl::Hours(1);
  EXPECT_EQ(schedule_.NoticeClockJump(now_), -absl::Hours(1));
  EXPECT_EQ(schedule_.NoticeClockJump(now_), absl::ZeroDuration());
  now_.wall += absl::Seconds(4);
  EXPECT_EQ(schedule_.NoticeClockJump(now_), absl::ZeroDuration());
}

TEST_F(RenewalScheduleTest, CanBeHastened) {
  schedule_.OnIssued(now_, kStart + absl::Hours(1), absl::nullopt);
  schedule_.Hasten(now_);
  EXPECT_TRUE(schedule_.Due(now_));
}

}  // namespace
}  // namespace byrnie
