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

}  // namespace
}  // namespace byrnie
