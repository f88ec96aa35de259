#include "controlplane/attest/used_tokens.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

using Result = UsedTokens::Result;

class UsedTokensTest : public ::testing::Test {
 protected:
  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  const absl::Time end_ = now_ + absl::Minutes(1);
  UsedTokens tokens_{3};
};

TEST_F(UsedTokensTest, ATokenCountsOnceUntilItsEnd) {
  EXPECT_EQ(tokens_.Note("i", "a", end_, now_), Result::kNoted);
  EXPECT_EQ(tokens_.Note("i", "a", end_, now_), Result::kUsed);
  EXPECT_EQ(tokens_.Note("i", "a", end_, end_ - absl::Nanoseconds(1)), Result::kUsed);
  // From then on nobody takes it, and it need not be remembered.
  EXPECT_EQ(tokens_.Note("i", "a", end_, end_), Result::kNoted);
}

TEST_F(UsedTokensTest, IssuersAreApart) {
  EXPECT_EQ(tokens_.Note("i", "a", end_, now_), Result::kNoted);
  EXPECT_EQ(tokens_.Note("j", "a", end_, now_), Result::kNoted);
  EXPECT_EQ(tokens_.Note("j", "a", end_, now_), Result::kUsed);
}

TEST_F(UsedTokensTest, ForgetsNothingWhenItIsFull) {
  for (const char* hash : {"a", "b", "c"}) {
    EXPECT_EQ(tokens_.Note("i", hash, end_, now_), Result::kNoted);
  }
  EXPECT_EQ(tokens_.Note("i", "d", end_, now_), Result::kFull);
  EXPECT_EQ(tokens_.Note("i", "a", end_, now_), Result::kUsed);
  EXPECT_EQ(tokens_.Note("j", "d", end_, now_), Result::kNoted);
  // What has ended makes room.
  EXPECT_EQ(tokens_.Note("i", "d", end_ + absl::Minutes(1), end_), Result::kNoted);
}

TEST_F(UsedTokensTest, OfManyAtOnceOneIsFirst) {
  std::atomic<int> noted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      if (tokens_.Note("i", "a", end_, now_) == Result::kNoted) ++noted;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(noted, 1);
}

}  // namespace
}  // namespace byrnie
