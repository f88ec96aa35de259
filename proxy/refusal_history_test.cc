#include "proxy/refusal_history.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;

TEST(RefusalHistoryTest, SaysWhatWasAddedSinceATime) {
  RefusalHistory history;
  EXPECT_THAT(history.Since(absl::Seconds(0), {3, 4}), ElementsAre(3, 4));
  history.Sample(absl::Seconds(0), {1, 0});
  history.Sample(absl::Seconds(30), {2, 0});
  history.Sample(absl::Seconds(60), {2, 5});
  EXPECT_THAT(history.Since(absl::Seconds(60), {2, 6}), ElementsAre(0, 1));
  EXPECT_THAT(history.Since(absl::Seconds(59), {2, 6}), ElementsAre(0, 6));
  EXPECT_THAT(history.Since(absl::Seconds(10), {2, 6}), ElementsAre(1, 6));
}

TEST(RefusalHistoryTest, SinceBeforeTheFirstSampleIsSinceThatSample) {
  RefusalHistory history;
  history.Sample(absl::Seconds(100), {1});
  EXPECT_THAT(history.Since(absl::Seconds(-200), {4}), ElementsAre(3));
}

TEST(RefusalHistoryTest, KeepsAFewSamples) {
  RefusalHistory history;
  for (uint64_t i = 0; i < 1000; ++i) history.Sample(absl::Seconds(i), {i});
  EXPECT_THAT(history.Since(absl::ZeroDuration(), {1000}), ElementsAre(RefusalHistory::kSamples));
}

}  // namespace
}  // namespace byrnie
