#include "common/http2/chunk_queue.h"

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

std::vector<uint8_t> Pattern(size_t size) {
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 31 + i / 251);
  return bytes;
}

TEST(ChunkQueueTest, CountsTheMemoryAndNotTheBytes) {
  ChunkQueue queue;
  EXPECT_EQ(queue.allocated(), 0u);
  const std::vector<uint8_t> sent = Pattern(20000);
  queue.Append(absl::MakeConstSpan(sent).first(1));
  EXPECT_GE(queue.allocated(), 512u);
  queue.Append(sent);
  const size_t all = queue.allocated();
  EXPECT_GE(all, 20001u);
  EXPECT_LE(all, 21000u);
  std::vector<uint8_t> buffer(19000);
  queue.Take(absl::MakeSpan(buffer));
  EXPECT_LT(queue.allocated(), all);
  queue.Clear();
  EXPECT_EQ(queue.allocated(), 0u);
}

TEST(ChunkQueueTest, GivesBytesBackInOrderWhateverTheSizes) {
  const std::vector<uint8_t> sent = Pattern(100000);
  for (size_t in : {1, 7, 511, 512, 513, 20000}) {
    for (size_t out : {1, 13, 4096, 65536}) {
      ChunkQueue queue;
      std::vector<uint8_t> got;
      std::vector<uint8_t> buffer(out);
      for (size_t at = 0; at < sent.size(); at += in) {
        queue.Append(absl::MakeConstSpan(sent).subspan(at, in));
        if (at % 3 == 0) {
          const size_t n = queue.Take(absl::MakeSpan(buffer));
          got.insert(got.end(), buffer.begin(), buffer.begin() + n);
        }
      }
      while (!queue.empty()) {
        const size_t n = queue.Take(absl::MakeSpan(buffer));
        ASSERT_GT(n, 0u);
        got.insert(got.end(), buffer.begin(), buffer.begin() + n);
      }
      EXPECT_EQ(got, sent) << in << " " << out;
    }
  }
}

TEST(ChunkQueueTest, TakesNothingFromAnEmptyQueue) {
  ChunkQueue queue;
  uint8_t byte;
  EXPECT_EQ(queue.Take(absl::MakeSpan(&byte, 1)), 0u);
  queue.Append({});
  EXPECT_TRUE(queue.empty());
}

TEST(ChunkQueueTest, ClearsAndGoesOn) {
  ChunkQueue queue;
  queue.Append(Pattern(50000));
  queue.Clear();
  EXPECT_EQ(queue.size(), 0u);
  const uint8_t byte = 42;
  queue.Append(absl::MakeConstSpan(&byte, 1));
  uint8_t got = 0;
  EXPECT_EQ(queue.Take(absl::MakeSpan(&got, 1)), 1u);
  EXPECT_EQ(got, 42);
}

}  // namespace
}  // namespace byrnie
