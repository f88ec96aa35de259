#include "controlplane/ca/settled_time.h"

#include "common/base/testing/fake_clock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class SettledTimeTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  const absl::Time start_ = clock_.WallNow();
  SettledTime time_{&clock_};
};

TEST_F(SettledTimeTest, IsTheWallClockAsLongAsBothClocksAgree) {
  EXPECT_EQ(time_.Now(), start_);
  clock_.Advance(absl::Hours(100));
  EXPECT_EQ(time_.Now(), start_ + absl::Hours(100));
}

TEST_F(SettledTimeTest, AClockThatIsAheadForAMomentChangesNothing) {
  clock_.SetWall(start_ + absl::Hours(2));
  EXPECT_EQ(time_.Now(), start_);
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(time_.Now(), start_ + absl::Minutes(59));
  clock_.SetWall(start_ + absl::Minutes(59));
  EXPECT_EQ(time_.Now(), start_ + absl::Minutes(59));
  // The next jump begins anew.
  clock_.SetWall(start_ + absl::Hours(2));
  EXPECT_EQ(time_.Now(), start_ + absl::Minutes(59));
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(time_.Now(), start_ + absl::Minutes(118));
}

TEST_F(SettledTimeTest, AClockThatStaysAheadIsRight) {
  clock_.SetWall(start_ + absl::Hours(2));
  EXPECT_EQ(time_.Now(), start_);
  clock_.Advance(SettledTime::kSettle);
  EXPECT_EQ(time_.Now(), start_ + absl::Hours(3));
}

TEST_F(SettledTimeTest, FollowsAClockThatIsSetBackAtOnce) {
  clock_.SetWall(start_ - absl::Hours(2));
  EXPECT_EQ(time_.Now(), start_ - absl::Hours(2));
}

TEST_F(SettledTimeTest, TheClockOfTheBeginningIsTriedAfterAWhile) {
  EXPECT_FALSE(time_.IsTried());
  clock_.Advance(SettledTime::kSettle);
  EXPECT_TRUE(time_.IsTried());
}

}  // namespace
}  // namespace byrnie
