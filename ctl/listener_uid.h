#ifndef BYRNIE_CTL_LISTENER_UID_H_
#define BYRNIE_CTL_LISTENER_UID_H_

#include <sys/types.h>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/net/socket_address.h"

namespace byrnie {

// The user whose socket listens at an address of this network namespace, or at all addresses with
// that port; absent: nobody's, or the kernel does not tell.
absl::optional<uid_t> ListenerUid(const SocketAddress& address);

// The same of the text of /proc/net/tcp (proc(5)), whose first line is a heading; IPv4 alone.
absl::optional<uid_t> FindListener(absl::string_view table, const SocketAddress& address);

}  // namespace byrnie

#endif  // BYRNIE_CTL_LISTENER_UID_H_
