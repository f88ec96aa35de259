#include "common/base/clock.h"

#include "common/base/testing/fake_clock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(SystemClockTest, MonotonicTimeNeverGoesBack) {
  SystemClock clock;
  absl::Duration last = clock.MonotonicNow();
  for (int i = 0; i < 1000; ++i) {
    absl::Duration now = clock.MonotonicNow();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(SystemClockTest, WallTimeIsAfterThisWasWritten) {
  EXPECT_GT(SystemClock().WallNow(), absl::FromUnixSeconds(1600000000));
}

TEST(FakeClockTest, StandsStillUntilAdvanced) {
  FakeClock clock(absl::FromUnixSeconds(1000));
  absl::Duration start = clock.MonotonicNow();
  EXPECT_EQ(clock.WallNow(), absl::FromUnixSeconds(1000));
  clock.Advance(absl::Seconds(5));
  EXPECT_EQ(clock.WallNow(), absl::FromUnixSeconds(1005));
  EXPECT_EQ(clock.MonotonicNow() - start, absl::Seconds(5));
}

TEST(FakeClockTest, WallTimeJumpsWithoutMonotonicTime) {
  FakeClock clock(absl::FromUnixSeconds(1000));
  absl::Duration start = clock.MonotonicNow();
  clock.SetWall(absl::FromUnixSeconds(10));
  EXPECT_EQ(clock.WallNow(), absl::FromUnixSeconds(10));
  EXPECT_EQ(clock.MonotonicNow(), start);
}

}  // namespace
}  // namespace byrnie
