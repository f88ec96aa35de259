#include "test/bench/load/bulk_order.h"

#include <string>

#include "gtest/gtest.h"

namespace byrnie::load {
namespace {

using State = BulkOrderParser::State;

TEST(BulkOrderTest, ComesBackAsItWas) {
  for (const bool upload : {true, false}) {
    for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 30, ~uint64_t{0}}) {
      const std::string text = BulkOrder{upload, bytes}.Encode();
      absl::string_view data = text;
      BulkOrderParser parser;
      ASSERT_EQ(parser.Parse(&data), State::kComplete);
      EXPECT_TRUE(data.empty());
      EXPECT_EQ(parser.order().upload, upload);
      EXPECT_EQ(parser.order().bytes, bytes);
    }
  }
}

TEST(BulkOrderTest, LeavesWhatFollows) {
  const std::string text = BulkOrder{true, 3}.Encode() + "abc" + BulkOrder{false, 5}.Encode();
  absl::string_view data = text;
  BulkOrderParser parser;
  ASSERT_EQ(parser.Parse(&data), State::kComplete);
  ASSERT_EQ(data.substr(0, 3), "abc");
  data.remove_prefix(3);
  parser.Next();
  ASSERT_EQ(parser.Parse(&data), State::kComplete);
  EXPECT_FALSE(parser.order().upload);
  EXPECT_EQ(parser.order().bytes, 5u);
}

TEST(BulkOrderTest, ComesByteByByte) {
  const std::string text = BulkOrder{false, 0x0102030405060708}.Encode();
  BulkOrderParser parser;
  for (size_t i = 0; i < text.size(); ++i) {
    absl::string_view data = absl::string_view(text).substr(i, 1);
    EXPECT_EQ(parser.Parse(&data), i + 1 < text.size() ? State::kIncomplete : State::kComplete);
  }
  EXPECT_EQ(parser.order().bytes, 0x0102030405060708u);
}

TEST(BulkOrderTest, RefusesOtherLetters) {
  BulkOrderParser parser;
  absl::string_view data = "GET / HTTP/1.1";
  EXPECT_EQ(parser.Parse(&data), State::kBad);
  data = "U";
  EXPECT_EQ(parser.Parse(&data), State::kBad);
}

TEST(BulkOrderTest, WaitsForTheFirstByte) {
  BulkOrderParser parser;
  absl::string_view data;
  EXPECT_EQ(parser.Parse(&data), State::kIncomplete);
}

}  // namespace
}  // namespace byrnie::load
