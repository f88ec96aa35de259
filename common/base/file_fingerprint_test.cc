#include "common/base/file_fingerprint.h"

#include <unistd.h>

#include <cstdio>

#include "common/base/file.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(FileFingerprintTest, TellsAFileFromItsSuccessor) {
  const std::string path = testing::TempDir() + "/fingerprint";
  ::unlink(path.c_str());
  EXPECT_EQ(TakeFileFingerprint(path), absl::nullopt);
  ASSERT_TRUE(WriteFileAtomically(path, "one", 0600).ok());
  const absl::optional<FileFingerprint> one = TakeFileFingerprint(path);
  ASSERT_NE(one, absl::nullopt);
  EXPECT_EQ(TakeFileFingerprint(path), one);
  // Of the same size, and within the resolution of the clock.
  ASSERT_TRUE(WriteFileAtomically(path, "two", 0600).ok());
  EXPECT_FALSE(TakeFileFingerprint(path) == one);
}

}  // namespace
}  // namespace byrnie
