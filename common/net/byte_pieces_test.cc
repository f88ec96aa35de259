#include "common/net/byte_pieces.h"

#include <cstdint>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(BytePiecesTest, LosesWhatHasBeenTakenAcrossPieces) {
  const uint8_t bytes[] = {1, 2, 3, 4, 5, 6};
  const absl::Span<const uint8_t> all(bytes);
  BytePieces pieces;
  EXPECT_TRUE(pieces.empty());
  EXPECT_THAT(pieces.pieces(), IsEmpty());
  pieces.Add(all.first(2));
  pieces.Add(all.subspan(2, 1));
  pieces.Add(all.subspan(3));
  EXPECT_EQ(pieces.size(), 6u);
  EXPECT_THAT(pieces.pieces(),
              ElementsAre(ElementsAre(1, 2), ElementsAre(3), ElementsAre(4, 5, 6)));
  pieces.Skip(0);
  pieces.Skip(1);
  EXPECT_THAT(pieces.pieces(), ElementsAre(ElementsAre(2), ElementsAre(3), ElementsAre(4, 5, 6)));
  pieces.Skip(3);
  EXPECT_EQ(pieces.size(), 2u);
  EXPECT_THAT(pieces.pieces(), ElementsAre(ElementsAre(5, 6)));
  pieces.Skip(2);
  EXPECT_TRUE(pieces.empty());
  EXPECT_THAT(pieces.pieces(), IsEmpty());
}

TEST(BytePiecesTest, IsFullAtSomeTime) {
  const uint8_t byte[] = {1};
  BytePieces pieces;
  for (size_t i = 0; i < BytePieces::kMost; ++i) {
    EXPECT_FALSE(pieces.full());
    pieces.Add(byte);
  }
  EXPECT_TRUE(pieces.full());
  pieces.Clear();
  EXPECT_FALSE(pieces.full());
}

TEST(BytePiecesTest, BeginsAnewWhenItHasBeenCleared) {
  const uint8_t bytes[] = {1, 2, 3};
  BytePieces pieces;
  pieces.Add(bytes);
  pieces.Skip(1);
  pieces.Clear();
  EXPECT_EQ(pieces.size(), 0u);
  pieces.Add(absl::MakeConstSpan(bytes).first(1));
  EXPECT_THAT(pieces.pieces(), ElementsAre(ElementsAre(1)));
}

}  // namespace
}  // namespace byrnie
