#include "common/telemetry/repeat_filter.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(RepeatFilterTest, SaysTheFirstAndThenOneAnIntervalWithTheirNumber) {
  RepeatFilter filter(absl::Minutes(1));
  EXPECT_EQ(filter.Admit("refused", absl::Seconds(5)), 0u);
  for (int second = 6; second < 65; ++second) {
    EXPECT_EQ(filter.Admit("refused", absl::Seconds(second)), absl::nullopt) << second;
  }
  EXPECT_EQ(filter.Admit("refused", absl::Seconds(65)), 59u);
  EXPECT_EQ(filter.Admit("refused", absl::Seconds(66)), absl::nullopt);
}

TEST(RepeatFilterTest, SaysAnotherReasonAtOnce) {
  RepeatFilter filter(absl::Minutes(1));
  EXPECT_EQ(filter.Admit("refused", absl::Seconds(1)), 0u);
  EXPECT_EQ(filter.Admit("refused", absl::Seconds(2)), absl::nullopt);
  EXPECT_EQ(filter.Admit("timed out", absl::Seconds(3)), 1u);
}

TEST(RepeatFilterTest, ReasonsThatTakeTurnsAreNotNewEachTime) {
  RepeatFilter filter(absl::Minutes(1));
  EXPECT_EQ(filter.Admit("refused", absl::Seconds(1)), 0u);
  EXPECT_EQ(filter.Admit("timed out", absl::Seconds(2)), 0u);
  for (int second = 3; second < 60; second += 2) {
    EXPECT_EQ(filter.Admit("refused", absl::Seconds(second)), absl::nullopt);
    EXPECT_EQ(filter.Admit("timed out", absl::Seconds(second + 1)), absl::nullopt);
  }
}

TEST(RepeatFilterTest, AfterASuccessTheNextIsAFirstOne) {
  RepeatFilter filter(absl::Minutes(1));
  filter.Admit("refused", absl::Seconds(1));
  filter.Admit("refused", absl::Seconds(2));
  filter.Reset();
  EXPECT_EQ(filter.Admit("refused", absl::Seconds(3)), 0u);
}

TEST(RepeatFilterTest, HoldsABoundedNumberOfReasons) {
  RepeatFilter filter(absl::Minutes(1));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(filter.Admit(absl::StrCat("reason ", i), absl::Seconds(1)), 0u);
  }
  EXPECT_EQ(filter.Admit("reason 0", absl::Seconds(2)), 0u) << "forgotten";
  EXPECT_EQ(filter.Admit("reason 999", absl::Seconds(2)), absl::nullopt);
}

}  // namespace
}  // namespace byrnie
