#ifndef BYRNIE_COMMON_NET_SOCKET_OWNER_H_
#define BYRNIE_COMMON_NET_SOCKET_OWNER_H_

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "common/net/socket_address.h"

namespace byrnie {

// Tells whose a TCP socket of this network namespace is. TCP has no SO_PEERCRED: both ends of a
// loopback connection are sockets of the same kernel, which is asked about the other one.
class SocketOwners {
 public:
  virtual ~SocketOwners() = default;
  // The uid that made the connected socket with the two addresses, seen from it. NotFound when no
  // process holds one (any more), Unavailable when the kernel does not say. Does not block.
  virtual absl::StatusOr<uid_t> Find(const SocketAddress& local,
                                     const SocketAddress& remote) const = 0;
};

// Asks the kernel (sock_diag(7)), which answers processes without privileges too. Thread-safe.
class KernelSocketOwners final : public SocketOwners {
 public:
  absl::StatusOr<uid_t> Find(const SocketAddress& local,
                             const SocketAddress& remote) const override;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_SOCKET_OWNER_H_
