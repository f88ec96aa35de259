#include "controlplane/ca/issue_limiter.h"

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "common/base/retry_after.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
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
  EXPECT_NEAR(admitted, 50 + 3, 1) << "four at once, and then the rate";
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

TEST(IssueLimiterTest, InAnOverloadOfALowRateTooThoseWhoseCertificatesEndFirstAreServed) {
  for (const int rate : {5, 10, 20}) {
    IssueLimiter limiter(rate);
    int urgent = 0, first = 0, patient = 0;
    for (int i = 0; i < 10000; ++i) {
      const absl::Duration now = absl::Milliseconds(10) * i;
      // Those with much time left come all the time, two others once a second.
      patient += limiter.Admit(now, {"", absl::Minutes(59)}).ok() ? 1 : 0;
      if (i % 100 == 50) urgent += limiter.Admit(now, {"", absl::Seconds(33)}).ok() ? 1 : 0;
      if (i % 100 == 75) first += limiter.Admit(now, {"", absl::nullopt}).ok() ? 1 : 0;
    }
    EXPECT_EQ(urgent, 100) << rate;
    EXPECT_EQ(first, 100) << rate;
    EXPECT_NEAR(urgent + first + patient, 100 * rate, 4) << "something of the rate is lost";
  }
}

TEST(IssueLimiterTest, TwoWhoComeTogetherAreNoOverload) {
  IssueLimiter limiter(10);
  for (int i = 0; i < 2; ++i) EXPECT_THAT(limiter.Admit(kStart, {"", absl::Hours(1)}), IsOk());
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

// A machine that can serve 400 in a second is asked for 1000 by a limiter that would admit them:
// one in ten has a minute left, the others half an hour. Refusing costs a twenty-fifth.
struct Storm {
  int urgent = 0, urgent_served = 0, patient_served = 0;
  absl::Duration longest;
  std::vector<absl::Duration> told;
};

Storm RunStorm(bool says_how_long) {
  constexpr size_t kQueue = 1024;
  IssueLimiter limiter(1000);
  struct Request {
    absl::Duration arrived, left;
  };
  std::deque<Request> queue;
  Storm storm;
  absl::Duration free = kStart;
  std::mt19937 random(1);
  for (absl::Duration now = kStart; now < kStart + absl::Seconds(60);
       now += absl::Milliseconds(1)) {
    const bool urgent = random() % 10 == 0;
    storm.urgent += urgent ? 1 : 0;
    if (queue.size() < kQueue)
      queue.push_back({now, urgent ? absl::Minutes(1) : absl::Minutes(30)});
    while (!queue.empty() && free <= now) {
      const Request next = queue.front();
      queue.pop_front();
      const absl::Duration waited = now - next.arrived;
      storm.longest = std::max(storm.longest, waited);
      const absl::Status admitted =
          limiter.Admit(now, {"", next.left, says_how_long ? waited : absl::ZeroDuration()});
      if (admitted.ok())
        ++(next.left == absl::Minutes(1) ? storm.urgent_served : storm.patient_served);
      if (!admitted.ok()) storm.told.push_back(now + *RetryAfter(admitted));
      free = std::max(free, now - absl::Milliseconds(1)) +
             absl::Microseconds(admitted.ok() ? 2500 : 100);
    }
  }
  return storm;
}

TEST(IssueLimiterTest, WhatTheMachineCannotDoIsTakenFromThoseWithMuchTimeLeft) {
  const Storm storm = RunStorm(/*says_how_long=*/true);
  EXPECT_GT(storm.urgent_served, storm.urgent - 100);
  // And the machine is busy all the time.
  EXPECT_GT(storm.urgent_served + storm.patient_served, 60 * 400 * 0.9);
  EXPECT_LT(storm.longest, IssueLimiter::kLongQueue / 2);
  // Those refused come back one by one, about as fast as they can be served.
  ASSERT_GT(storm.told.size(), 1000u);
  for (size_t i = 1; i < 1000; ++i) {
    EXPECT_GE(storm.told[i] - storm.told[i - 1], absl::Seconds(1) / 1000);
  }
}

TEST(IssueLimiterTest, AQueueThatNobodyTellsOfServesWhoeverFindsAPlace) {
  const Storm storm = RunStorm(/*says_how_long=*/false);
  EXPECT_LT(storm.urgent_served, storm.urgent * 0.6);
  EXPECT_GT(storm.longest, absl::Seconds(2));
}

TEST(IssueLimiterTest, TheLongerTheQueueTheMoreUrgentOneHasToBe) {
  // Also without a rate.
  IssueLimiter limiter(0);
  const auto admits = [&limiter](absl::Duration waited, absl::optional<absl::Duration> left) {
    return limiter.Admit(kStart, {"", left, waited}).ok();
  };
  EXPECT_TRUE(admits(IssueLimiter::kShortQueue, absl::Hours(1)));
  EXPECT_FALSE(admits(absl::Milliseconds(300), absl::Hours(1)));
  EXPECT_TRUE(admits(absl::Milliseconds(300), absl::Minutes(10)));
  EXPECT_TRUE(admits(absl::Milliseconds(1300), absl::nullopt));
  EXPECT_FALSE(admits(absl::Milliseconds(1300), absl::Minutes(10)));
  EXPECT_FALSE(admits(absl::Seconds(5), absl::nullopt));
  EXPECT_TRUE(admits(absl::Seconds(5), absl::Seconds(30)));
  const absl::Status refused = limiter.Admit(kStart, {"", absl::Hours(1), absl::Seconds(2)});
  EXPECT_THAT(refused,
              StatusIs(absl::StatusCode::kResourceExhausted,
                       ::testing::HasSubstr("than can be served, this one has waited 2s")));
  EXPECT_GT(*RetryAfter(refused), absl::Seconds(1));
}

}  // namespace
}  // namespace byrnie
