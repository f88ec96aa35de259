#include "common/base/standard_descriptors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

// Runs `body` in a process of its own and returns what it says.
template <typename Body>
bool InChild(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 1;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool IsNull(int fd) {
  struct stat is, null;
  return fstat(fd, &is) == 0 && stat("/dev/null", &null) == 0 && is.st_rdev == null.st_rdev &&
         S_ISCHR(is.st_mode);
}

TEST(StandardDescriptorsTest, NoFileEverGetsTheNumberOfAClosedOne) {
  EXPECT_TRUE(InChild([] {
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    OpenStandardDescriptors();
    return IsNull(STDOUT_FILENO) && IsNull(STDERR_FILENO) && open("/", O_RDONLY) > STDERR_FILENO;
  }));
}

TEST(StandardDescriptorsTest, LeavesOpenOnesAlone) {
  EXPECT_TRUE(InChild([] {
    int fds[2];
    if (pipe(fds) != 0 || dup2(fds[1], STDERR_FILENO) < 0) return false;
    close(STDIN_FILENO);
    OpenStandardDescriptors();
    return !IsNull(STDERR_FILENO) && IsNull(STDIN_FILENO);
  }));
}

}  // namespace
}  // namespace byrnie
