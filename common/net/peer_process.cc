#include "common/net/peer_process.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

// Since Linux 6.5; newer than the C library's headers.
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace byrnie {
namespace {

UniqueFd OpenPidfd(int socket, pid_t pid) {
  int pidfd = -1;
  socklen_t size = sizeof(pidfd);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0) return UniqueFd(pidfd);
  // An older kernel. Between connect and here the process may have ended and its number been given
  // out again, but then the socket has ended, too, unless it was handed on.
  if (pid <= 0) return UniqueFd();
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  pollfd end = {socket, POLLRDHUP, 0};
  if (poll(&end, 1, 0) > 0 && (end.revents & (POLLRDHUP | POLLHUP)) != 0) return UniqueFd();
  return fd;
}

}  // namespace

absl::StatusOr<PeerProcess> PeerProcess::Of(int fd) {
  PeerProcess process;
  ASSIGN_OR_RETURN(process.credentials_, GetPeerCredentials(fd));
  process.pidfd_ = OpenPidfd(fd, process.credentials_.pid);
  return process;
}

bool PeerProcess::HasEnded() const {
  if (!pidfd_) return false;
  pollfd end = {pidfd_.get(), POLLIN, 0};
  return poll(&end, 1, 0) > 0;
}

absl::Status PeerProcess::RunsExecutable(const std::string& path) const {
  if (credentials_.pid <= 0) {
    return absl::FailedPreconditionError(
        "its process is in a PID namespace that is not seen here; share it, or do not ask for an "
        "executable");
  }
  struct stat wanted, running;
  if (stat(path.c_str(), &wanted) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot inspect ", path, ": ", strerror(errno)));
  }
  const std::string exe = absl::StrCat("/proc/", credentials_.pid, "/exe");
  if (stat(exe.c_str(), &running) != 0) {
    const int error = errno;
    return absl::FailedPreconditionError(
        absl::StrCat("cannot inspect ", exe, ": ", strerror(error),
                     error == EACCES || error == EPERM ? "; it takes CAP_SYS_PTRACE" : ""));
  }
  // Only now: as long as it lives its number is nobody else's, so what was looked at was its.
  if (!pidfd_ || HasEnded()) {
    return absl::FailedPreconditionError("its process cannot be held, or has ended");
  }
  if (running.st_dev != wanted.st_dev || running.st_ino != wanted.st_ino) {
    return absl::PermissionDeniedError(absl::StrCat("it does not run ", path));
  }
  return absl::OkStatus();
}

}  // namespace byrnie
