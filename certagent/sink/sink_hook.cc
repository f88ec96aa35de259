#include "certagent/sink/sink_hook.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/base/unique_fd.h"

namespace byrnie {
namespace {

constexpr size_t kMaxPidFile = 64;

struct NamedSignal {
  const char* name;
  int number;
};
constexpr NamedSignal kSignals[] = {
    {"HUP", SIGHUP}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}, {"TERM", SIGTERM}};

absl::Status Error(int error, absl::string_view action, absl::string_view what) {
  const std::string message = absl::StrCat(action, " ", what, ": ", strerror(error));
  if (error == ENOENT || error == ESRCH) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return absl::UnavailableError(message);
}

// What a child begins with: own process group, nothing of our signals and descriptors.
class SpawnSettings {
 public:
  SpawnSettings() {
    posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions_, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  const posix_spawnattr_t* attributes() const { return &attributes_; }
  const posix_spawn_file_actions_t* actions() const { return &actions_; }

 private:
  posix_spawnattr_t attributes_;
  posix_spawn_file_actions_t actions_;
};

// False when it still runs at the end of the time.
bool WaitForEnd(pid_t child, absl::Duration timeout) {
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    pollfd end = {pidfd.get(), POLLIN, 0};
    const absl::Duration left = deadline - absl::Now();
    const int ready = poll(
        &end, 1, static_cast<int>(absl::ToInt64Milliseconds(std::max(left, absl::ZeroDuration()))));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace

absl::StatusOr<SinkSignal> ParseSinkSignal(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not PIDFILE:SIGNAL"));
  }
  for (const NamedSignal& known : kSignals) {
    if (text.substr(colon + 1) == known.name) {
      return SinkSignal{std::string(text.substr(0, colon)), known.number};
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text.substr(colon + 1), "\" is none of HUP, USR1, USR2, WINCH, TERM"));
}

absl::Status SendSinkSignal(const SinkSignal& signal) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(signal.pid_file, kMaxPidFile));
  int32_t pid = 0;
  // 0 and negative numbers are groups of processes, 1 is nobody's application.
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &pid) || pid <= 1 || pid == getpid()) {
    return absl::InvalidArgumentError(
        absl::StrCat(signal.pid_file, " does not hold the number of an application's process"));
  }
  if (kill(pid, signal.number) != 0) {
    return Error(errno, "cannot signal the process of", signal.pid_file);
  }
  return absl::OkStatus();
}

absl::Status RunSinkCommand(const std::vector<std::string>& argv, absl::Duration timeout) {
  std::vector<char*> arguments;
  for (const std::string& argument : argv) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  char* environment[] = {path, nullptr};
  const SpawnSettings settings;
  pid_t child = -1;
  const int error = posix_spawn(&child, arguments[0], settings.actions(), settings.attributes(),
                                arguments.data(), environment);
  if (error != 0) return Error(error, "cannot run", argv[0]);
  const bool ended = WaitForEnd(child, timeout);
  // Not reaped yet, so the group's number is still its own.
  if (!ended) kill(-child, SIGKILL);
  int result = 0;
  while (waitpid(child, &result, 0) < 0 && errno == EINTR) {
  }
  if (!ended) {
    return absl::DeadlineExceededError(
        absl::StrCat(argv[0], " did not end within ", absl::FormatDuration(timeout)));
  }
  if (WIFSIGNALED(result)) {
    return absl::InternalError(absl::StrCat(argv[0], " was ended by signal ", WTERMSIG(result)));
  }
  if (WEXITSTATUS(result) != 0) {
    return absl::InternalError(absl::StrCat(argv[0], " ended with ", WEXITSTATUS(result)));
  }
  return absl::OkStatus();
}

}  // namespace byrnie
