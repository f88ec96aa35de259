#include "common/telemetry/line_budget.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr int kAtOnce = static_cast<int>(LineBudget::kAtOnce);
constexpr int kPerSecond = static_cast<int>(LineBudget::kPerSecond);

// How many of `refusals` at `now` get a line.
int Lines(LineBudget* budget, int refusals, absl::Duration now) {
  int lines = 0;
  for (int i = 0; i < refusals; ++i) lines += budget->Admit(now).has_value() ? 1 : 0;
  return lines;
}

TEST(LineBudgetTest, SaysAllOfABurstAndOfAFloodAFewASecond) {
  LineBudget budget;
  EXPECT_EQ(Lines(&budget, kAtOnce, absl::Seconds(1)), kAtOnce);
  EXPECT_EQ(Lines(&budget, 10000, absl::Seconds(1)), 0);
  for (int second = 2; second < 20; ++second) {
    EXPECT_EQ(Lines(&budget, 10000, absl::Seconds(second)), kPerSecond) << second;
  }
}

TEST(LineBudgetTest, TheNextLineSaysHowManyWentUnsaid) {
  LineBudget budget;
  EXPECT_EQ(budget.Admit(absl::Seconds(1)), 0u);
  Lines(&budget, kAtOnce - 1 + 42, absl::Seconds(1));
  EXPECT_EQ(budget.Admit(absl::Seconds(2)), 42u);
  EXPECT_EQ(budget.Admit(absl::Seconds(2)), 0u);
}

TEST(LineBudgetTest, AQuietTimeGivesNoMoreThanABurst) {
  LineBudget budget;
  Lines(&budget, 1000, absl::Seconds(1));
  EXPECT_EQ(Lines(&budget, 1000, absl::Hours(1)), kAtOnce);
}

}  // namespace
}  // namespace byrnie
