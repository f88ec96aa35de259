#include "controlplane/ca/issue_limiter.h"

#include <algorithm>

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

}  // namespace
}  // namespace byrnie
