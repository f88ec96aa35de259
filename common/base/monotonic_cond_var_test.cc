#include "common/base/monotonic_cond_var.h"

#include <thread>

#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class MonotonicCondVarTest : public ::testing::Test {
 protected:
  bool Wait(absl::Duration time) {
    absl::MutexLock lock(&mu_);
    return changed_.AwaitWithTimeout(&mu_, time, [this] { return holds_; });
  }
  void Set() {
    {
      absl::MutexLock lock(&mu_);
      holds_ = true;
    }
    changed_.NotifyAll();
  }

  absl::Mutex mu_;
  bool holds_ = false;
  MonotonicCondVar changed_;
};

TEST_F(MonotonicCondVarTest, WhatHoldsIsNotWaitedFor) {
  Set();
  EXPECT_TRUE(Wait(absl::InfiniteDuration()));
}

TEST_F(MonotonicCondVarTest, EndsWhenTheTimeHasPassed) {
  EXPECT_FALSE(Wait(absl::ZeroDuration()));
  EXPECT_FALSE(Wait(-absl::Seconds(1)));
  EXPECT_FALSE(Wait(absl::Milliseconds(1)));
}

TEST_F(MonotonicCondVarTest, EndsOnceItHolds) {
  for (const absl::Duration time : {absl::Hours(1), absl::InfiniteDuration()}) {
    {
      absl::MutexLock lock(&mu_);
      holds_ = false;
    }
    std::thread setter([this] { Set(); });
    EXPECT_TRUE(Wait(time));
    setter.join();
  }
}

// Else nobody could set what is waited for.
TEST_F(MonotonicCondVarTest, LetsGoOfTheMutexAndTakesItAgain) {
  absl::MutexLock lock(&mu_);
  std::thread setter([this] { Set(); });
  EXPECT_TRUE(changed_.AwaitWithTimeout(&mu_, absl::Hours(1), [this] {
    mu_.AssertHeld();
    return holds_;
  }));
  mu_.AssertHeld();
  mu_.Unlock();
  setter.join();
  mu_.Lock();
}

}  // namespace
}  // namespace byrnie
