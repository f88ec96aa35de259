#include "certagent/socket_permissions.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(SocketPermissionsTest, WarnsOfADirectoryInWhichOthersMayReplaceTheSocket) {
  std::string directory = absl::StrCat(::testing::TempDir(), "/link.XXXXXX");
  ASSERT_NE(mkdtemp(&directory[0]), nullptr);
  const std::string socket = absl::StrCat(directory, "/agent.sock");
  for (mode_t mode : {0700, 0755, 01777, 01770}) {
    ASSERT_EQ(chmod(directory.c_str(), mode), 0);
    EXPECT_EQ(SocketDirectoryWarning(socket), "") << mode;
  }
  for (mode_t mode : {0777, 0770, 0702, 02777}) {
    ASSERT_EQ(chmod(directory.c_str(), mode), 0);
    EXPECT_THAT(SocketDirectoryWarning(socket),
                AllOf(HasSubstr(absl::StrCat("chmod 700 ", directory)), HasSubstr("(mode ")));
  }
  EXPECT_EQ(SocketDirectoryWarning(absl::StrCat(directory, "/none/agent.sock")), "");
}

TEST(SocketPermissionsTest, MakesTheDirectoryForItsOwnUserAlone) {
  std::string volume = absl::StrCat(::testing::TempDir(), "/volume.XXXXXX");
  ASSERT_NE(mkdtemp(&volume[0]), nullptr);
  ASSERT_EQ(chmod(volume.c_str(), 0777), 0);
  const std::string socket = absl::StrCat(volume, "/link/agent.sock");
  MakeSocketDirectory(socket);
  struct stat info;
  ASSERT_EQ(stat(absl::StrCat(volume, "/link").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_EQ(SocketDirectoryWarning(socket), "");
  // What is there stays as it is.
  ASSERT_EQ(chmod(absl::StrCat(volume, "/link").c_str(), 0750), 0);
  MakeSocketDirectory(socket);
  ASSERT_EQ(stat(absl::StrCat(volume, "/link").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0750u);
}

}  // namespace
}  // namespace byrnie
