#include "proxy/outlier_detector.h"

#include <algorithm>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/telemetry/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

SocketAddress At(absl::string_view text) { return *SocketAddress::Parse(text); }

class OutlierDetectorTest : public ::testing::Test {
 protected:
  OutlierDetectorTest() { Make(0); }

  void Make(double jitter) {
    OutlierDetector::Options options;
    options.jitter = jitter;
    options.max_endpoints = 3;
    OutlierDetector::Metrics metrics;
    metrics.ejections = ejections_;
    metrics.ejected = ejected_;
    detector_ = std::make_unique<OutlierDetector>(&loop_, options, metrics, random_);
  }
  // How long the next failure ejects.
  absl::Duration Fail(const SocketAddress& endpoint) {
    detector_->OnFailure(endpoint);
    absl::Duration ejected;
    while (detector_->Ejected(endpoint)) {
      loop_.AdvanceTime(absl::Milliseconds(10));
      ejected += absl::Milliseconds(10);
    }
    return ejected;
  }

  ManualEventLoop loop_;
  std::mt19937_64 random_{3};
  MetricRegistry registry_;
  Counter* const ejections_ = registry_.AddCounter("ejections", "");
  Gauge* const ejected_ = registry_.AddGauge("ejected", "");
  std::unique_ptr<OutlierDetector> detector_;
  const SocketAddress a_ = At("10.0.0.1:80");
  const SocketAddress b_ = At("10.0.0.2:80");
};

TEST_F(OutlierDetectorTest, EjectsForTwiceAsLongWithEachFailureInARow) {
  for (const int seconds : {1, 2, 4, 8, 16, 30, 30}) {
    EXPECT_EQ(Fail(a_), absl::Seconds(seconds));
  }
  EXPECT_EQ(ejections_->value(), 7u);
  EXPECT_FALSE(detector_->Ejected(b_));
}

TEST_F(OutlierDetectorTest, ASuccessRestoresAndForgets) {
  Fail(a_);
  detector_->OnFailure(a_);
  EXPECT_EQ(ejected_->value(), 1);
  detector_->OnSuccess(a_);
  EXPECT_FALSE(detector_->Ejected(a_));
  EXPECT_EQ(ejected_->value(), 0);
  EXPECT_THAT(detector_->View(), IsEmpty());
  EXPECT_EQ(Fail(a_), absl::Seconds(1));
}

TEST_F(OutlierDetectorTest, ThoseWhoFailTogetherAreOneFailure) {
  for (int i = 0; i < 100; ++i) detector_->OnFailure(a_);
  EXPECT_EQ(detector_->View()[0].failures, 1u);
  EXPECT_EQ(detector_->View()[0].ejected_for, absl::Seconds(1));
  EXPECT_EQ(ejected_->value(), 1);
  EXPECT_EQ(ejections_->value(), 1u);
}

TEST_F(OutlierDetectorTest, OneConnectionTriesWhatWasEjected) {
  Fail(a_);
  EXPECT_FALSE(detector_->Ejected(a_));
  detector_->OnAttempt(a_);
  EXPECT_TRUE(detector_->Ejected(a_));
  EXPECT_EQ(ejected_->value(), 0);
  detector_->OnSuccess(a_);
  EXPECT_FALSE(detector_->Ejected(a_));
}

TEST_F(OutlierDetectorTest, AFailedTrialEjectsForTwiceAsLong) {
  Fail(a_);
  detector_->OnAttempt(a_);
  EXPECT_EQ(Fail(a_), absl::Seconds(2));
  EXPECT_EQ(ejections_->value(), 2u);
}

TEST_F(OutlierDetectorTest, ATrialThatIsGivenUpIsFollowedByAnother) {
  Fail(a_);
  detector_->OnAttempt(a_);
  loop_.AdvanceTime(absl::Seconds(5) - absl::Milliseconds(1));
  EXPECT_TRUE(detector_->Ejected(a_));
  loop_.AdvanceTime(absl::Milliseconds(1));
  EXPECT_FALSE(detector_->Ejected(a_));
}

TEST_F(OutlierDetectorTest, AttemptsAtWhatIsWellOrOutChangeNothing) {
  detector_->OnAttempt(a_);
  EXPECT_FALSE(detector_->Ejected(a_));
  EXPECT_THAT(detector_->View(), IsEmpty());
  detector_->OnFailure(a_);
  detector_->OnAttempt(a_);
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_FALSE(detector_->Ejected(a_));
}

TEST_F(OutlierDetectorTest, TheGaugeFollowsTheClock) {
  detector_->OnFailure(a_);
  loop_.AdvanceTime(absl::Milliseconds(500));
  detector_->OnFailure(b_);
  EXPECT_EQ(ejected_->value(), 2);
  loop_.AdvanceTime(absl::Milliseconds(500));
  EXPECT_EQ(ejected_->value(), 1);
  loop_.AdvanceTime(absl::Milliseconds(500));
  EXPECT_EQ(ejected_->value(), 0);
  // On trial for as long as the longest ejection, then like new.
  EXPECT_THAT(detector_->View(), SizeIs(2));
  loop_.AdvanceTime(absl::Seconds(31));
  EXPECT_THAT(detector_->View(), IsEmpty());
}

TEST_F(OutlierDetectorTest, JitterSpreadsTheEndsAndNeverPassesTheLongest) {
  Make(0.2);
  absl::Duration shortest = absl::InfiniteDuration(), longest;
  for (int i = 0; i < 200; ++i) {
    const absl::Duration ejected = Fail(a_);
    shortest = std::min(shortest, ejected);
    longest = std::max(longest, ejected);
    detector_->OnSuccess(a_);
  }
  EXPECT_GE(shortest, absl::Milliseconds(800));
  EXPECT_LE(shortest, absl::Milliseconds(850));
  EXPECT_GE(longest, absl::Milliseconds(1150));
  EXPECT_LE(longest, absl::Milliseconds(1210));
  for (int i = 0; i < 20; ++i) EXPECT_LE(Fail(b_), absl::Seconds(30));
}

TEST_F(OutlierDetectorTest, RemembersNoMoreThanItMay) {
  for (int i = 0; i < 10; ++i) detector_->OnFailure(At(absl::StrCat("10.0.1.", i, ":80")));
  EXPECT_THAT(detector_->View(), SizeIs(3));
  EXPECT_EQ(ejected_->value(), 3);
}

TEST_F(OutlierDetectorTest, LeavesNothingInTheGaugeAtItsEnd) {
  detector_->OnFailure(a_);
  detector_.reset();
  EXPECT_EQ(ejected_->value(), 0);
}

}  // namespace
}  // namespace byrnie
