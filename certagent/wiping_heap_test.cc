#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>

#include "gtest/gtest.h"

namespace {

// The bytes at an address, by way of the kernel: what was freed may not be looked at otherwise.
std::string Look(uintptr_t address, size_t size) {
  // Not of the heap, which would give out just what is looked for.
  static char bytes[64 * 1024];
  const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  const ssize_t n = pread(memory, bytes, size, static_cast<off_t>(address));
  close(memory);
  EXPECT_EQ(n, static_cast<ssize_t>(size));
  return std::string(bytes, size);
}

class WipingHeapTest : public ::testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    // .bazelrc takes __SANITIZE_THREAD__ away from what includes protobuf, and leaves the other.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(_GLIBCXX_TSAN)
    GTEST_SKIP() << "the sanitizer's heap";
#endif
  }
  // glibc keeps two pointers in a chunk that is free, four in a large one.
  static constexpr size_t kLinks = 32;
};

TEST_P(WipingHeapTest, FreeOverwrites) {
  const size_t size = GetParam();
  void* memory = malloc(size);
  memset(memory, 0xA5, size);
  const auto address = reinterpret_cast<uintptr_t>(memory);
  free(memory);
  EXPECT_EQ(Look(address + kLinks, size - kLinks).find(std::string(8, '\xA5')), std::string::npos);
}

TEST_P(WipingHeapTest, DeleteOverwrites) {
  const size_t size = GetParam();
  auto text = std::make_unique<std::string>(size, '\xA5');
  const auto address = reinterpret_cast<uintptr_t>(text->data());
  text.reset();
  EXPECT_EQ(Look(address + kLinks, size - kLinks).find(std::string(8, '\xA5')), std::string::npos);
}

TEST_P(WipingHeapTest, ReallocKeepsTheContentAndLeavesNoCopy) {
  const size_t size = GetParam();
  char* memory = static_cast<char*>(malloc(size));
  memset(memory, 0xA5, size);
  const auto address = reinterpret_cast<uintptr_t>(memory);
  char* grown = static_cast<char*>(realloc(memory, size * 4));
  EXPECT_EQ(std::string(grown, size), std::string(size, '\xA5'));
  ASSERT_NE(reinterpret_cast<uintptr_t>(grown), address);
  EXPECT_EQ(Look(address + kLinks, size - kLinks).find(std::string(8, '\xA5')), std::string::npos);
  char* shrunk = static_cast<char*>(realloc(grown, size / 2));
  EXPECT_EQ(std::string(shrunk, size / 2), std::string(size / 2, '\xA5'));
  free(shrunk);
}

// Kept by a thread, in bins, and in the middle of the heap.
INSTANTIATE_TEST_SUITE_P(Sizes, WipingHeapTest, ::testing::Values(64, 200, 1000, 5000, 60000));

}  // namespace
