#ifndef BYRNIE_COMMON_NET_PEER_PROCESS_H_
#define BYRNIE_COMMON_NET_PEER_PROCESS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/unique_fd.h"
#include "common/net/peer_credentials.h"

namespace byrnie {

// The process that made the other end of a Unix socket, held by a descriptor of the process itself
// (pidfd) where the kernel gives one, so that a number given out again is never taken for it.
// Movable, thread-safe.
class PeerProcess {
 public:
  // Of the connected Unix socket `fd`. InvalidArgument when it is none.
  static absl::StatusOr<PeerProcess> Of(int fd);

  const PeerCredentials& credentials() const { return credentials_; }

  // True when it is known to have ended.
  bool HasEnded() const;

  // OK when it runs the file that is at `path` now: the same device and inode. PermissionDenied
  // when it runs another; FailedPrecondition when that cannot be told, and why: its process is in a
  // PID namespace not seen here, the kernel does not let us look (a process that hides its memory
  // shows its executable only to CAP_SYS_PTRACE), it has ended, or there is no such file.
  absl::Status RunsExecutable(const std::string& path) const;

 private:
  PeerProcess() = default;
  PeerCredentials credentials_;
  UniqueFd pidfd_;  // Invalid where the kernel gives none.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_PEER_PROCESS_H_
