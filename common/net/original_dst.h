#ifndef BYRNIE_COMMON_NET_ORIGINAL_DST_H_
#define BYRNIE_COMMON_NET_ORIGINAL_DST_H_

#include "absl/status/statusor.h"
#include "common/net/socket_address.h"

namespace byrnie {

// Where the client wanted to go before a REDIRECT rule sent it here: SO_ORIGINAL_DST, or
// IP6T_SO_ORIGINAL_DST for IPv6. NotFound when the connection was not redirected: it came to its
// own destination, or the kernel tracks no such connection. Unavailable when it is gone.
// Thread-safe.
absl::StatusOr<SocketAddress> GetOriginalDestination(int fd);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_ORIGINAL_DST_H_
