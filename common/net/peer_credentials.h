#ifndef BYRNIE_COMMON_NET_PEER_CREDENTIALS_H_
#define BYRNIE_COMMON_NET_PEER_CREDENTIALS_H_

#include <sys/types.h>

#include "absl/status/statusor.h"

namespace byrnie {

// Who made the other end of a Unix socket, as the kernel noted it at connect() or listen().
struct PeerCredentials {
  pid_t pid = 0;  // 0 when the peer's process is in a PID namespace that this one does not see.
  uid_t uid = 0;
  gid_t gid = 0;
};

// SO_PEERCRED of `fd`. InvalidArgument when it is not a connected Unix socket. Thread-safe.
absl::StatusOr<PeerCredentials> GetPeerCredentials(int fd);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_PEER_CREDENTIALS_H_
