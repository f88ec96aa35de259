#include "common/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/base/unique_fd.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class FileTest : public ::testing::Test {
 protected:
  FileTest() {
    std::string pattern = absl::StrCat(::testing::TempDir(), "/file_test.XXXXXX");
    folder_ = mkdtemp(&pattern[0]);
  }
  std::string Path(const std::string& name) const { return absl::StrCat(folder_, "/", name); }
  int CountFiles() const {
    DIR* dir = opendir(folder_.c_str());
    int count = 0;
    while (dirent* entry = readdir(dir)) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
  }
  std::string folder_;
};

TEST_F(FileTest, ReadsBackWhatItWrote) {
  const std::string content(200000, 'x');
  ASSERT_THAT(WriteFileAtomically(Path("a"), content, 0600), IsOk());
  EXPECT_THAT(ReadFile(Path("a"), 200000), IsOkAndHolds(content));
  ASSERT_THAT(WriteFileAtomically(Path("a"), "", 0600), IsOk());
  EXPECT_THAT(ReadFile(Path("a"), 10), IsOkAndHolds(""));
}

TEST_F(FileTest, RefusesAFileThatIsTooLong) {
  ASSERT_THAT(WriteFileAtomically(Path("a"), "12345", 0600), IsOk());
  EXPECT_THAT(ReadFile(Path("a"), 5), IsOk());
  EXPECT_THAT(ReadFile(Path("a"), 4),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("longer than 4 bytes")));
  EXPECT_THAT(ReadSecretFile(Path("a"), 5), IsOk());
  EXPECT_THAT(ReadSecretFile(Path("a"), 4),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("longer than 4 bytes")));
}

TEST_F(FileTest, NamesAMissingFile) {
  EXPECT_THAT(ReadFile(Path("none"), 10),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(Path("none"))));
  EXPECT_THAT(ReadSecretFile(Path("none"), 10), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FileTest, RefusesWhatIsNotARegularFile) {
  EXPECT_THAT(ReadFile(folder_, 10), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_THAT(ReadFile(Path("fifo"), 10), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(FileTest, ReadsASecret) {
  ASSERT_THAT(WriteFileAtomically(Path("a"), "token", 0600), IsOk());
  ASSERT_OK_AND_ASSIGN(SecretBytes secret, ReadSecretFile(Path("a"), 100));
  EXPECT_EQ(secret.view(), "token");
}

TEST_F(FileTest, TellsWhenOthersMayGetAtAFile) {
  ASSERT_THAT(WriteFileAtomically(Path("a"), "token", 0600), IsOk());
  EXPECT_EQ(LooseMode(Path("a")), absl::nullopt);
  EXPECT_EQ(LooseMode(Path("none")), absl::nullopt);
  for (mode_t mode : {0640, 0604, 0620}) {
    ASSERT_EQ(chmod(Path("a").c_str(), mode), 0);
    EXPECT_EQ(LooseMode(Path("a")), mode);
  }
}

TEST_F(FileTest, SetsTheModeAndReplacesWhole) {
  ASSERT_THAT(WriteFileAtomically(Path("a"), "old", 0644), IsOk());
  ASSERT_THAT(WriteFileAtomically(Path("a"), "new", 0600), IsOk());
  struct stat info;
  ASSERT_EQ(stat(Path("a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_THAT(ReadFile(Path("a"), 10), IsOkAndHolds("new"));
  EXPECT_EQ(CountFiles(), 1);
}

TEST_F(FileTest, LeavesNothingBehindWhenItFails) {
  ASSERT_EQ(mkdir(Path("folder").c_str(), 0700), 0);
  EXPECT_FALSE(WriteFileAtomically(Path("folder"), "x", 0600).ok());
  EXPECT_EQ(CountFiles(), 1);
  EXPECT_THAT(WriteFileAtomically(Path("none/a"), "x", 0600),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none/a")));
}

TEST_F(FileTest, RemovesWhatProcessesThatWereKilledHaveLeftAndNothingElse) {
  const auto touch = [this](const std::string& name) {
    EXPECT_TRUE(UniqueFd(open(Path(name).c_str(), O_WRONLY | O_CREAT, 0600))) << name;
  };
  for (const char* mine : {"a.byrnie-tmp.x1Y2z3", "a.byrnie-tmp.000000"}) touch(mine);
  // Somebody is writing that one.
  touch("a.byrnie-tmp.writer");
  const UniqueFd writer(open(Path("a.byrnie-tmp.writer").c_str(), O_RDONLY));
  ASSERT_EQ(flock(writer.get(), LOCK_EX), 0);
  const std::vector<std::string> others = {"a",
                                           "a.backup",
                                           "b.byrnie-tmp.x1Y2z3",
                                           "a.x1Y2z3",
                                           "a.byrnie-tmp.x1Y2",
                                           "a.byrnie-tmp.x1Y2.3",
                                           "ba.x1Y2z3",
                                           "a.byrnie-tmp.x1Y2z34"};
  for (const std::string& other : others) touch(other);
  ASSERT_EQ(mkdir(Path("a.byrnie-tmp.folder").c_str(), 0700), 0);
  RemoveLeftTemporaries(Path("a"));
  EXPECT_EQ(CountFiles(), static_cast<int>(others.size()) + 2);
  EXPECT_NE(access(Path("a.byrnie-tmp.x1Y2z3").c_str(), F_OK), 0);
  EXPECT_NE(access(Path("a.byrnie-tmp.000000").c_str(), F_OK), 0);
  RemoveLeftTemporaries(Path("none/a"));
}

// A process that cannot write so much is killed by SIGXFSZ in the middle of it.
TEST_F(FileTest, RemovesWhatAKilledWriterHasLeft) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit small = {1000, 1000};
    setrlimit(RLIMIT_FSIZE, &small);
    signal(SIGXFSZ, SIG_DFL);
    (void)WriteFileAtomically(Path("a"), std::string(2000, 'x'), 0600);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(CountFiles(), 1);
  RemoveLeftTemporaries(Path("a"));
  EXPECT_EQ(CountFiles(), 0);
}

}  // namespace
}  // namespace byrnie
