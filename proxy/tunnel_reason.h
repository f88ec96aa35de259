#ifndef BYRNIE_PROXY_TUNNEL_REASON_H_
#define BYRNIE_PROXY_TUNNEL_REASON_H_

#include "absl/strings/string_view.h"

namespace byrnie {

// Reasons of AccessRecord::reason for what tunnels are refused or ended for.
namespace tunnel_reason {
// A connection to the tunnel port said nothing in time.
inline constexpr absl::string_view kHandshakeSilent = "handshake-silent";
// It spoke, but the handshake was not over in time.
inline constexpr absl::string_view kHandshakeTimeout = "handshake-timeout";
// It made room for another: as many handshakes as may be were under way.
inline constexpr absl::string_view kHandshakeEvicted = "handshake-evicted";
// Its source has its share of the handshakes under way.
inline constexpr absl::string_view kHandshakeSourceLimit = "handshake-source-limit";
// As many handshakes as may be are under way, and none can make room.
inline constexpr absl::string_view kHandshakeLimit = "handshake-limit";
}  // namespace tunnel_reason

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TUNNEL_REASON_H_
