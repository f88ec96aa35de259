#include "common/http2/output_buffer.h"

#include <algorithm>
#include <string>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

void Append(OutputBuffer* buffer, absl::string_view text) {
  buffer->Append(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

std::string Text(const OutputBuffer& buffer) {
  return std::string(reinterpret_cast<const char*>(buffer.bytes().data()), buffer.size());
}

TEST(OutputBufferTest, GivesBytesInOrderAndCountsThem) {
  OutputBuffer buffer(nullptr);
  Append(&buffer, "one");
  Append(&buffer, "");
  Append(&buffer, "two");
  EXPECT_EQ(Text(buffer), "onetwo");
  buffer.Consume(4);
  EXPECT_EQ(Text(buffer), "wo");
  EXPECT_EQ(buffer.end_mark(), 6u);
  EXPECT_EQ(buffer.taken_mark(), 4u);
}

TEST(OutputBufferTest, KeepsItsCountWhenItsMemoryIsGivenBack) {
  OutputBuffer buffer(nullptr);
  Append(&buffer, "gone");
  buffer.Consume(4);
  buffer.Settle();
  Append(&buffer, "new");
  EXPECT_EQ(Text(buffer), "new");
  EXPECT_EQ(buffer.taken_mark(), 4u);
  EXPECT_EQ(buffer.end_mark(), 7u);
}

TEST(OutputBufferTest, KeepsEveryByteWhileItGrowsAndMovesUp) {
  OutputBuffer buffer(nullptr);
  std::string expected, taken;
  for (int i = 0; i < 3000; ++i) {
    const std::string piece(static_cast<size_t>(i % 97), static_cast<char>('a' + i % 26));
    Append(&buffer, piece);
    expected += piece;
    const size_t take = std::min<size_t>(buffer.size(), static_cast<size_t>(i % 89));
    taken += Text(buffer).substr(0, take);
    buffer.Consume(take);
  }
  EXPECT_EQ(taken + Text(buffer), expected);
  EXPECT_EQ(buffer.end_mark(), expected.size());
}

}  // namespace
}  // namespace byrnie
