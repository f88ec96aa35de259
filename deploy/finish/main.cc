// byrnie-finish: lets classic sidecars end when the applications beside them have, in clusters
// without native ones. A few bytes of its own libc alone: it also runs in the applications' images.

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

namespace byrnie {
namespace {

constexpr char kUsage[] =
    "Ends a pod's sidecars when its applications have ended. Each container runs its command "
    "through it.\n"
    "\n"
    "  byrnie-finish install DIRECTORY                   copies this program there, as "
    "byrnie-finish\n"
    "  byrnie-finish app FILE always|success -- COMMAND  runs an application and makes FILE when "
    "it has\n"
    "                                                    ended: always, or if with exit code 0\n"
    "  byrnie-finish sidecar FILE... -- COMMAND          runs a sidecar, ends it with SIGTERM when "
    "all FILEs\n"
    "                                                    are there, and ends with 0\n"
    "\n"
    "Signals are passed on; the exit code is the command's, or 128 and the signal's number. 127: "
    "the\n"
    "command is not there, 126: it cannot be run, 2: wrong usage.\n";

// What a container is told, or what a terminal says.
constexpr int kPassedOn[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
constexpr timespec kLook = {0, 250 * 1000 * 1000};
constexpr int kWrongUsage = 2, kCannotRun = 126, kNotFound = 127;

int Fail(const std::string& what, int code) {
  const std::string line = "byrnie-finish: error: " + what + "\n";
  fputs(line.c_str(), stderr);
  return code;
}

int Usage(const char* what) { return Fail(std::string(what) + "; see --help", kWrongUsage); }

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// Makes an empty file. Whoever waits for it waits for ever if it cannot be made, so that is said.
void MakeFile(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    Fail("cannot make " + path + ": " + strerror(errno) + "; the sidecars go on", 0);
    return;
  }
  close(fd);
}

// Runs a command to its end, passing signals on, and returns its exit code. `ends` are files that,
// when all are there, end it: *ended_by_files.
int Supervise(char** command, const std::vector<std::string>& ends, bool* ended_by_files) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  for (const int number : kPassedOn) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, &before);
  const pid_t child = fork();
  if (child < 0) return Fail(std::string("cannot start: ") + strerror(errno), kCannotRun);
  if (child == 0) {
    sigprocmask(SIG_SETMASK, &before, nullptr);
    execvp(command[0], command);
    const int error = errno;
    _exit(Fail(std::string("cannot run ") + command[0] + ": " + strerror(error),
               error == ENOENT ? kNotFound : kCannotRun));
  }
  for (;;) {
    const int number =
        ends.empty() ? sigwaitinfo(&set, nullptr) : sigtimedwait(&set, nullptr, &kLook);
    if (number == SIGCHLD) {
      int status = 0;
      // As the container's first process it has other's children, too.
      for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (ended == child) {
          return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
      }
    } else if (number > 0) {
      kill(child, number);
    }
    if (ends.empty() || *ended_by_files) continue;
    bool all = true;
    for (const std::string& file : ends) all = all && Exists(file);
    if (all) {
      *ended_by_files = true;
      kill(child, SIGTERM);
    }
  }
}

int Install(const std::string& directory) {
  const std::string target = directory + "/byrnie-finish", made = target + ".new";
  const int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  const int to = open(made.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  if (from < 0 || to < 0) return Fail("cannot write " + made + ": " + strerror(errno), 1);
  char buffer[65536];
  ssize_t count = 0;
  while ((count = read(from, buffer, sizeof(buffer))) > 0) {
    if (write(to, buffer, static_cast<size_t>(count)) != count) {
      return Fail("cannot write " + made + ": " + strerror(errno), 1);
    }
  }
  // Whatever the umask: other users run it.
  if (count < 0 || fchmod(to, 0755) != 0 || close(to) != 0 ||
      rename(made.c_str(), target.c_str()) != 0) {
    return Fail("cannot write " + target + ": " + strerror(errno), 1);
  }
  return 0;
}

int Run(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "--help") {
    fputs(kUsage, stdout);
    return 0;
  }
  if (verb == "install") return argc == 3 ? Install(argv[2]) : Usage("give one directory");
  int dashes = 2;
  while (dashes < argc && strcmp(argv[dashes], "--") != 0) ++dashes;
  if (dashes + 1 >= argc) return Usage("there is no -- with a command after it");
  std::vector<std::string> words(argv + 2, argv + dashes);
  char** const command = argv + dashes + 1;
  bool ended_by_files = false;
  if (verb == "app") {
    if (words.size() != 2 || (words[1] != "always" && words[1] != "success")) {
      return Usage("app takes a file, and always or success");
    }
    const int code = Supervise(command, {}, &ended_by_files);
    if (code == 0 || words[1] == "always") MakeFile(words[0]);
    return code;
  }
  if (verb == "sidecar") {
    if (words.empty()) return Usage("sidecar takes the files it ends by");
    const int code = Supervise(command, words, &ended_by_files);
    return ended_by_files ? 0 : code;
  }
  return Usage("say install, app or sidecar");
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) { return byrnie::Run(argc, argv); }
