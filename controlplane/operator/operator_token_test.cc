#include "controlplane/operator/operator_token.h"

#include <sys/stat.h>

#include <string>

#include "absl/strings/ascii.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "common/crypto/token/bearer_token.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class OperatorTokenTest : public ::testing::Test {
 protected:
  std::string HashOfFile() {
    auto file = ReadSecretFile(path_, 4096);
    EXPECT_THAT(file, IsOk());
    return HashBearerToken(absl::StripAsciiWhitespace(file->view()));
  }

  const std::string path_ =
      ::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
  MemoryStore store_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
};

TEST_F(OperatorTokenTest, IsMadeOnceForTheOwnerAlone) {
  auto first = PrepareOperatorToken(path_, &store_, &logger_);
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(*first, HashOfFile());
  struct stat info;
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  auto second = PrepareOperatorToken(path_, &store_, &logger_);
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(*second, *first);
}

TEST_F(OperatorTokenTest, AFileTheStoreDoesNotKnowIsReplaced) {
  auto first = PrepareOperatorToken(path_, &store_, &logger_);
  ASSERT_THAT(WriteFileAtomically(path_, "guess\n", 0600), IsOk());
  auto second = PrepareOperatorToken(path_, &store_, &logger_);
  ASSERT_THAT(second, IsOk());
  EXPECT_NE(*second, *first);
  EXPECT_EQ(*second, HashOfFile());
}

TEST_F(OperatorTokenTest, WithoutAPathNothingIsMade) {
  auto none = PrepareOperatorToken("", &store_, &logger_);
  ASSERT_THAT(none, IsOk());
  EXPECT_EQ(*none, "");
}

TEST_F(OperatorTokenTest, AStoreThatIsDownMakesNoFile) {
  store_.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_THAT(PrepareOperatorToken(path_, &store_, &logger_),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("fire")));
  struct stat info;
  EXPECT_NE(::stat(path_.c_str(), &info), 0);
}

TEST_F(OperatorTokenTest, AFileThatCannotBeMadeNamesItsFlagAndARemedy) {
  EXPECT_THAT(PrepareOperatorToken("/proc/token", &store_, &logger_).status().message(),
              AllOf(HasSubstr("--operator_token_out: "), HasSubstr("/proc/token"),
                    HasSubstr("; give a file")));
}

}  // namespace
}  // namespace byrnie
