// What every EventLoop promises, held for each implementation.
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/base/unique_fd.h"
#include "common/event/epoll_event_loop.h"
#include "common/event/event_loop.h"
#include "common/event/testing/manual_event_loop.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

// A loop under test with the means to step it.
struct Subject {
  std::unique_ptr<FakeClock> owned_clock;
  std::unique_ptr<EventLoop> loop;
  FakeClock* clock;
  std::function<void()> turn;
};

Subject MakeEpoll() {
  Subject subject;
  subject.owned_clock = std::make_unique<FakeClock>();
  subject.clock = subject.owned_clock.get();
  auto loop = *EpollEventLoop::Create(subject.clock);
  subject.turn = [raw = loop.get()] { raw->RunOneTurn(absl::ZeroDuration()); };
  subject.loop = std::move(loop);
  return subject;
}

Subject MakeManual() {
  Subject subject;
  auto loop = std::make_unique<ManualEventLoop>();
  subject.clock = loop->clock();
  subject.turn = [raw = loop.get()] { raw->RunOnce(); };
  subject.loop = std::move(loop);
  return subject;
}

struct Pair {
  Pair() {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    a.reset(fds[0]);
    b.reset(fds[1]);
  }
  UniqueFd a;
  UniqueFd b;
};

void Send(const UniqueFd& fd) { ASSERT_EQ(write(fd.get(), "x", 1), 1); }

class EventLoopConformanceTest : public ::testing::TestWithParam<std::function<Subject()>> {
 protected:
  EventLoopConformanceTest() : subject_(GetParam()()), loop_(subject_.loop.get()) {}
  void Turn() { subject_.turn(); }
  std::unique_ptr<EventLoop::FdWatch> Watch(const UniqueFd& fd, EventLoop::FdCallback callback) {
    auto watch = loop_->Watch(fd.get(), std::move(callback));
    EXPECT_THAT(watch, IsOk());
    return *std::move(watch);
  }

  Subject subject_;
  EventLoop* const loop_;
  std::vector<std::string> log_;
};

TEST_P(EventLoopConformanceTest, RunsPostedTasksInOrderInALaterTurn) {
  loop_->Post([this] {
    log_.push_back("first");
    loop_->Post([this] { log_.push_back("third"); });
  });
  loop_->Post([this] { log_.push_back("second"); });
  EXPECT_TRUE(log_.empty());
  Turn();
  EXPECT_EQ(log_, (std::vector<std::string>{"first", "second"}));
  Turn();
  EXPECT_EQ(log_.back(), "third");
}

TEST_P(EventLoopConformanceTest, TakesTasksFromOtherThreadsInTheirOrder) {
  constexpr int kThreads = 4;
  constexpr int kTasks = 500;
  std::vector<std::vector<int>> seen(kThreads);
  int total = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t, &seen, &total] {
      for (int i = 0; i < kTasks; ++i) {
        loop_->Post([t, i, &seen, &total] {
          seen[t].push_back(i);
          ++total;
        });
      }
    });
  }
  while (total < kThreads * kTasks) Turn();
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<int>& tasks : seen) {
    ASSERT_EQ(tasks.size(), static_cast<size_t>(kTasks));
    for (int i = 0; i < kTasks; ++i) EXPECT_EQ(tasks[i], i);
  }
}

TEST_P(EventLoopConformanceTest, KnowsItsThread) {
  bool other = false;
  std::thread([this, &other] { other = loop_->InLoopThread(); }).join();
  EXPECT_TRUE(other);
  Turn();
  EXPECT_TRUE(loop_->InLoopThread());
  std::thread([this, &other] { other = loop_->InLoopThread(); }).join();
  EXPECT_FALSE(other);
}

TEST_P(EventLoopConformanceTest, DestroysPostedTasksThatNeverRan) {
  auto witness = std::make_shared<int>(0);
  loop_->Post([witness] { ++*witness; });
  EXPECT_EQ(witness.use_count(), 2);
  subject_.loop.reset();
  EXPECT_EQ(witness.use_count(), 1);
  EXPECT_EQ(*witness, 0);
}

TEST_P(EventLoopConformanceTest, CountsTheStateAtTheStartAsAnEdge) {
  Pair pair;
  Send(pair.b);
  int calls = 0;
  auto watch = Watch(pair.a, [&](EventLoop::FdEvents events) {
    ++calls;
    EXPECT_TRUE(events.readable);
    EXPECT_TRUE(events.writable);
  });
  EXPECT_EQ(calls, 0);
  Turn();
  EXPECT_EQ(calls, 1);
  Turn();
  EXPECT_EQ(calls, 1) << "an edge is told once, read or not";
  Send(pair.b);
  Turn();
  EXPECT_EQ(calls, 2);
}

TEST_P(EventLoopConformanceTest, TellsBothDirectionsOfAHangUp) {
  Pair pair;
  EventLoop::FdEvents last;
  auto watch = Watch(pair.a, [&](EventLoop::FdEvents events) { last = events; });
  Turn();
  last = {};
  pair.b.reset();
  Turn();
  EXPECT_TRUE(last.readable);
  EXPECT_TRUE(last.writable);
}

TEST_P(EventLoopConformanceTest, TellsAnEndFromData) {
  Pair pair;
  EventLoop::FdEvents last;
  auto watch = Watch(pair.a, [&](EventLoop::FdEvents events) { last = events; });
  Send(pair.b);
  Turn();
  EXPECT_TRUE(last.readable);
  EXPECT_FALSE(last.beyond_data);
  ASSERT_EQ(shutdown(pair.b.get(), SHUT_WR), 0);
  Turn();
  EXPECT_TRUE(last.readable);
  EXPECT_TRUE(last.beyond_data);
  EXPECT_FALSE(last.error);
  pair.b.reset();
  Turn();
  EXPECT_TRUE(last.error);
  EXPECT_FALSE(last.failed);
}

TEST_P(EventLoopConformanceTest, DoesNotRunAWatchRemovedByAnEarlierCallbackOfTheTurn) {
  Pair one, two;
  std::unique_ptr<EventLoop::FdWatch> watch_one, watch_two;
  watch_one = Watch(one.a, [&](EventLoop::FdEvents) {
    log_.push_back("ran");
    watch_two.reset();
  });
  watch_two = Watch(two.a, [&](EventLoop::FdEvents) {
    log_.push_back("ran");
    watch_one.reset();
  });
  Turn();
  EXPECT_EQ(log_.size(), 1u);
  EXPECT_NE(watch_one == nullptr, watch_two == nullptr);
}

TEST_P(EventLoopConformanceTest, ReusesADescriptorNumberWithoutMixingUpItsWatches) {
  Pair one, two;
  std::unique_ptr<EventLoop::FdWatch> victim, fresh;
  auto killer = Watch(one.a, [&](EventLoop::FdEvents) {
    if (victim == nullptr) return;
    victim.reset();
    int number = two.a.get();
    ASSERT_EQ(dup2(one.b.get(), number), number);
    fresh = Watch(two.a, [&](EventLoop::FdEvents) { log_.push_back("fresh"); });
  });
  victim = Watch(two.a, [&](EventLoop::FdEvents) { log_.push_back("victim"); });
  Turn();
  ASSERT_EQ(victim, nullptr);
  for (const std::string& who : log_) EXPECT_EQ(who, "victim") << "fresh ran in its own turn";
  Turn();
  EXPECT_EQ(log_.back(), "fresh");
}

TEST_P(EventLoopConformanceTest, DoesNotRunATimerCancelledByAnEarlierCallbackOfTheTurn) {
  std::unique_ptr<EventLoop::Timer> one, two;
  one = loop_->NewTimer([&] {
    log_.push_back("one");
    two->Cancel();
  });
  two = loop_->NewTimer([&] { log_.push_back("two"); });
  one->Schedule(absl::Seconds(1));
  two->Schedule(absl::Seconds(1));
  subject_.clock->Advance(absl::Seconds(1));
  Turn();
  Turn();
  EXPECT_EQ(log_, (std::vector<std::string>{"one"}));
}

TEST_P(EventLoopConformanceTest, DoesNotRunADeferredTaskCancelledByAnEarlierCallbackOfTheTurn) {
  std::unique_ptr<EventLoop::Deferred> one, two;
  one = loop_->NewDeferred([&] {
    log_.push_back("one");
    two.reset();
  });
  two = loop_->NewDeferred([&] { log_.push_back("two"); });
  one->Schedule();
  two->Schedule();
  Turn();
  EXPECT_EQ(log_, (std::vector<std::string>{"one"}));
}

TEST_P(EventLoopConformanceTest, RunsNothingInsideTheCallThatStartedIt) {
  Pair pair;
  auto watch = Watch(pair.a, [&](EventLoop::FdEvents) { log_.push_back("watch"); });
  auto timer = loop_->NewTimer([&] { log_.push_back("timer"); });
  timer->Schedule(absl::Seconds(-1));
  auto deferred = loop_->NewDeferred([&] { log_.push_back("deferred"); });
  deferred->Schedule();
  loop_->Post([&] { log_.push_back("posted"); });
  EXPECT_TRUE(log_.empty());
  Turn();
  EXPECT_EQ(log_, (std::vector<std::string>{"watch", "timer", "posted", "deferred"}));
}

TEST_P(EventLoopConformanceTest, DestroyingAnObjectCancelsItsCallbacks) {
  Pair pair;
  auto watch = Watch(pair.a, [&](EventLoop::FdEvents) { log_.push_back("watch"); });
  auto timer = loop_->NewTimer([&] { log_.push_back("timer"); });
  timer->Schedule(absl::ZeroDuration());
  auto deferred = loop_->NewDeferred([&] { log_.push_back("deferred"); });
  deferred->Schedule();
  watch.reset();
  timer.reset();
  deferred.reset();
  Turn();
  Turn();
  EXPECT_TRUE(log_.empty());
}

TEST_P(EventLoopConformanceTest, SurvivesAnObjectDestroyedInItsOwnCallback) {
  Pair pair;
  // Captures what lives in the callback itself: it must still be there after the reset.
  auto witness = std::make_shared<std::string>("alive");
  std::unique_ptr<EventLoop::FdWatch> watch =
      Watch(pair.a, [&watch, this, witness](EventLoop::FdEvents) {
        watch.reset();
        log_.push_back(*witness);
      });
  std::unique_ptr<EventLoop::Timer> timer = loop_->NewTimer([&timer, this, witness] {
    timer.reset();
    log_.push_back(*witness);
  });
  timer->Schedule(absl::ZeroDuration());
  std::unique_ptr<EventLoop::Deferred> deferred = loop_->NewDeferred([&deferred, this, witness] {
    deferred.reset();
    log_.push_back(*witness);
  });
  deferred->Schedule();
  Turn();
  EXPECT_EQ(log_, (std::vector<std::string>{"alive", "alive", "alive"}));
  EXPECT_EQ(witness.use_count(), 1);
}

TEST_P(EventLoopConformanceTest, DefersTheEndOfAnObjectToTheEndOfTheTurn) {
  Pair one, two;
  auto owned = std::make_unique<int>(7);
  auto remove = loop_->NewDeferred([&] { owned.reset(); });
  auto ask = [&](EventLoop::FdEvents) {
    remove->Schedule();
    ASSERT_NE(owned, nullptr) << "removed before the other callbacks of the turn had run";
    log_.push_back("asked");
  };
  auto watch_one = Watch(one.a, ask);
  auto watch_two = Watch(two.a, ask);
  Turn();
  EXPECT_EQ(log_.size(), 2u);
  EXPECT_EQ(owned, nullptr);
}

TEST_P(EventLoopConformanceTest, RunsWhatADeferredTaskDefersInTheNextTurn) {
  std::unique_ptr<EventLoop::Deferred> task;
  int runs = 0;
  task = loop_->NewDeferred([&] {
    if (++runs < 3) task->Schedule();
  });
  task->Schedule();
  task->Schedule();
  Turn();
  EXPECT_EQ(runs, 1);
  Turn();
  EXPECT_EQ(runs, 2);
  Turn();
  Turn();
  EXPECT_EQ(runs, 3);
}

TEST_P(EventLoopConformanceTest, KeepsTimeConstantWithinATurn) {
  Pair pair;
  std::vector<absl::Duration> now;
  std::vector<absl::Time> wall;
  auto note = [&] {
    now.push_back(loop_->Now());
    wall.push_back(loop_->WallNow());
    subject_.clock->Advance(absl::Seconds(1));
  };
  auto watch = Watch(pair.a, [&](EventLoop::FdEvents) { note(); });
  auto deferred = loop_->NewDeferred(note);
  deferred->Schedule();
  loop_->Post(note);
  Turn();
  ASSERT_EQ(now.size(), 3u);
  EXPECT_EQ(now[0], now[2]);
  EXPECT_EQ(wall[0], wall[2]);
  loop_->Post(note);
  Turn();
  EXPECT_EQ(now[3], now[0] + absl::Seconds(3));
}

TEST_P(EventLoopConformanceTest, FiresTimersInTheOrderOfTheirDeadlines) {
  auto late = loop_->NewTimer([&] { log_.push_back("late"); });
  auto early = loop_->NewTimer([&] { log_.push_back("early"); });
  late->Schedule(absl::Seconds(2));
  early->Schedule(absl::Seconds(1));
  Turn();
  EXPECT_TRUE(log_.empty());
  EXPECT_TRUE(early->scheduled());
  subject_.clock->Advance(absl::Seconds(3));
  Turn();
  EXPECT_EQ(log_, (std::vector<std::string>{"early", "late"}));
  EXPECT_FALSE(early->scheduled());
}

TEST_P(EventLoopConformanceTest, ReplacesAnEarlierScheduleOfATimer) {
  int fired = 0;
  auto timer = loop_->NewTimer([&] { ++fired; });
  timer->Schedule(absl::Seconds(1));
  timer->Schedule(absl::Seconds(10));
  subject_.clock->Advance(absl::Seconds(5));
  Turn();
  EXPECT_EQ(fired, 0);
  subject_.clock->Advance(absl::Seconds(5));
  Turn();
  EXPECT_EQ(fired, 1);
}

TEST_P(EventLoopConformanceTest, FiresATimerThatRearmsItselfOncePerTurn) {
  std::unique_ptr<EventLoop::Timer> timer;
  int fired = 0;
  timer = loop_->NewTimer([&] {
    ++fired;
    timer->Schedule(absl::ZeroDuration());
  });
  timer->Schedule(absl::ZeroDuration());
  Turn();
  EXPECT_EQ(fired, 1);
  Turn();
  EXPECT_EQ(fired, 2);
}

TEST_P(EventLoopConformanceTest, RefusesADescriptorThatIsNotOpen) {
  EXPECT_FALSE(loop_->Watch(-1, [](EventLoop::FdEvents) {}).ok());
}

INSTANTIATE_TEST_SUITE_P(Loops, EventLoopConformanceTest, ::testing::Values(MakeEpoll, MakeManual),
                         [](const ::testing::TestParamInfo<std::function<Subject()>>& info) {
                           return info.index == 0 ? "Epoll" : "Manual";
                         });

}  // namespace
}  // namespace byrnie
