#include "common/net/stall_detector.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr StallDetector::Progress kSilent = {3, 0, absl::Seconds(5)};

// How often it must be asked until it says that the peer is gone; 0: not within 100 times.
int AsksUntilGone(const StallDetector::Progress& progress) {
  StallDetector detector;
  for (int i = 1; i <= 100; ++i) {
    if (detector.IsGone(progress)) return i;
  }
  return 0;
}

TEST(StallDetectorTest, APeerThatAcknowledgesNothingIsGoneAfterThirtySeconds) {
  EXPECT_EQ(AsksUntilGone(kSilent), 6);
  EXPECT_EQ(6 * StallDetector::kInterval, absl::Seconds(30));
}

TEST(StallDetectorTest, APeerThatAcknowledgesButDoesNotReadIsNeverGone) {
  EXPECT_EQ(AsksUntilGone({0, 0, absl::Minutes(2)}), 0) << "between two window probes";
  EXPECT_EQ(AsksUntilGone({0, 1, absl::Minutes(2)}), 0) << "one probe on its way";
  EXPECT_EQ(AsksUntilGone({7, 0, absl::Seconds(4)}), 0) << "slow, but it acknowledges";
}

TEST(StallDetectorTest, APeerThatStopsAnsweringWindowProbesIsGone) {
  EXPECT_EQ(AsksUntilGone({0, 2, absl::Minutes(1)}), 6);
}

TEST(StallDetectorTest, OneAcknowledgementStartsTheCountAnew) {
  StallDetector detector;
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(detector.IsGone(kSilent));
  EXPECT_FALSE(detector.IsGone({3, 0, absl::Seconds(1)}));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(detector.IsGone(kSilent));
  EXPECT_TRUE(detector.IsGone(kSilent));
}

TEST(StallDetectorTest, ALongIdleTimeBeforeTheDataDoesNotCount) {
  StallDetector detector;
  EXPECT_FALSE(detector.IsGone({1, 0, absl::Hours(9)}));
  EXPECT_FALSE(detector.IsGone({1, 0, absl::Milliseconds(1)}));
}

}  // namespace
}  // namespace byrnie
