#include "certagent/rotation_policy.h"

#include <algorithm>
#include <random>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);

double PartOfLife(absl::Time at, absl::Time issued, absl::Time not_after) {
  return absl::FDivDuration(at - issued, not_after - issued);
}

TEST(RotationPolicyTest, RenewsTenThousandLivesPastTheirHalfAndFarApart) {
  std::mt19937_64 engine(7);
  std::uniform_real_distribution<double> uniform(0, 1);
  double lowest = 1, highest = 0;
  for (int i = 0; i < 10000; ++i) {
    const absl::Time not_after = kNow + absl::Seconds(10 + 86400 * uniform(engine));
    const absl::Time at = RenewalTime(kNow, not_after, absl::nullopt, uniform(engine));
    const double part = PartOfLife(at, kNow, not_after);
    ASSERT_GE(part, 0.45 - 1e-9);
    ASSERT_LE(part, 0.6 + 1e-9);
    lowest = std::min(lowest, part);
    highest = std::max(highest, part);
  }
  EXPECT_GE(highest - lowest, 0.1);
}

TEST(RotationPolicyTest, RenewsTenThousandLivesInsideTheirWindow) {
  std::mt19937_64 engine(8);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (int i = 0; i < 10000; ++i) {
    const absl::Duration life = absl::Seconds(10 + 86400 * uniform(engine));
    const double a = uniform(engine) * 0.9, b = uniform(engine) * 0.9;
    const RenewalWindow window{kNow + life * std::min(a, b), kNow + life * std::max(a, b)};
    const absl::Time at = RenewalTime(kNow, kNow + life, window, uniform(engine));
    ASSERT_GE(at, window.start);
    ASSERT_LE(at, window.end);
    ASSERT_LT(at, kNow + life);
  }
}

TEST(RotationPolicyTest, FollowsAWindowThatDoesNotMeetTheHalf) {
  const absl::Duration life = absl::Hours(1);
  const RenewalWindow late{kNow + absl::Minutes(45), kNow + absl::Minutes(50)};
  EXPECT_EQ(RenewalTime(kNow, kNow + life, late, 0.5), late.start);
  const RenewalWindow early{kNow + absl::Minutes(5), kNow + absl::Minutes(10)};
  EXPECT_EQ(RenewalTime(kNow, kNow + life, early, 0.5), early.end);
}

TEST(RotationPolicyTest, KeepsATenthOfTheLifeForRepeatingWhateverTheWindowSays) {
  const absl::Duration life = absl::Hours(1);
  const RenewalWindow past_end{kNow + absl::Hours(2), kNow + absl::Hours(3)};
  EXPECT_EQ(RenewalTime(kNow, kNow + life, past_end, 0.99), kNow + life * 0.9);
}

TEST(RotationPolicyTest, IgnoresAWindowThatEndsBeforeItStarts) {
  const RenewalWindow inverted{kNow + absl::Minutes(50), kNow + absl::Minutes(5)};
  EXPECT_EQ(RenewalTime(kNow, kNow + absl::Hours(1), inverted, 0), kNow + absl::Minutes(27));
}

TEST(RotationPolicyTest, RenewsACertificateThatIsAlreadyOverInASecond) {
  EXPECT_EQ(RenewalTime(kNow, kNow - absl::Seconds(1), absl::nullopt, 0.5),
            kNow + absl::Seconds(1));
}

// The authority gives an hour and a window in the middle of it, by its own clock; this machine's is
// ahead of that by any part of the hour.
TEST(RotationPolicyTest, AClockThatIsAheadMakesNoLoop) {
  const absl::Duration life = absl::Hours(1);
  for (int percent = 0; percent < 100; ++percent) {
    const absl::Time issued = kNow - life * percent / 100.0;  // By the authority's clock.
    const RenewalWindow window{issued + life * 0.45, issued + life * 0.6};
    for (double random : {0.0, 0.5, 0.999}) {
      const absl::Duration delay = RenewalTime(kNow, issued + life, window, random) - kNow;
      EXPECT_GE(delay, absl::Seconds(1)) << percent;
      EXPECT_LT(delay, issued + life - kNow) << percent;
    }
  }
  const RenewalWindow over{kNow - absl::Minutes(20), kNow - absl::Minutes(10)};
  EXPECT_EQ(RenewalTime(kNow, kNow + absl::Minutes(10), over, 0), kNow + absl::Seconds(270));
}

TEST(RotationPolicyTest, RetriesNeverPastTheEndOfTenThousandLives) {
  std::mt19937_64 engine(9);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (int i = 0; i < 10000; ++i) {
    const absl::Duration life = absl::Seconds(10 + 7200 * uniform(engine));
    const absl::Time not_after = kNow + life;
    absl::Time now = RenewalTime(kNow, not_after, absl::nullopt, uniform(engine));
    absl::optional<absl::Duration> retry_after;
    if (i % 2 == 1) retry_after = absl::Hours(1);
    int attempts = 1;
    for (; now < not_after; ++attempts) {
      const absl::Duration delay =
          RetryDelay(attempts, not_after - now, retry_after, uniform(engine));
      ASSERT_GE(delay, absl::Seconds(1));
      ASSERT_LE(now + delay, std::max(not_after, now + absl::Seconds(1)));
      now += delay;
    }
    ASSERT_GE(attempts, 4) << life;
  }
}

TEST(RotationPolicyTest, RetriesMoreAndMoreSlowlyWhileThereIsTime) {
  const absl::Duration left = absl::Minutes(30);
  EXPECT_EQ(RetryDelay(1, left, absl::nullopt, 0), absl::Seconds(1));
  EXPECT_EQ(RetryDelay(2, left, absl::nullopt, 0), absl::Seconds(2));
  EXPECT_EQ(RetryDelay(3, left, absl::nullopt, 0), absl::Seconds(4));
  EXPECT_EQ(RetryDelay(1000000, left, absl::nullopt, 0), absl::Seconds(90));
  EXPECT_EQ(RetryDelay(1000000, absl::Hours(20), absl::nullopt, 0), absl::Minutes(2));
}

TEST(RotationPolicyTest, RetriesFasterTowardsTheEnd) {
  EXPECT_EQ(RetryDelay(30, absl::Minutes(2), absl::nullopt, 0), absl::Seconds(6));
  EXPECT_EQ(RetryDelay(30, absl::Seconds(10), absl::nullopt, 0), absl::Seconds(1));
  EXPECT_EQ(RetryDelay(30, absl::Milliseconds(1200), absl::nullopt, 0.9), absl::Milliseconds(1200));
  EXPECT_EQ(RetryDelay(30, absl::Milliseconds(100), absl::nullopt, 0), absl::Seconds(1));
}

TEST(RotationPolicyTest, SpreadsRetriesByHalfAndNeverAsksTwiceInASecond) {
  EXPECT_EQ(RetryDelay(1, absl::ZeroDuration(), absl::nullopt, 0), absl::Seconds(1));
  EXPECT_GT(RetryDelay(1, absl::ZeroDuration(), absl::nullopt, 0.999), absl::Milliseconds(1499));
}

TEST(RotationPolicyTest, RetriesWithinSecondsWithoutACertificate) {
  EXPECT_EQ(RetryDelay(30, -absl::Minutes(5), absl::nullopt, 0), absl::Seconds(4));
  EXPECT_LE(RetryDelay(30, -absl::Minutes(5), absl::nullopt, 0.999), absl::Seconds(6));
}

TEST(RotationPolicyTest, WaitsAsLongAsTheAuthorityWantsAndALittleMore) {
  EXPECT_EQ(RetryDelay(1, absl::Minutes(30), absl::Minutes(3), 0), absl::Minutes(3));
  EXPECT_LE(RetryDelay(1, absl::Minutes(30), absl::Minutes(3), 0.999), absl::Seconds(225));
  // A time that is shorter than the back-off is no reason to hurry.
  EXPECT_EQ(RetryDelay(30, absl::Minutes(30), absl::Seconds(1), 0), absl::Seconds(90));
}

TEST(RotationPolicyTest, KeepsHalfOfWhatIsLeftFromTheAuthority) {
  EXPECT_EQ(RetryDelay(1, absl::Minutes(4), absl::Hours(1), 0), absl::Minutes(2));
  EXPECT_EQ(RetryDelay(1, absl::Hours(24), absl::Minutes(20), 0), absl::Minutes(20));
  EXPECT_EQ(RetryDelay(1, absl::Hours(20), absl::Hours(15), 0), absl::Hours(10));
  EXPECT_EQ(RetryDelay(1, absl::ZeroDuration(), absl::Hours(10), 0), absl::Minutes(5));
}

}  // namespace
}  // namespace byrnie
