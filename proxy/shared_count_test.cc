#include "proxy/shared_count.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(SharedCountTest, CountsUpToTheLimitAndGivesBack) {
  SharedCount count;
  EXPECT_TRUE(count.TryAdd(2));
  EXPECT_TRUE(count.TryAdd(2));
  EXPECT_FALSE(count.TryAdd(2));
  count.Remove();
  EXPECT_TRUE(count.TryAdd(2));
  EXPECT_EQ(count.value(), 2u);
}

TEST(SharedCountTest, ThreadsTogetherNeverGetMoreThanTheLimit) {
  constexpr size_t kLimit = 3;
  SharedCount count;
  std::atomic<size_t> held{0};
  std::atomic<bool> exceeded{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int step = 0; step < 10000; ++step) {
        if (!count.TryAdd(kLimit)) continue;
        if (++held > kLimit) exceeded = true;
        --held;
        count.Remove();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(count.value(), 0u);
}

}  // namespace
}  // namespace byrnie
