#include "controlplane/health/condition_board.h"

#include <cstdint>
#include <string>
#include <vector>

#include "common/telemetry/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using State = Condition::State;

absl::Time At(int64_t seconds) { return absl::FromUnixSeconds(1'800'000'000 + seconds); }

std::vector<Condition> Judged(State state, absl::Time since) {
  return {{"store", state, "said at that time", "", since}};
}

TEST(ConditionBoardTest, SaysSinceWhenAStateIsWhatItIs) {
  MetricRegistry metrics;
  ConditionBoard board(&metrics);
  EXPECT_THAT(board.Get(), IsEmpty());
  board.Set(Judged(State::kOk, At(0)));
  board.Set(Judged(State::kOk, At(1)));
  ASSERT_THAT(board.Get(), SizeIs(1));
  EXPECT_EQ(board.Get()[0].since, At(0));
  board.Set(Judged(State::kFail, At(2)));
  EXPECT_EQ(board.Get()[0].since, At(2));
  board.Set(Judged(State::kFail, At(3)));
  EXPECT_EQ(board.Get()[0].since, At(2));
  EXPECT_EQ(board.Get()[0].state, State::kFail);
}

TEST(ConditionBoardTest, KnowsTheOthersThatWereHeardOfLast) {
  MetricRegistry metrics;
  ConditionBoard board(&metrics);
  board.Set({}, {"b", "c"});
  EXPECT_THAT(board.others(), ElementsAre("b", "c"));
  board.Set({}, {"b"});
  EXPECT_THAT(board.others(), ElementsAre("b"));
}

TEST(ConditionBoardTest, EachConditionIsAGauge) {
  MetricRegistry metrics;
  ConditionBoard board(&metrics);
  board.Set(Judged(State::kWarn, At(0)));
  const std::string text = metrics.RenderPrometheusText();
  EXPECT_THAT(text, HasSubstr("byrnie_controlplane_condition{condition=\"store\"} 2"));
  EXPECT_THAT(text, HasSubstr("byrnie_controlplane_condition{condition=\"issuing\"} 0"));
}

}  // namespace
}  // namespace byrnie
