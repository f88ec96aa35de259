#include "certagent/sink/sink_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

SinkDirectory::Content Numbered(int number, size_t padding = 0) {
  SinkDirectory::Content content;
  content.certificates_pem = absl::StrCat("certificate ", number, std::string(padding, '.'));
  std::string key = absl::StrCat("key ", number);
  content.key_pem = SecretBytes::TakeFrom(&key);
  content.roots_pem = absl::StrCat("roots ", number);
  return content;
}

class SinkDirectoryTest : public ::testing::Test {
 protected:
  SinkDirectoryTest() {
    // In memory where there is such a place: a thousand writers that are killed flush a lot.
    const std::string folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ::testing::TempDir();
    std::string pattern = absl::StrCat(folder, "/sink-XXXXXX");
    base_ = mkdtemp(&pattern[0]);
    options_.path = base_ + "/tls";
  }
  ~SinkDirectoryTest() override {
    SinkDirectory(options_).RemoveReplaced().IgnoreError();
    const std::string current = Data();
    for (const char* name : {"tls.crt", "tls.key", "ca.crt"}) {
      unlink(absl::StrCat(options_.path, "/", current, "/", name).c_str());
      unlink(absl::StrCat(options_.path, "/", name).c_str());
    }
    rmdir(absl::StrCat(options_.path, "/", current).c_str());
    unlink((options_.path + "/..data").c_str());
    rmdir(options_.path.c_str());
    rmdir(base_.c_str());
  }
  std::string Data() const {
    char target[256];
    const ssize_t size = readlink((options_.path + "/..data").c_str(), target, sizeof(target));
    return size < 0 ? "" : std::string(target, static_cast<size_t>(size));
  }
  std::string Read(const std::string& name) const {
    absl::StatusOr<std::string> text = ReadFile(absl::StrCat(options_.path, "/", name), 1 << 20);
    return text.ok() ? *text : text.status().ToString();
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    DIR* entries = opendir(options_.path.c_str());
    if (entries == nullptr) return names;  // The first writer may be killed before it makes it.
    while (const dirent* entry = readdir(entries)) names.push_back(entry->d_name);
    closedir(entries);
    return names;
  }
  mode_t Mode(const std::string& name) const {
    struct stat info = {};
    EXPECT_EQ(stat(absl::StrCat(options_.path, "/", name).c_str(), &info), 0);
    return info.st_mode & 07777;
  }

  std::string base_;
  SinkDirectory::Options options_;
};

// What a reader finds that opens the directory in force once: the number all three agree on, -1
// when there is none yet.
int NumberRead(const std::string& path, std::string* problem) {
  const int data = open((path + "/..data").c_str(), O_RDONLY | O_DIRECTORY);
  if (data < 0) return -1;
  int number = -1;
  for (const char* name : {"tls.crt", "tls.key", "ca.crt"}) {
    const int fd = openat(data, name, O_RDONLY);
    char text[64] = {};
    const ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0) close(fd);
    int found = -2;
    if (size <= 0 || sscanf(text, "%*s %d", &found) != 1 || (number >= 0 && found != number)) {
      *problem = absl::StrCat(name, " has \"", text, "\", expected the number ", number);
    }
    number = found;
  }
  close(data);
  return number;
}

// The first test: its children make keys, which they cannot once this process has made secret
// memory, because no child gets that.
TEST_F(SinkDirectoryTest, IsReadableAfterAThousandKillsWhileWriting) {
  int next = 0;
  unsigned random = 1;
  int interrupted = 0;
  int at_work[2];  // A writer says so here.
  ASSERT_EQ(pipe2(at_work, O_CLOEXEC), 0);
  for (int round = 0; round < 1000; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      SinkDirectory sink(options_);
      if (write(at_work[1], "x", 1) != 1) _exit(2);
      for (int i = next;; ++i) {
        if (!sink.Publish(Numbered(i)).ok() || (i % 3 == 0 && !sink.RemoveReplaced().ok())) {
          _exit(1);
        }
      }
    }
    // Somewhere in the first few writes; a writer that fails is seen below.
    char said;
    ASSERT_EQ(read(at_work[0], &said, 1), 1);
    random = random * 1103515245 + 12345;
    absl::SleepFor(absl::Microseconds((random >> 8) % 1500));
    kill(child, SIGKILL);
    int end = 0;
    ASSERT_EQ(waitpid(child, &end, 0), child);
    ASSERT_TRUE(WIFSIGNALED(end)) << "the writer ended with " << WEXITSTATUS(end);
    std::string problem;
    const int number = NumberRead(options_.path, &problem);
    ASSERT_EQ(problem, "") << "after kill " << round;
    ASSERT_GE(number, next - 1) << "an older content came back";
    if (number >= next) next = number + 1;
    // What the application opens leads to it.
    if (number >= 0) {
      ASSERT_EQ(Read("tls.key"), absl::StrCat("key ", number));
    }
    const std::vector<std::string> names = Names();
    interrupted +=
        std::count_if(names.begin(), names.end(), [&](const std::string& name) {
          return name == "..data_tmp" || (absl::StartsWith(name, "..byrnie-") && name != Data());
        }) > 0;
  }
  // They did hit writes: half-made contents lay about.
  EXPECT_GT(interrupted, 100);
  for (const int fd : at_work) close(fd);
  ASSERT_THAT(SinkDirectory(options_).RemoveReplaced(), IsOk());
  EXPECT_EQ(Names().size(), 7u);
}

TEST_F(SinkDirectoryTest, ShowsTheLatestContent) {
  SinkDirectory sink(options_);
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(sink.Publish(Numbered(i)), IsOk());
    EXPECT_EQ(Read("tls.crt"), absl::StrCat("certificate ", i));
    EXPECT_EQ(Read("tls.key"), absl::StrCat("key ", i));
    EXPECT_EQ(Read("ca.crt"), absl::StrCat("roots ", i));
  }
}

TEST_F(SinkDirectoryTest, KeepsOthersOut) {
  SinkDirectory sink(options_);
  ASSERT_THAT(sink.Publish(Numbered(1)), IsOk());
  EXPECT_EQ(Mode(""), 0700u);
  EXPECT_EQ(Mode("..data/"), 0700u);
  for (const char* name : {"tls.crt", "tls.key", "ca.crt"}) EXPECT_EQ(Mode(name), 0600u) << name;
}

TEST_F(SinkDirectoryTest, LetsAGroupReadWhenToldTo) {
  options_.group = getegid();
  SinkDirectory sink(options_);
  ASSERT_THAT(sink.Publish(Numbered(1)), IsOk());
  EXPECT_EQ(Mode(""), 0750u);
  EXPECT_EQ(Mode("tls.key"), 0640u);
}

TEST_F(SinkDirectoryTest, KeepsAReplacedContentUntilItIsRemoved) {
  SinkDirectory sink(options_);
  ASSERT_THAT(sink.Publish(Numbered(1)), IsOk());
  const std::string first = Data();
  ASSERT_THAT(sink.Publish(Numbered(2)), IsOk());
  EXPECT_EQ(Read(first + "/tls.key"), "key 1");
  ASSERT_THAT(sink.RemoveReplaced(), IsOk());
  EXPECT_THAT(Names(),
              UnorderedElementsAre(".", "..", "tls.crt", "tls.key", "ca.crt", "..data", Data()));
  EXPECT_EQ(Read("tls.key"), "key 2");
}

TEST_F(SinkDirectoryTest, RefusesADirectoryOthersMayWriteTo) {
  if (geteuid() != 0) GTEST_SKIP() << "takes a directory of another user";
  ASSERT_EQ(mkdir(options_.path.c_str(), 0700), 0);
  ASSERT_EQ(chmod(options_.path.c_str(), 0777), 0);
  ASSERT_EQ(chown(options_.path.c_str(), 65534, 65534), 0);
  EXPECT_THAT(SinkDirectory(options_).Publish(Numbered(1)),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("others may write")));
}

TEST_F(SinkDirectoryTest, DoesNotReplaceAFileOfAnotherMaker) {
  ASSERT_EQ(mkdir(options_.path.c_str(), 0700), 0);
  ASSERT_THAT(WriteFileAtomically(options_.path + "/tls.key", "mine", 0600), IsOk());
  EXPECT_THAT(SinkDirectory(options_).Publish(Numbered(1)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("tls.key")));
  EXPECT_EQ(Read("tls.key"), "mine");
}

TEST_F(SinkDirectoryTest, KeepsTheOldContentWhenTheNewDoesNotFit) {
  SinkDirectory sink(options_);
  ASSERT_THAT(sink.Publish(Numbered(1)), IsOk());
  // A file may not grow beyond this: as a disk that is full half way through.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {1000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_FALSE(sink.Publish(Numbered(2, 5000)).ok());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(Read("tls.crt"), "certificate 1");
  EXPECT_EQ(Read("tls.key"), "key 1");
  EXPECT_THAT(Names(),
              UnorderedElementsAre(".", "..", "tls.crt", "tls.key", "ca.crt", "..data", Data()));
  ASSERT_THAT(sink.Publish(Numbered(3)), IsOk());
  EXPECT_EQ(Read("tls.key"), "key 3");
}

}  // namespace
}  // namespace byrnie
