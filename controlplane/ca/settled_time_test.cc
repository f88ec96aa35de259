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

TEST_F(SettledTimeTest, AClockThatJumpsOnIsAsNewAsItsLastJump) {
  clock_.SetWall(start_ + absl::Seconds(3));
  EXPECT_EQ(time_.Now(), start_);
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(time_.Now(), start_ + absl::Minutes(59));
  clock_.SetWall(start_ + absl::Hours(3));
  EXPECT_EQ(time_.Now(), start_ + absl::Minutes(59));
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(time_.Now(), start_ + absl::Minutes(118));
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(time_.Now(), start_ + absl::Hours(4));
}

TEST_F(SettledTimeTest, SaysHowFarTheClockIsAheadAndForHowLongItIsNotBelieved) {
  EXPECT_EQ(time_.Read().ahead, absl::ZeroDuration());
  clock_.SetWall(start_ + absl::Hours(2));
  (void)time_.Now();
  clock_.Advance(absl::Minutes(1));
  const SettledTime::Reading reading = time_.Read();
  EXPECT_EQ(reading.now, start_ + absl::Minutes(1));
  EXPECT_EQ(reading.ahead, absl::Hours(2));
  EXPECT_EQ(reading.left, SettledTime::kSettle - absl::Minutes(1));
}

TEST_F(SettledTimeTest, GoesOnFromATimeThatIsKnownToHaveBeen) {
  SettledTime since(&clock_, start_ - absl::Hours(2));
  EXPECT_EQ(since.Now(), start_ - absl::Hours(2));
  clock_.Advance(SettledTime::kSettle);
  EXPECT_EQ(since.Now(), start_ + SettledTime::kSettle);
  // A clock that is behind is followed, here as later.
  EXPECT_EQ(SettledTime(&clock_, start_ + absl::Hours(5)).Now(), start_ + SettledTime::kSettle);
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
