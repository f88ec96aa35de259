#ifndef BYRNIE_CTL_UNACKNOWLEDGED_H_
#define BYRNIE_CTL_UNACKNOWLEDGED_H_

#include "absl/strings/string_view.h"
#include "common/net/socket_address.h"

namespace byrnie {

// Whether a connection to an address has sent what that machine has not acknowledged, its SYN
// among it, as a table of the kernel's tells (/proc/net/tcp, /proc/net/tcp6). A process that hangs
// has a kernel that acknowledges; packets that are dropped are not acknowledged. Pure.
bool FindUnacknowledged(absl::string_view table, const IpAddress& peer);

// The same of all sockets of this network namespace, whoever has them. False where it is not known.
bool AnyUnacknowledged(const IpAddress& peer);

}  // namespace byrnie

#endif  // BYRNIE_CTL_UNACKNOWLEDGED_H_
