#include "common/base/system_file.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(SystemFileTest, ReadsTheRealFiles) {
  EXPECT_NE(ReadSystemFile("/proc/self/statm").value_or(""), "");
}

TEST(SystemFileTest, SaysNothingOfWhatCannotBeRead) {
  EXPECT_FALSE(ReadSystemFile("/proc/self/nothing").has_value());
  EXPECT_FALSE(ReadSystemFile("/proc/self").has_value());
}

}  // namespace
}  // namespace byrnie
