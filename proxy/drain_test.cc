#include "proxy/drain.h"

#include <unistd.h>

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/telemetry/log.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class DrainTest : public ::testing::Test, public Drain::Host {
 protected:
  DrainTest()
      : logger_(STDERR_FILENO, Logger::Format::kText, LogLevel::kError),
        drain_(&loop_, this, absl::Seconds(30), &logger_) {}

  void StopInbound() override { ++stops_; }
  void CountConnections(absl::AnyInvocable<void(size_t count)> done) override {
    EXPECT_EQ(stops_, 1);
    loop_.Post([this, done = std::move(done)]() mutable { done(connections_); });
  }
  void AbortConnections() override { ++aborts_; }
  void OnDrained() override { ++drained_; }

  ManualEventLoop loop_;
  Logger logger_;
  size_t connections_ = 0;
  int stops_ = 0;
  int aborts_ = 0;
  int drained_ = 0;
  Drain drain_;
};

TEST_F(DrainTest, EndsAtOnceWhenNothingIsOpen) {
  drain_.Begin();
  EXPECT_TRUE(drain_.draining());
  EXPECT_EQ(drained_, 0);
  loop_.RunUntilIdle();
  EXPECT_EQ(drained_, 1);
  EXPECT_EQ(aborts_, 0);
}

TEST_F(DrainTest, WaitsForTheLastConnection) {
  connections_ = 1;
  drain_.Begin();
  loop_.AdvanceTime(absl::Seconds(20));
  EXPECT_EQ(drained_, 0);
  connections_ = 0;
  loop_.AdvanceTime(absl::Milliseconds(100));
  EXPECT_EQ(drained_, 1);
  EXPECT_EQ(aborts_, 0);
}

TEST_F(DrainTest, ResetsWhatIsOpenAtTheDeadlineAndEndsWhateverHappens) {
  connections_ = 1;
  drain_.Begin();
  loop_.AdvanceTime(absl::Milliseconds(30050));
  EXPECT_EQ(aborts_, 1);
  EXPECT_EQ(drained_, 0);
  loop_.AdvanceTime(absl::Milliseconds(1100));
  EXPECT_EQ(drained_, 1);
}

TEST_F(DrainTest, BeginsOnce) {
  connections_ = 1;
  drain_.Begin();
  drain_.Begin();
  EXPECT_EQ(stops_, 1);
}

TEST_F(DrainTest, QuitDoesNotWait) {
  connections_ = 1;
  drain_.Quit();
  drain_.Quit();
  EXPECT_EQ(stops_, 1);
  EXPECT_EQ(aborts_, 1);
  loop_.AdvanceTime(absl::Milliseconds(500));
  connections_ = 0;
  loop_.AdvanceTime(absl::Milliseconds(100));
  EXPECT_EQ(drained_, 1);
}

}  // namespace
}  // namespace byrnie
