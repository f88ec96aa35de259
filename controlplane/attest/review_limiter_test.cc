#include "controlplane/attest/review_limiter.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr absl::Duration kNow = absl::Hours(1);

ReviewLimiter::Options Limits() {
  ReviewLimiter::Options options;
  options.most = 8;
  options.most_unproven = 6;
  options.most_per_source = 3;
  options.per_source_and_second = 5;
  return options;
}

TEST(ReviewLimiterTest, GivesASourceItsShareAndNoMore) {
  ReviewLimiter limiter(Limits());
  for (int i = 0; i < 3; ++i) EXPECT_THAT(limiter.Begin("a", false, kNow), IsOk());
  EXPECT_THAT(limiter.Begin("a", false, kNow), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(limiter.Begin("b", false, kNow), IsOk());
  limiter.End("a", false);
  EXPECT_THAT(limiter.Begin("a", false, kNow), IsOk());
}

TEST(ReviewLimiterTest, KeepsRoomForTokensThatAreTheServersOwn) {
  ReviewLimiter limiter(Limits());
  for (int i = 0; i < 6; ++i) {
    EXPECT_THAT(limiter.Begin(absl::StrCat(i), false, kNow), IsOk());
  }
  EXPECT_THAT(limiter.Begin("new", false, kNow), StatusIs(absl::StatusCode::kUnavailable));
  // From wherever, also many from one address: agents behind a load balancer have the same.
  EXPECT_THAT(limiter.Begin("0", true, kNow), IsOk());
  EXPECT_THAT(limiter.Begin("0", true, kNow), IsOk());
  EXPECT_THAT(limiter.Begin("0", true, kNow), StatusIs(absl::StatusCode::kUnavailable));
  limiter.End("0", true);
  EXPECT_THAT(limiter.Begin("new", false, kNow), StatusIs(absl::StatusCode::kUnavailable));
  limiter.End("1", false);
  EXPECT_THAT(limiter.Begin("new", false, kNow), IsOk());
}

TEST(ReviewLimiterTest, TakesSoManyOfASourceInASecond) {
  ReviewLimiter limiter(Limits());
  for (const char* source : {"a", ""}) {
    absl::Duration now = kNow;
    int admitted = 0;
    for (int i = 0; i < 1000; ++i) {
      now += absl::Milliseconds(10);
      if (!limiter.Begin(source, false, now).ok()) continue;
      ++admitted;
      limiter.End(source, false);
    }
    // Ten seconds, and what a second has at once.
    EXPECT_GE(admitted, 50);
    EXPECT_LE(admitted, 56);
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_THAT(limiter.Begin("a", true, kNow), IsOk());
    limiter.End("a", true);
  }
}

}  // namespace
}  // namespace byrnie
