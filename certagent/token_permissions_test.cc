#include "certagent/token_permissions.h"

#include <sys/stat.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kJoinToken[] = "c2VjcmV0LXRva2VuLW9mLXRoZS1tZXNo";

std::string File(const std::string& content, mode_t mode) {
  const std::string path = absl::StrCat(
      ::testing::TempDir(), "/", ::testing::UnitTest::GetInstance()->current_test_info()->name());
  std::ofstream(path) << content;
  EXPECT_EQ(chmod(path.c_str(), mode), 0);
  return path;
}

TEST(TokenPermissionsTest, WarnsOfAJoinTokenThatOthersMayRead) {
  EXPECT_EQ(TokenFileWarning(File(kJoinToken, 0600)), "");
  for (mode_t mode : {0644, 0640, 0604}) {
    const std::string path = File(kJoinToken, mode);
    EXPECT_THAT(TokenFileWarning(path),
                AllOf(HasSubstr(absl::StrCat("chmod 600 ", path)), HasSubstr("(mode 06")));
    EXPECT_THAT(TokenFileWarning(path), Not(HasSubstr(kJoinToken)));
  }
}

TEST(TokenPermissionsTest, LetsAProjectedTokenBe) {
  EXPECT_EQ(TokenFileWarning(File("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", 0644)), "");
}

}  // namespace
}  // namespace byrnie
