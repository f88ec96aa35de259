#include "common/event/testing/manual_event_loop.h"

#include <vector>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(ManualEventLoopTest, FiresEveryTimerOnTheWayAtItsOwnTime) {
  ManualEventLoop loop;
  const absl::Duration start = loop.Now();
  std::vector<absl::Duration> fired;
  std::unique_ptr<EventLoop::Timer> timer;
  timer = loop.NewTimer([&] {
    fired.push_back(loop.Now() - start);
    timer->Schedule(absl::Seconds(2));
  });
  timer->Schedule(absl::Seconds(2));
  loop.AdvanceTime(absl::Seconds(7));
  EXPECT_EQ(fired,
            (std::vector<absl::Duration>{absl::Seconds(2), absl::Seconds(4), absl::Seconds(6)}));
  EXPECT_EQ(loop.Now() - start, absl::Seconds(7));
}

TEST(ManualEventLoopTest, RunsUntilNothingIsLeftToDo) {
  ManualEventLoop loop;
  int steps = 0;
  std::unique_ptr<EventLoop::Deferred> deferred;
  deferred = loop.NewDeferred([&] {
    if (++steps < 10) deferred->Schedule();
  });
  deferred->Schedule();
  loop.RunUntilIdle();
  EXPECT_EQ(steps, 10);
}

TEST(ManualEventLoopTest, TimeStandsStillUnlessMoved) {
  ManualEventLoop loop;
  const absl::Duration start = loop.Now();
  int turns = 0;
  EXPECT_TRUE(loop.RunUntil([&] { return ++turns == 3; }));
  EXPECT_EQ(loop.Now(), start);
}

}  // namespace
}  // namespace byrnie
