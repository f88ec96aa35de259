#include "common/net/peer_credentials.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"

namespace byrnie {

absl::StatusOr<PeerCredentials> GetPeerCredentials(int fd) {
  int domain = 0;
  socklen_t size = sizeof(domain);
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX) {
    return absl::InvalidArgumentError("cannot get the peer's credentials: not a Unix socket");
  }
  ucred credentials = {};
  size = sizeof(credentials);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot get the peer's credentials: ", strerror(errno)));
  }
  // What the kernel says when the socket has no peer.
  if (credentials.uid == static_cast<uid_t>(-1)) {
    return absl::InvalidArgumentError("cannot get the peer's credentials: not connected");
  }
  PeerCredentials result;
  result.pid = credentials.pid;
  result.uid = credentials.uid;
  result.gid = credentials.gid;
  return result;
}

}  // namespace byrnie
