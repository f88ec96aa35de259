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
        drain_(&loop_, this, Drain::Options(), &logger_) {}

  void StopReadiness() override {
    EXPECT_EQ(stops_, 0);
    ++unready_;
  }
  void StopInbound() override {
    EXPECT_EQ(unready_, 1);
    ++stops_;
  }
  void CountConnections(absl::AnyInvocable<void(ConnectionCounts counts)> done) override {
    EXPECT_EQ(stops_, 1);
    loop_.Post([this, done = std::move(done)]() mutable { done({connections_, begun_}); });
  }
  void AbortConnections(absl::string_view why) override {
    ++aborts_;
    why_ = why;
  }
  void GiveUpConnections(absl::string_view why) override {
    EXPECT_EQ(aborts_, 1);
    EXPECT_EQ(why, why_);
    ++given_up_;
    if (ends_given_up_) connections_ = 0;
  }
  void OnDrained() override { ++drained_; }

  ManualEventLoop loop_;
  Logger logger_;
  size_t connections_ = 0;
  uint64_t begun_ = 0;
  int unready_ = 0;
  int stops_ = 0;
  int aborts_ = 0;
  absl::string_view why_;  // Of the abort.
  int given_up_ = 0;
  bool ends_given_up_ = true;
  int drained_ = 0;
  Drain drain_;
};

TEST_F(DrainTest, EndsSoonWhenNothingIsOpen) {
  drain_.Begin();
  EXPECT_TRUE(drain_.draining());
  loop_.RunUntilIdle();
  EXPECT_EQ(drained_, 0);
  loop_.AdvanceTime(Drain::Options().quiet + absl::Milliseconds(50));
  EXPECT_EQ(drained_, 1);
  EXPECT_EQ(aborts_, 0);
}

TEST_F(DrainTest, WaitsForTheLastConnection) {
  connections_ = 1;
  drain_.Begin();
  loop_.AdvanceTime(absl::Seconds(20));
  EXPECT_EQ(drained_, 0);
  connections_ = 0;
  loop_.AdvanceTime(absl::Milliseconds(350));
  EXPECT_EQ(drained_, 1);
  EXPECT_EQ(aborts_, 0);
}

TEST_F(DrainTest, WaitsForAnApplicationThatOpensOneConnectionAfterTheOther) {
  drain_.Begin();
  for (int i = 0; i < 20; ++i) {
    connections_ = 1;
    loop_.AdvanceTime(absl::Milliseconds(200));
    connections_ = 0;
    loop_.AdvanceTime(absl::Milliseconds(200));
  }
  EXPECT_EQ(drained_, 0);
  loop_.AdvanceTime(absl::Milliseconds(350));
  EXPECT_EQ(drained_, 1);
}

TEST_F(DrainTest, SeesConnectionsThatComeAndGoBetweenTwoLooks) {
  Drain::Options options;
  options.quiet = absl::Seconds(5);
  Drain drain(&loop_, this, options, &logger_);
  drain.Begin();
  for (int i = 0; i < 5; ++i) {
    loop_.AdvanceTime(absl::Seconds(4));
    ++begun_;
  }
  loop_.AdvanceTime(absl::Milliseconds(4900));
  EXPECT_EQ(drained_, 0);
  loop_.AdvanceTime(absl::Milliseconds(200));
  EXPECT_EQ(drained_, 1);
  EXPECT_EQ(aborts_, 0);
}

TEST_F(DrainTest, WaitsForNothingThatBeginsOnceItAborts) {
  connections_ = 1;
  drain_.Begin();
  drain_.Quit();
  connections_ = 0;
  ++begun_;
  loop_.AdvanceTime(absl::Milliseconds(50));
  EXPECT_EQ(drained_, 1);
}

TEST_F(DrainTest, KeepsTakingInboundWhileItHolds) {
  Drain::Options options;
  options.hold = absl::Seconds(5);
  Drain drain(&loop_, this, options, &logger_);
  drain.Begin();
  EXPECT_EQ(unready_, 1);
  loop_.AdvanceTime(absl::Milliseconds(4990));
  EXPECT_EQ(stops_, 0);
  EXPECT_EQ(drained_, 0) << "nothing is open, but something may still come";
  loop_.AdvanceTime(absl::Milliseconds(60));
  EXPECT_EQ(stops_, 1);
  loop_.AdvanceTime(absl::Milliseconds(350));
  EXPECT_EQ(drained_, 1);
}

TEST_F(DrainTest, QuitEndsAHoldToo) {
  Drain::Options options;
  options.hold = absl::Seconds(5);
  Drain drain(&loop_, this, options, &logger_);
  drain.Begin();
  drain.Quit();
  EXPECT_EQ(stops_, 1);
  EXPECT_EQ(aborts_, 1);
  loop_.AdvanceTime(absl::Milliseconds(100));
  EXPECT_EQ(drained_, 1);
}

TEST_F(DrainTest, ResetsWhatIsOpenAtTheDeadlineAndGivesUpWhatAReaderDoesNotTake) {
  connections_ = 1;
  drain_.Begin();
  loop_.AdvanceTime(absl::Milliseconds(30050));
  EXPECT_EQ(aborts_, 1);
  EXPECT_EQ(why_, "drain-deadline");
  loop_.AdvanceTime(absl::Milliseconds(900));
  EXPECT_EQ(given_up_, 0);
  EXPECT_EQ(drained_, 0);
  loop_.AdvanceTime(absl::Milliseconds(200));
  EXPECT_EQ(given_up_, 1);
  EXPECT_EQ(drained_, 1);
}

TEST_F(DrainTest, EndsWhateverHappens) {
  ends_given_up_ = false;
  connections_ = 1;
  drain_.Begin();
  drain_.Quit();
  loop_.AdvanceTime(absl::Milliseconds(1400));
  EXPECT_EQ(drained_, 0);
  loop_.AdvanceTime(absl::Milliseconds(200));
  EXPECT_EQ(given_up_, 1);
  EXPECT_EQ(drained_, 1);
}

TEST_F(DrainTest, GivesNothingUpThatEndsByItself) {
  connections_ = 1;
  drain_.Begin();
  drain_.Quit();
  loop_.AdvanceTime(absl::Milliseconds(500));
  connections_ = 0;
  loop_.AdvanceTime(absl::Seconds(5));
  EXPECT_EQ(drained_, 1);
  EXPECT_EQ(given_up_, 0);
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
  EXPECT_EQ(why_, "ended-at-once");
  loop_.AdvanceTime(absl::Milliseconds(500));
  connections_ = 0;
  loop_.AdvanceTime(absl::Milliseconds(100));
  EXPECT_EQ(drained_, 1);
}

}  // namespace
}  // namespace byrnie
