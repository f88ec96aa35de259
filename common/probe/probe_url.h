#ifndef BYRNIE_COMMON_PROBE_PROBE_URL_H_
#define BYRNIE_COMMON_PROBE_PROBE_URL_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/net/socket_address.h"

namespace byrnie {

// Where on its host a probe by HTTP goes. A value.
struct ProbeUrl {
  bool https = false;
  uint16_t port = 0;
  std::string target = "/";  // Path and query as they go over the wire; begins with a slash.
};

// A probe's path, with its query if it has one, as a request's target: begins with a slash, without
// a fragment, and with what may not be in a target percent-encoded.
std::string ProbeTarget(absl::string_view path);

// Where the Location of a redirect leads that `from` on `host` has answered (RFC 3986 section 5);
// none when it is another host, where probes do not go. InvalidArgument when it is no address of
// HTTP.
absl::StatusOr<absl::optional<ProbeUrl>> FollowRedirect(const ProbeUrl& from, const IpAddress& host,
                                                        absl::string_view location);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_PROBE_PROBE_URL_H_
