#include "common/net/turn_buffer.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/net/scratch_pool.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

void Append(TurnBuffer* buffer, absl::string_view text) {
  buffer->Append(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

std::string Text(const TurnBuffer& buffer) {
  return std::string(reinterpret_cast<const char*>(buffer.bytes().data()), buffer.size());
}

TEST(TurnBufferTest, AllocatesNothingWithinATurn) {
  ScratchPool pool;
  TurnBuffer buffer(&pool);
  EXPECT_EQ(pool.lent(), 0u);
  Append(&buffer, std::string(200 * 1024, 'x'));
  EXPECT_EQ(buffer.allocated(), 0u);
  EXPECT_EQ(pool.lent(), 1u);
  buffer.Consume(buffer.size());
  buffer.Settle();
  EXPECT_EQ(pool.lent(), 0u);
  EXPECT_EQ(buffer.allocated(), 0u);
}

TEST(TurnBufferTest, KeepsWhatIsLeftInMemoryOfItsOwn) {
  ScratchPool pool;
  TurnBuffer buffer(&pool);
  Append(&buffer, "taken left");
  buffer.Consume(6);
  buffer.Settle();
  EXPECT_EQ(Text(buffer), "left");
  EXPECT_EQ(pool.lent(), 0u);
  EXPECT_EQ(buffer.allocated(), 4u);
  // What follows it goes to the same memory, for it has to be in one piece.
  Append(&buffer, " and more");
  EXPECT_EQ(Text(buffer), "left and more");
  buffer.Consume(buffer.size());
  Append(&buffer, std::string(20 * 1024, 'y'));
  EXPECT_EQ(buffer.allocated(), 0u);
  EXPECT_EQ(Text(buffer), std::string(20 * 1024, 'y'));
}

TEST(TurnBufferTest, OutgrowsItsBlock) {
  ScratchPool pool;
  TurnBuffer buffer(&pool);
  const std::string first(ScratchPool::kBlockSize - 1, 'a');
  Append(&buffer, first);
  Append(&buffer, "bc");
  EXPECT_EQ(Text(buffer), first + "bc");
  EXPECT_EQ(pool.lent(), 0u);
}

TEST(TurnBufferTest, WorksWithoutScratchMemoryToLend) {
  ScratchPool pool;
  std::vector<ScratchPool::Block> lent;
  while (lent.size() < ScratchPool::kMostLent) lent.push_back(pool.Borrow());
  TurnBuffer one(&pool);
  TurnBuffer other(nullptr);
  for (TurnBuffer* buffer : {&one, &other}) {
    Append(buffer, "text");
    EXPECT_EQ(Text(*buffer), "text");
    EXPECT_GT(buffer->allocated(), 0u);
    buffer->Consume(4);
    buffer->Settle();
    EXPECT_EQ(buffer->allocated(), 0u);
  }
}

TEST(TurnBufferTest, CountsOnlyWhatIsCommittedOfItsRoom) {
  ScratchPool pool;
  for (ScratchPool* scratch : {&pool, static_cast<ScratchPool*>(nullptr)}) {
    TurnBuffer buffer(scratch);
    Append(&buffer, "1");
    const absl::Span<uint8_t> room = buffer.Room(100);
    ASSERT_GE(room.size(), 100u);
    room[0] = '2';
    room[1] = '3';
    buffer.Commit(1);
    EXPECT_EQ(Text(buffer), "12");
  }
}

TEST(TurnBufferTest, KeepsEveryByteWhileItGrowsAndMovesAndSettles) {
  ScratchPool pool;
  for (ScratchPool* scratch : {&pool, static_cast<ScratchPool*>(nullptr)}) {
    TurnBuffer buffer(scratch);
    std::string expected, taken;
    for (int i = 0; i < 3000; ++i) {
      const std::string piece(static_cast<size_t>(i * 7 % 997), static_cast<char>('a' + i % 26));
      Append(&buffer, piece);
      expected += piece;
      const size_t take = std::min<size_t>(buffer.size(), static_cast<size_t>(i * 11 % 1009));
      taken += Text(buffer).substr(0, take);
      buffer.Consume(take);
      if (i % 5 == 0) buffer.Settle();
    }
    EXPECT_EQ(taken + Text(buffer), expected);
  }
}

}  // namespace
}  // namespace byrnie
