#include "common/base/release_memory.h"

#include <string>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(ReleaseMemoryTest, LeavesNothingAllocated) {
  std::string text(100'000, 'x');
  ASSERT_GE(AllocatedMemory(text), 100'000u);
  ReleaseMemory(&text);
  EXPECT_EQ(text, "");
  EXPECT_EQ(AllocatedMemory(text), 0u);
}

TEST(ReleaseMemoryTest, AnEmptyStringMayHoldMemory) {
  std::string text(100'000, 'x');
  text.clear();
  EXPECT_GE(AllocatedMemory(text), 100'000u);
}

}  // namespace
}  // namespace byrnie
