#include "common/base/thread_pool.h"

#include <atomic>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

bool Start(ThreadPool* pool, ThreadPool::Work work) { return pool->TryRun(&work); }

TEST(ThreadPoolTest, RunsAllThatWasTakenBeforeItEnds) {
  std::atomic<int> ran{0};
  {
    ThreadPool pool(3, 1000);
    for (int i = 0; i < 1000; ++i) EXPECT_TRUE(Start(&pool, [&ran] { ++ran; }));
  }
  EXPECT_EQ(ran, 1000);
}

TEST(ThreadPoolTest, StartsAThreadForWorkThatWouldWait) {
  ThreadPool pool(3, 0);
  // Each waits for the others: one thread could not do them one after the other.
  absl::BlockingCounter all(3);
  absl::Notification go;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Start(&pool, [&all, &go] {
      all.DecrementCount();
      go.WaitForNotification();
    }));
  }
  all.Wait();
  go.Notify();
}

TEST(ThreadPoolTest, RefusesWhatIsTooMuchAndLeavesItAlone) {
  absl::Notification began, go;
  std::atomic<int> ran{0};
  {
    ThreadPool pool(1, 2);
    EXPECT_TRUE(Start(&pool, [&began, &go] {
      began.Notify();
      go.WaitForNotification();
    }));
    began.WaitForNotification();
    EXPECT_TRUE(Start(&pool, [&ran] { ++ran; }));
    EXPECT_TRUE(Start(&pool, [&ran] { ++ran; }));
    ThreadPool::Work refused = [&ran] { ran += 100; };
    EXPECT_FALSE(pool.TryRun(&refused));
    refused();
    EXPECT_EQ(ran, 100);
    go.Notify();
  }
  EXPECT_EQ(ran, 102);
}

TEST(ThreadPoolTest, TakesWorkUpInTheOrderItCame) {
  std::vector<int> order;
  {
    ThreadPool pool(1, 100);
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(Start(&pool, [&order, i] { order.push_back(i); }));
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
}

TEST(ThreadPoolTest, UsesAThreadThatIsIdleAgain) {
  ThreadPool pool(8, 50);
  std::set<std::thread::id> used;
  for (int i = 0; i < 50; ++i) {
    absl::Notification done;
    ASSERT_TRUE(Start(&pool, [&used, &done] {
      used.insert(std::this_thread::get_id());
      done.Notify();
    }));
    done.WaitForNotification();
  }
  EXPECT_LE(used.size(), 8u);
}

TEST(ThreadPoolTest, LetsGoOfWhatWorkHoldsWhenItIsDone) {
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> watched = held;
  ThreadPool pool(1, 2);
  EXPECT_TRUE(Start(&pool, [held = std::move(held)] {}));
  absl::Notification after;
  EXPECT_TRUE(Start(&pool, [&after] { after.Notify(); }));
  after.WaitForNotification();
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace byrnie
