#include "controlplane/ca/issue_limiter.h"

#include <algorithm>
#include <string>

#include "common/base/retry_after.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr absl::Duration kStart = absl::Hours(3);

TEST(IssueLimiterTest, HasNoLimitAtZero) {
  IssueLimiter limiter(0);
  for (int i = 0; i < 10000; ++i) ASSERT_THAT(limiter.Admit(kStart), IsOk());
}

TEST(IssueLimiterTest, AdmitsAFewAtOnceAndThenTheRate) {
  IssueLimiter limiter(100);
  for (int i = 0; i < 10; ++i) ASSERT_THAT(limiter.Admit(kStart), IsOk());
  EXPECT_THAT(limiter.Admit(kStart), StatusIs(absl::StatusCode::kResourceExhausted));
  int admitted = 0;
  for (int millisecond = 1; millisecond <= 10000; ++millisecond) {
    admitted += limiter.Admit(kStart + absl::Milliseconds(millisecond)).ok() ? 1 : 0;
  }
  EXPECT_NEAR(admitted, 1000, 2);
}

TEST(IssueLimiterTest, GivesEverybodyATimeOfItsOwn) {
  IssueLimiter limiter(100);
  for (int i = 0; i < 10; ++i) ASSERT_THAT(limiter.Admit(kStart), IsOk());
  absl::Duration before = absl::Seconds(1);
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration wait = *RetryAfter(limiter.Admit(kStart));
    ASSERT_GT(wait, before);
    before = wait;
  }
  EXPECT_NEAR(absl::ToDoubleSeconds(before), 13.5, 0.001);
}

TEST(IssueLimiterTest, NeverTellsAnybodyToWaitForHours) {
  IssueLimiter limiter(1);
  absl::Duration longest;
  for (int i = 0; i < 10000; ++i) {
    longest = std::max(longest, RetryAfter(limiter.Admit(kStart)).value_or(longest));
  }
  EXPECT_EQ(longest, IssueLimiter::kLongestWait);
}

TEST(IssueLimiterTest, TakesARateBelowOne) {
  IssueLimiter limiter(0.5);
  int admitted = 0;
  for (int second = 0; second < 100; ++second) {
    admitted += limiter.Admit(kStart + absl::Seconds(second)).ok() ? 1 : 0;
  }
  EXPECT_NEAR(admitted, 50, 1);
}

using Asker = IssueLimiter::Asker;

TEST(IssueLimiterTest, InAnOverloadThoseWhoseCertificatesEndFirstAreServed) {
  IssueLimiter limiter(100);
  int urgent = 0, patient = 0, first = 0;
  // Twice as many as can be served, a third of them in a hurry, a third without any.
  for (int i = 0; i < 10000; ++i) {
    const absl::Duration now = absl::Milliseconds(5) * i;
    if (i % 3 == 0) urgent += limiter.Admit(now, {"", absl::Seconds(10)}).ok() ? 1 : 0;
    if (i % 3 == 1) first += limiter.Admit(now, {"", absl::nullopt}).ok() ? 1 : 0;
    if (i % 3 == 2) patient += limiter.Admit(now, {"", absl::Minutes(30)}).ok() ? 1 : 0;
  }
  EXPECT_EQ(urgent, 3334);
  EXPECT_NEAR(urgent + first + patient, 5008, 4) << "something of the rate is lost";
  EXPECT_LT(patient, 20);
}

TEST(IssueLimiterTest, WhoIsInNoHurryIsServedWhileThereIsRoom) {
  IssueLimiter limiter(100);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_THAT(limiter.Admit(absl::Milliseconds(10) * i, {"", absl::Hours(1)}), IsOk()) << i;
  }
}

TEST(IssueLimiterTest, OneASecondStillServesEverybody) {
  IssueLimiter limiter(1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(limiter.Admit(absl::Seconds(i), {"", absl::Hours(1)}), IsOk()) << i;
  }
}

TEST(IssueLimiterTest, NobodyIsToldToWaitLongerThanHalfOfWhatIsLeft) {
  IssueLimiter limiter(1);
  for (int i = 0; i < 100; ++i) (void)limiter.Admit(absl::ZeroDuration());
  const absl::Status refused = limiter.Admit(absl::ZeroDuration(), {"", absl::Seconds(30)});
  ASSERT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(RetryAfter(refused), absl::Seconds(15));
}

TEST(IssueLimiterTest, OneIdentityDoesNotTakeTheShareOfOthers) {
  IssueLimiter limiter(1000, 10);
  int greedy = 0;
  for (int i = 0; i < 1000; ++i) {
    greedy += limiter.Admit(absl::Milliseconds(i), {"spiffe://a/greedy", absl::Minutes(5)}).ok();
  }
  EXPECT_EQ(greedy, 19);
  const absl::Status refused = limiter.Admit(absl::Seconds(1) - absl::Milliseconds(1),
                                             {"spiffe://a/greedy", absl::Minutes(5)});
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted,
                                ::testing::HasSubstr("spiffe://a/greedy")));
  EXPECT_EQ(RetryAfter(refused), absl::Seconds(1));
  EXPECT_THAT(limiter.Admit(absl::Seconds(1), {"spiffe://a/modest", absl::Minutes(5)}), IsOk());
}

TEST(IssueLimiterTest, ForgetsIdentitiesThatHaveTheirShareAgain) {
  IssueLimiter limiter(0, 10);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_THAT(limiter.Admit(absl::ZeroDuration(), {std::to_string(i), absl::nullopt}), IsOk());
  }
  EXPECT_EQ(limiter.identities(), 1000u);
  ASSERT_THAT(limiter.Admit(absl::Seconds(20), {"another", absl::nullopt}), IsOk());
  EXPECT_EQ(limiter.identities(), 1u);
}

}  // namespace
}  // namespace byrnie
