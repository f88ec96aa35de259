#include "ctl/named_file.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

std::string NewFolder() {
  std::string path = ::testing::TempDir() + "/named_file.XXXXXX";
  EXPECT_NE(mkdtemp(&path[0]), nullptr);
  return path;
}

mode_t ModeOf(const std::string& path) {
  struct stat info;
  EXPECT_EQ(lstat(path.c_str(), &info), 0);
  return info.st_mode;
}

TEST(NamedFileTest, MakesAndReplacesAFileForItsMakerAlone) {
  const std::string path = NewFolder() + "/report";
  for (const char* const text : {"first and longer", "second"}) {
    ASSERT_THAT(WriteReport(path, text), IsOk());
    EXPECT_EQ(*ReadFile(path, 100), text);
    EXPECT_EQ(ModeOf(path) & 0777, 0600u);
  }
  EXPECT_FALSE(IsSpecialFile(path));
}

TEST(NamedFileTest, KnowsWhatAReportWouldReplace) {
  const std::string path = NewFolder() + "/report";
  EXPECT_THAT(CheckNoReport(path), IsOk());
  ASSERT_THAT(WriteReport(path, "kept"), IsOk());
  EXPECT_THAT(CheckNoReport(path),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("--force to replace it")));
  EXPECT_THAT(CheckNoReport("/dev/null"), IsOk());
}

TEST(NamedFileTest, WritesIntoAPipeAndLeavesItOne) {
  const std::string folder = NewFolder(), path = folder + "/pipe", link = folder + "/link";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  ASSERT_EQ(symlink(path.c_str(), link.c_str()), 0);
  for (const std::string& name : {path, link}) {
    absl::StatusOr<std::string> read = std::string();
    std::thread reader([&] { read = ReadInput(path, 100); });
    EXPECT_THAT(WriteReport(name, "report"), IsOk());
    reader.join();
    EXPECT_EQ(*read, "report");
    EXPECT_TRUE(S_ISFIFO(ModeOf(path)));
    EXPECT_TRUE(IsSpecialFile(name));
  }
  EXPECT_TRUE(S_ISLNK(ModeOf(link)));
}

TEST(NamedFileTest, RefusesALinkToAFileAndLeavesBoth) {
  const std::string folder = NewFolder(), path = folder + "/file", link = folder + "/link";
  ASSERT_THAT(WriteReport(path, "kept"), IsOk());
  ASSERT_EQ(symlink(path.c_str(), link.c_str()), 0);
  ASSERT_EQ(symlink("nowhere", (folder + "/dangling").c_str()), 0);
  for (const std::string& name : {link, folder + "/dangling"}) {
    EXPECT_THAT(WriteReport(name, "report"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("symbolic link")));
    EXPECT_TRUE(S_ISLNK(ModeOf(name)));
  }
  EXPECT_EQ(*ReadFile(path, 100), "kept");
}

TEST(NamedFileTest, RefusesADirectory) {
  const std::string folder = NewFolder();
  EXPECT_FALSE(WriteReport(folder, "report").ok());
  EXPECT_FALSE(ReadInput(folder, 100).ok());
}

TEST(NamedFileTest, ReadsFilesAndPipesUpToALimit) {
  const std::string folder = NewFolder(), path = folder + "/pipe", file = folder + "/file";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  ASSERT_THAT(WriteReport(file, "secret"), IsOk());
  for (const std::string& name : {path, file}) {
    const auto feed = [&] {
      if (name != path) return;
      EXPECT_THAT(WriteReport(path, "secret"), IsOk());
    };
    std::thread first(feed);
    const absl::StatusOr<SecretBytes> secret = ReadSecretInput(name, 6);
    first.join();
    ASSERT_THAT(secret, IsOk());
    EXPECT_EQ(secret->view(), "secret");
    std::thread second(feed);
    EXPECT_THAT(ReadInput(name, 5), StatusIs(absl::StatusCode::kInvalidArgument));
    second.join();
  }
}

}  // namespace
}  // namespace byrnie
