#include "common/event/epoll_event_loop.h"

#include <sys/eventfd.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status_matchers.h"
#include "common/base/unique_fd.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class EpollEventLoopTest : public ::testing::Test {
 protected:
  EpollEventLoopTest() : loop_(*EpollEventLoop::Create(&clock_)) {}
  SystemClock clock_;
  std::unique_ptr<EpollEventLoop> loop_;
};

TEST_F(EpollEventLoopTest, RunsUntilStoppedFromAnotherThread) {
  std::thread thread([this] { loop_->Run(); });
  loop_->Stop();
  thread.join();
}

TEST_F(EpollEventLoopTest, WakesUpForATaskFromAnotherThread) {
  std::thread thread([this] { loop_->Run(); });
  int value = 0;
  loop_->Post([&] {
    EXPECT_TRUE(loop_->InLoopThread());
    value = 7;
    loop_->Stop();
  });
  thread.join();
  EXPECT_EQ(value, 7);
  EXPECT_TRUE(loop_->InLoopThread()) << "the owner may take down on its own thread";
}

TEST_F(EpollEventLoopTest, GoesOnOnAnotherThreadWithWhatWasLeft) {
  std::thread first([this] { loop_->Run(); });
  bool fired = false;
  std::unique_ptr<EventLoop::Timer> timer;
  loop_->Post([&] {
    timer = loop_->NewTimer([&] {
      fired = loop_->InLoopThread();
      loop_->Stop();
    });
    timer->Schedule(absl::Milliseconds(5));
    loop_->Stop();
  });
  first.join();
  EXPECT_FALSE(fired);
  std::thread second([this] { loop_->Run(); });
  second.join();
  EXPECT_TRUE(fired);
  timer.reset();
}

TEST_F(EpollEventLoopTest, LosesNoTaskWhenManyThreadsPostToARunningLoop) {
  constexpr int kThreads = 4;
  constexpr int kTasks = 2000;
  int count = 0;  // Only touched on the loop's thread.
  std::thread runner([this] { loop_->Run(); });
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, &count] {
      for (int i = 0; i < kTasks; ++i) {
        loop_->Post([this, &count] {
          if (++count == kThreads * kTasks) loop_->Stop();
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  runner.join();
  EXPECT_EQ(count, kThreads * kTasks);
}

TEST_F(EpollEventLoopTest, SleepsNoLongerThanItsEarliestTimer) {
  const absl::Duration start = clock_.MonotonicNow();
  auto timer = loop_->NewTimer([this] { loop_->Stop(); });
  timer->Schedule(absl::Milliseconds(5));
  loop_->Run();
  EXPECT_GE(clock_.MonotonicNow() - start, absl::Milliseconds(5));
}

TEST_F(EpollEventLoopTest, ServesABoundedNumberOfDescriptorsPerTurn) {
  constexpr int kFds = EpollEventLoop::kMaxEventsPerTurn + 50;
  int calls = 0;
  std::vector<UniqueFd> fds;
  std::vector<std::unique_ptr<EventLoop::FdWatch>> watches;
  for (int i = 0; i < kFds; ++i) {
    fds.emplace_back(eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
    ASSERT_OK_AND_ASSIGN(auto watch,
                         loop_->Watch(fds.back().get(), [&](EventLoop::FdEvents) { ++calls; }));
    watches.push_back(std::move(watch));
  }
  loop_->RunOneTurn(absl::ZeroDuration());
  EXPECT_EQ(calls, EpollEventLoop::kMaxEventsPerTurn);
  loop_->RunOneTurn(absl::ZeroDuration());
  EXPECT_EQ(calls, kFds);
}

TEST_F(EpollEventLoopTest, SaysWhetherATurnDidAnything) {
  EXPECT_FALSE(loop_->RunOneTurn(absl::ZeroDuration()));
  loop_->Post([] {});
  EXPECT_TRUE(loop_->RunOneTurn(absl::ZeroDuration()));
}

}  // namespace
}  // namespace byrnie
