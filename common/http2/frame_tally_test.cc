#include "common/http2/frame_tally.h"

#include <string>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

std::string Frame(uint8_t type, size_t length, uint8_t flags = 1) {
  std::string frame;
  for (int shift : {16, 8, 0}) frame.push_back(static_cast<char>(length >> shift));
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  // What would be lengths and types if it were read for them.
  frame.append(4, '\x09');
  return frame + std::string(length, '\x03');
}

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

TEST(FrameTallyTest, CountsTheSameHoweverTheBytesAreCut) {
  std::string bytes(24, 'P');
  for (uint8_t type : {0, 2, 4, 5, 6, 7, 16, 255}) bytes += Frame(type, type % 3);
  for (uint8_t type : {1, 3, 8, 9}) bytes += Frame(type, 10) + Frame(type, 0);
  for (size_t size : {size_t{1}, size_t{2}, size_t{7}, size_t{10}, bytes.size()}) {
    FrameTally tally(24);
    FrameTally::Counts sum;
    for (size_t at = 0; at < bytes.size(); at += size) {
      const FrameTally::Counts counts = tally.Take(Bytes(bytes.substr(at, size)));
      sum.of_streams += counts.of_streams;
      sum.others += counts.others;
    }
    EXPECT_EQ(sum.of_streams, 8u) << size;
    EXPECT_EQ(sum.others, 8u) << size;
  }
}

TEST(FrameTallyTest, CountsAFrameWhenItIsWhole) {
  FrameTally tally(0);
  const std::string frame = Frame(8, 4);
  EXPECT_EQ(tally.Take(Bytes(frame.substr(0, 12))).of_streams, 0u);
  EXPECT_EQ(tally.Take(Bytes(frame.substr(12))).of_streams, 1u);
  EXPECT_EQ(tally.Take({}).of_streams, 0u);
  // The last byte of one and the first of the next.
  EXPECT_EQ(tally.Take(Bytes(frame + frame.substr(0, 1))).of_streams, 1u);
  EXPECT_EQ(tally.Take(Bytes(frame.substr(1))).of_streams, 1u);
}

TEST(FrameTallyTest, CountsByTheKilobyteWhatNobodyReads) {
  FrameTally tally(0);
  EXPECT_EQ(tally.Take(Bytes(Frame(0x42, 1023))).others, 1u);
  EXPECT_EQ(tally.Take(Bytes(Frame(0x42, 16384))).others, 17u);
  EXPECT_EQ(tally.Take(Bytes(Frame(7, 2048))).others, 3u);
}

TEST(FrameTallyTest, CountsDataOnlyWhereThereMayBeNone) {
  FrameTally tally(0);
  EXPECT_EQ(tally.Take(Bytes(Frame(0, 1) + Frame(0, 16384))).others, 0u);
  EXPECT_EQ(tally.Take(Bytes(Frame(0, 0))).others, 1u);
  EXPECT_EQ(tally.Take(Bytes(Frame(0, 200, /*flags=*/8))).others, 1u) << "it may be padding";
}

}  // namespace
}  // namespace byrnie
