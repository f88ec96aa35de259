#include "proxy/buffer_budget.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;

TEST(BufferBudgetTest, EveryBufferHasItsLeastHoweverShortItIs) {
  Gauge held;
  SharedBufferBudget budget(kMiB, &held);
  BufferUse all(&budget, 0);
  all.Set(kMiB, kMiB);
  EXPECT_EQ(budget.Share(), 0u);
  BufferUse use(&budget, 4 * kKiB);
  EXPECT_EQ(use.Limit(64 * kKiB), 4 * kKiB);
  use.Set(4 * kKiB, 4 * kKiB);
  all.Set(0, 0);
  EXPECT_EQ(use.Limit(32 * kKiB), 32 * kKiB);
  EXPECT_EQ(use.Limit(kMiB), kMiB / 16);
  EXPECT_EQ(held.value(), static_cast<int64_t>(4 * kKiB));
}

TEST(BufferBudgetTest, ManyThatGrowEndUpAlikeAndWithinTheLimit) {
  Gauge held;
  SharedBufferBudget budget(16 * kMiB, &held);
  std::vector<std::unique_ptr<BufferUse>> uses;
  for (int i = 0; i < 1000; ++i) uses.push_back(std::make_unique<BufferUse>(&budget, 4 * kKiB));
  size_t all = 0;
  for (int round = 0; round < 20; ++round) {
    all = 0;
    for (const auto& use : uses) {
      const size_t size = use->Limit(256 * kKiB);
      use->Set(size, size);
      all += size;
    }
  }
  EXPECT_LE(all, 16 * kMiB + uses.size() * 4 * kKiB);
  EXPECT_GT(all, 12 * kMiB);
  EXPECT_EQ(held.value(), static_cast<int64_t>(all));
  uses.clear();
  EXPECT_EQ(held.value(), 0);
  EXPECT_EQ(budget.Unfilled(), 0u);
  EXPECT_EQ(budget.Share(), kMiB);
}

TEST(BufferBudgetTest, AFewMayBeLargerThanManyCouldBe) {
  Gauge held;
  SharedBufferBudget budget(64 * kMiB, &held);
  std::vector<std::unique_ptr<BufferUse>> uses;
  for (int i = 0; i < 100; ++i) uses.push_back(std::make_unique<BufferUse>(&budget, 4 * kKiB));
  EXPECT_EQ(uses[0]->LimitOfFew(256 * kKiB, kMiB), kMiB);
  size_t all = 0;
  for (const auto& use : uses) {
    const size_t size = use->LimitOfFew(256 * kKiB, kMiB);
    EXPECT_GE(size, 256 * kKiB);
    use->Set(size, size);
    all += size;
  }
  EXPECT_LT(all, 32 * kMiB);
  EXPECT_EQ(uses[99]->LimitOfFew(256 * kKiB, kMiB), 256 * kKiB);
  EXPECT_EQ(BufferUse(nullptr, 4 * kKiB).LimitOfFew(256 * kKiB, kMiB), kMiB);
}

TEST(BufferBudgetTest, WhatIsPromisedCountsLikeWhatIsThere) {
  Gauge held;
  SharedBufferBudget budget(kMiB, &held);
  BufferUse use(&budget, 4 * kKiB);
  EXPECT_EQ(budget.Unfilled(), 4 * kKiB);
  use.Set(64 * kKiB, 10 * kKiB);
  EXPECT_EQ(budget.Unfilled(), 54 * kKiB);
  EXPECT_EQ(budget.Share(), (kMiB - 60 * kKiB) / 16);
}

TEST(BufferBudgetTest, GrowsOnlyIntoMemoryThatIsThere) {
  Gauge held;
  SharedBufferBudget budget(16 * kMiB, &held);
  BufferUse use(&budget, 4 * kKiB);
  use.Set(64 * kKiB, 0);
  budget.SetMemoryLeft(static_cast<int64_t>(64 * kKiB + kMiB));
  EXPECT_EQ(budget.Share(), kMiB / 16) << "what is promised is not left";
  budget.SetMemoryLeft(-1);
  EXPECT_EQ(budget.Share(), 0u);
  EXPECT_EQ(use.Limit(256 * kKiB), 4 * kKiB);
  budget.SetMemoryLeft(static_cast<int64_t>(100 * kMiB));
  EXPECT_EQ(budget.Share(), (16 * kMiB - 60 * kKiB) / 16) << "the limit stays";
}

}  // namespace
}  // namespace byrnie
