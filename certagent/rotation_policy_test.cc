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

TEST(RotationPolicyTest, RenewsTenThousandLivesAroundTheirHalf) {
  std::mt19937_64 engine(7);
  std::uniform_real_distribution<double> uniform(0, 1);
  double lowest = 1, highest = 0;
  for (int i = 0; i < 10000; ++i) {
    const absl::Time not_after = kNow + absl::Seconds(10 + 86400 * uniform(engine));
    const absl::Time at = RenewalTime(kNow, not_after, absl::nullopt, uniform(engine));
    const double part = PartOfLife(at, kNow, not_after);
    ASSERT_GE(part, 0.4 - 1e-9);
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
  EXPECT_EQ(RenewalTime(kNow, kNow + absl::Hours(1), inverted, 0.5), kNow + absl::Minutes(30));
}

TEST(RotationPolicyTest, RenewsACertificateThatIsAlreadyOverAtOnce) {
  EXPECT_EQ(RenewalTime(kNow, kNow - absl::Seconds(1), absl::nullopt, 0.5), kNow);
}

TEST(RotationPolicyTest, RetriesNeverPastTheEndOfTenThousandLives) {
  std::mt19937_64 engine(9);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (int i = 0; i < 10000; ++i) {
    const absl::Duration life = absl::Seconds(5 + 7200 * uniform(engine));
    const absl::Time not_after = kNow + life;
    absl::Time now = RenewalTime(kNow, not_after, absl::nullopt, uniform(engine));
    int attempts = 1;
    for (; now < not_after; ++attempts) {
      const absl::Duration delay = RetryDelay(attempts, now, not_after, life, uniform(engine));
      ASSERT_GT(delay, absl::ZeroDuration());
      ASSERT_LE(now + delay, not_after);
      now += delay;
    }
    ASSERT_GE(attempts, 4);
  }
}

TEST(RotationPolicyTest, RetriesMoreAndMoreSlowlyUpToACap) {
  const absl::Duration life = absl::Hours(1);
  EXPECT_EQ(RetryDelay(1, kNow, kNow + life, life, 0.5), absl::Milliseconds(500));
  EXPECT_EQ(RetryDelay(2, kNow, kNow + life, life, 0.5), absl::Seconds(1));
  EXPECT_EQ(RetryDelay(3, kNow, kNow + life, life, 0.5), absl::Seconds(2));
  EXPECT_EQ(RetryDelay(1000000, kNow, kNow + life, life, 0.5), absl::Seconds(15));
}

TEST(RotationPolicyTest, SpreadsRetries) {
  const absl::Duration low = RetryDelay(4, kNow, absl::nullopt, absl::ZeroDuration(), 0);
  const absl::Duration high = RetryDelay(4, kNow, absl::nullopt, absl::ZeroDuration(), 0.999);
  EXPECT_EQ(low, absl::Seconds(3));
  EXPECT_GT(high, absl::Seconds(4.9));
}

TEST(RotationPolicyTest, RetriesAlsoAfterTheEndOfTheCertificate) {
  const absl::Duration delay = RetryDelay(30, kNow, kNow - absl::Minutes(5), absl::Hours(1), 0.999);
  EXPECT_GT(delay, absl::Seconds(10));
  EXPECT_LE(delay, absl::Seconds(19));
}

}  // namespace
}  // namespace byrnie
