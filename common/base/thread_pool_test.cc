#include "common/base/thread_pool.h"

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;

// Work of one source, which is taken.
void Start(ThreadPool* pool, absl::AnyInvocable<void()> run, absl::string_view source = "one") {
  pool->Run(source, {std::move(run), [] { ADD_FAILURE() << "refused"; }});
}

// Keeps the one thread of a pool until it is let go.
class Busy {
 public:
  explicit Busy(ThreadPool* pool) {
    Start(pool, [this] {
      began_.Notify();
      go_.WaitForNotification();
    });
    began_.WaitForNotification();
  }
  void LetGo() { go_.Notify(); }

 private:
  absl::Notification began_, go_;
};

TEST(ThreadPoolTest, RunsAllThatWasTakenBeforeItEnds) {
  std::atomic<int> ran{0};
  {
    ThreadPool pool(3, 1000);
    for (int i = 0; i < 1000; ++i) Start(&pool, [&ran] { ++ran; });
  }
  EXPECT_EQ(ran, 1000);
}

TEST(ThreadPoolTest, StartsAThreadForWorkThatWouldWait) {
  ThreadPool pool(3, 0);
  // Each waits for the others: one thread could not do them one after the other.
  absl::BlockingCounter all(3);
  absl::Notification go;
  for (int i = 0; i < 3; ++i) {
    Start(&pool, [&all, &go] {
      all.DecrementCount();
      go.WaitForNotification();
    });
  }
  all.Wait();
  go.Notify();
}

TEST(ThreadPoolTest, RefusesWhatIsTooMuch) {
  std::atomic<int> ran{0};
  {
    ThreadPool pool(1, 2);
    Busy busy(&pool);
    Start(&pool, [&ran] { ++ran; });
    Start(&pool, [&ran] { ++ran; });
    pool.Run("one", {[&ran] { ran += 10; }, [&ran] { ran += 100; }});
    EXPECT_EQ(ran, 100);
    busy.LetGo();
  }
  EXPECT_EQ(ran, 102);
}

// A flood waits for itself.
TEST(ThreadPoolTest, SourcesTakeTurns) {
  std::vector<std::string> order;
  const auto note = [&order](absl::string_view what) {
    return [&order, what] { order.emplace_back(what); };
  };
  {
    ThreadPool pool(1, 100);
    Busy busy(&pool);
    for (const char* what : {"a1", "a2", "a3", "a4"}) Start(&pool, note(what), "a");
    for (const char* what : {"b1", "b2"}) Start(&pool, note(what), "b");
    Start(&pool, note("c1"), "c");
    busy.LetGo();
  }
  EXPECT_THAT(order, ElementsAre("a1", "b1", "c1", "a2", "b2", "a3", "a4"));
}

TEST(ThreadPoolTest, WhoHasMostWaitingMakesRoom) {
  std::vector<std::string> order;
  const auto work = [&order](const std::string& what) {
    return ThreadPool::Work{[&order, what] { order.push_back(what); },
                            [&order, what] { order.push_back("not " + what); }};
  };
  {
    ThreadPool pool(1, 3);
    Busy busy(&pool);
    for (const char* what : {"a1", "a2", "a3"}) pool.Run("a", work(what));
    pool.Run("b", work("b1"));
    // No source has more than b would: it is refused itself, and so is the one that has as much.
    pool.Run("b", work("b2"));
    pool.Run("a", work("a4"));
    pool.Run("c", work("c1"));
    pool.Run("d", work("d1"));
    busy.LetGo();
  }
  EXPECT_THAT(order,
              ElementsAre("not a3", "not b2", "not a4", "not a2", "not d1", "a1", "b1", "c1"));
}

TEST(ThreadPoolTest, TakesWorkUpInTheOrderItCame) {
  std::vector<int> order;
  {
    ThreadPool pool(1, 100);
    for (int i = 0; i < 100; ++i) Start(&pool, [&order, i] { order.push_back(i); });
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
}

TEST(ThreadPoolTest, UsesAThreadThatIsIdleAgain) {
  ThreadPool pool(8, 50);
  std::set<std::thread::id> used;
  for (int i = 0; i < 50; ++i) {
    absl::Notification done;
    Start(&pool, [&used, &done] {
      used.insert(std::this_thread::get_id());
      done.Notify();
    });
    done.WaitForNotification();
  }
  EXPECT_LE(used.size(), 8u);
}

TEST(ThreadPoolTest, LetsGoOfWhatWorkHoldsWhenItIsDone) {
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> watched = held;
  ThreadPool pool(1, 2);
  Start(&pool, [held = std::move(held)] {});
  absl::Notification after;
  Start(&pool, [&after] { after.Notify(); });
  after.WaitForNotification();
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace byrnie
