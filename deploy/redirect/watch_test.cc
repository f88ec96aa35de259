#include "deploy/redirect/watch.h"

#include <unistd.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

// Rules that tests alter, refuse to repair or to read.
class FakeRules final : public WatchedRules {
 public:
  absl::StatusOr<std::string> Difference() override {
    if (!readable.ok()) return readable;
    return closed ? absl::StrCat(difference, "+ closed\n") : difference;
  }
  absl::Status Apply() override {
    ++applied;
    if (repairable.ok()) {
      difference.clear();
      closed = false;
    }
    return repairable;
  }
  absl::Status Close() override {
    closed = true;
    return absl::OkStatus();
  }
  absl::Status Hold() override {
    held = true;
    return absl::OkStatus();
  }

  std::string difference;
  absl::Status readable;
  absl::Status repairable;
  int applied = 0;
  bool closed = false;
  bool held = false;
};

class WatchTest : public ::testing::Test {
 protected:
  Watch Make(OnDrift on_drift) {
    return Watch(&rules_, on_drift, &logger_,
                 [this](const Watch::Counts& counts) { told_.push_back(counts); });
  }

  Logger logger_{-1, Logger::Format::kJson, LogLevel::kError};
  FakeRules rules_;
  std::vector<Watch::Counts> told_;
};

TEST_F(WatchTest, RepairsWhatWasChangedAndCounts) {
  Watch watch = Make(OnDrift::kRepair);
  watch.Start();
  EXPECT_TRUE(rules_.held);
  watch.Check();
  EXPECT_TRUE(watch.counts().in_place);
  EXPECT_EQ(rules_.applied, 0);
  for (uint64_t i = 1; i <= 3; ++i) {
    rules_.difference = "- rule\n";
    watch.Check();
    EXPECT_EQ(watch.counts().drifts, i);
    EXPECT_EQ(watch.counts().repairs, i);
    EXPECT_TRUE(watch.counts().in_place);
  }
  EXPECT_FALSE(rules_.closed);
}

TEST_F(WatchTest, TellsOfItsFirstCheckAndOfChangesOnly) {
  Watch watch = Make(OnDrift::kRepair);
  for (int i = 0; i < 5; ++i) watch.Check();
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_TRUE(told_[0].in_place);
  rules_.difference = "- rule\n";
  watch.Check();
  watch.Check();
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[1].repairs, 1u);
}

TEST_F(WatchTest, ReportsOneDriftForAsLongAsItLasts) {
  Watch watch = Make(OnDrift::kReport);
  watch.Start();
  EXPECT_FALSE(rules_.held);
  rules_.difference = "- rule\n";
  for (int i = 0; i < 3; ++i) watch.Check();
  EXPECT_EQ(watch.counts().drifts, 1u);
  rules_.difference = "- another\n";
  watch.Check();
  EXPECT_EQ(watch.counts().drifts, 2u);
  EXPECT_EQ(rules_.applied, 0);
  EXPECT_FALSE(rules_.closed);
  EXPECT_FALSE(watch.counts().in_place);
}

TEST_F(WatchTest, FailsClosedUntilSomebodyElseApplies) {
  Watch watch = Make(OnDrift::kFailClosed);
  rules_.difference = "- rule\n";
  for (int i = 0; i < 3; ++i) watch.Check();
  EXPECT_TRUE(rules_.closed);
  EXPECT_EQ(watch.counts().drifts, 1u);
  EXPECT_EQ(rules_.applied, 0);
  rules_.difference.clear();
  watch.Check();
  EXPECT_TRUE(rules_.closed) << "rules put back by whoever took them away";
  rules_.closed = false;
  watch.Check();
  EXPECT_TRUE(watch.counts().in_place);
}

TEST_F(WatchTest, ClosesThePodWhenItCannotRepairAndOpensItWhenItCan) {
  Watch watch = Make(OnDrift::kRepair);
  rules_.difference = "- rule\n";
  rules_.repairable = absl::InternalError("no");
  watch.Check();
  EXPECT_TRUE(rules_.closed);
  EXPECT_EQ(watch.counts().failures, 1u);
  EXPECT_EQ(watch.counts().repairs, 0u);
  EXPECT_FALSE(watch.counts().in_place);
  rules_.repairable = absl::OkStatus();
  watch.Check();
  EXPECT_FALSE(rules_.closed);
  EXPECT_EQ(watch.counts().repairs, 1u);
  EXPECT_EQ(watch.counts().drifts, 1u);
}

TEST_F(WatchTest, CountsChecksThatCannotRead) {
  Watch watch = Make(OnDrift::kRepair);
  rules_.readable = absl::InternalError("busy");
  watch.Check();
  EXPECT_EQ(watch.counts().failures, 1u);
  EXPECT_FALSE(watch.counts().in_place);
  EXPECT_EQ(rules_.applied, 0);
}

TEST(ParseOnDriftTest, KnowsThreeWords) {
  EXPECT_EQ(*ParseOnDrift("report"), OnDrift::kReport);
  EXPECT_EQ(*ParseOnDrift("repair"), OnDrift::kRepair);
  EXPECT_EQ(*ParseOnDrift("fail-closed"), OnDrift::kFailClosed);
  EXPECT_THAT(std::string(ParseOnDrift("ignore").status().message()),
              HasSubstr("report, repair or fail-closed"));
}

TEST(WatchMetricsTextTest, IsPrometheusText) {
  Watch::Counts counts;
  counts.drifts = 3;
  counts.repairs = 2;
  counts.in_place = true;
  const std::string text = WatchMetricsText(counts);
  EXPECT_THAT(text, HasSubstr("# TYPE byrnie_redirect_drifts_total counter\n"
                              "byrnie_redirect_drifts_total 3\n"));
  EXPECT_THAT(text, HasSubstr("\nbyrnie_redirect_repairs_total 2\n"));
  EXPECT_THAT(text, HasSubstr("\nbyrnie_redirect_rules_in_place 1\n"));
}

}  // namespace
}  // namespace byrnie
