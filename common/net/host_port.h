#ifndef BYRNIE_COMMON_NET_HOST_PORT_H_
#define BYRNIE_COMMON_NET_HOST_PORT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// InvalidArgument, with the text, unless it is "NAME:PORT", "10.0.0.1:PORT", "[fd00::1]:PORT" or,
// of a link-local address with its zone, "[fe80::1%eth0]:PORT", with a port above 0: what a client
// is told to connect to.
absl::Status CheckHostPort(absl::string_view text);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_HOST_PORT_H_
