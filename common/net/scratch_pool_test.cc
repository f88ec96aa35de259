#include "common/net/scratch_pool.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(ScratchPoolTest, LendsTheSameBlockAgain) {
  ScratchPool pool;
  ScratchPool::Block block = pool.Borrow();
  ASSERT_TRUE(block);
  uint8_t* const memory = block.data();
  memory[0] = memory[ScratchPool::kBlockSize - 1] = 1;
  EXPECT_EQ(pool.lent(), 1u);
  block = ScratchPool::Block();
  EXPECT_EQ(pool.lent(), 0u);
  EXPECT_EQ(pool.Borrow().data(), memory);
}

TEST(ScratchPoolTest, LendsDifferentBlocksAtOnceAndNotTooMany) {
  ScratchPool pool;
  std::vector<ScratchPool::Block> blocks;
  for (size_t i = 0; i < ScratchPool::kMostLent; ++i) {
    blocks.push_back(pool.Borrow());
    ASSERT_TRUE(blocks.back());
    for (size_t j = 0; j < i; ++j) EXPECT_NE(blocks[i].data(), blocks[j].data());
  }
  EXPECT_FALSE(pool.Borrow());
  EXPECT_EQ(pool.lent(), ScratchPool::kMostLent);
  blocks.pop_back();
  EXPECT_TRUE(pool.Borrow());
}

TEST(ScratchPoolTest, KnowsABlockThatHasMoved) {
  ScratchPool pool;
  ScratchPool::Block one = pool.Borrow();
  uint8_t* const memory = one.data();
  ScratchPool::Block other(std::move(one));
  EXPECT_FALSE(one);
  EXPECT_EQ(other.data(), memory);
  one = std::move(other);
  EXPECT_FALSE(other);
  EXPECT_EQ(one.data(), memory);
  EXPECT_EQ(pool.lent(), 1u);
  one = pool.Borrow();
  EXPECT_EQ(pool.lent(), 1u);
}

TEST(ScratchPoolTest, FreesWhatNobodyHasNeededSinceTheLastTrim) {
  ScratchPool pool;
  { const ScratchPool::Block blocks[] = {pool.Borrow(), pool.Borrow(), pool.Borrow()}; }
  EXPECT_EQ(pool.kept(), 3 * ScratchPool::kBlockSize);
  pool.Trim();
  EXPECT_EQ(pool.kept(), 3 * ScratchPool::kBlockSize);
  pool.Borrow();
  pool.Trim();
  EXPECT_EQ(pool.kept(), ScratchPool::kBlockSize);
  pool.Trim();
  EXPECT_EQ(pool.kept(), 0u);
  EXPECT_TRUE(pool.Borrow());
}

TEST(ScratchPoolTest, KeepsWhatIsLentAcrossATrim) {
  ScratchPool pool;
  const ScratchPool::Block block = pool.Borrow();
  pool.Trim();
  pool.Trim();
  block.data()[0] = 1;
  EXPECT_EQ(pool.lent(), 1u);
}

}  // namespace
}  // namespace byrnie
