#include "common/base/periodic_thread.h"

#include <atomic>
#include <memory>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(PeriodicThreadTest, RunsAtOnceAndAgain) {
  absl::BlockingCounter runs(3);
  std::atomic<int> left{3};
  PeriodicThread thread(absl::ZeroDuration(), [&] {
    if (left > 0) {
      --left;
      runs.DecrementCount();
    }
  });
  runs.Wait();
}

TEST(PeriodicThreadTest, EndsWithoutWaitingForItsNextRun) {
  absl::Notification ran;
  auto thread = std::make_unique<PeriodicThread>(absl::Hours(1), [&ran] { ran.Notify(); });
  ran.WaitForNotification();
  thread = nullptr;
}

TEST(PeriodicThreadTest, EndsAfterTheRunThatIsUnderWay) {
  absl::Notification began, go_on;
  std::atomic<bool> ended{false};
  auto thread = std::make_unique<PeriodicThread>(absl::Hours(1), [&] {
    began.Notify();
    go_on.WaitForNotification();
    ended = true;
  });
  began.WaitForNotification();
  go_on.Notify();
  thread = nullptr;
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace byrnie
