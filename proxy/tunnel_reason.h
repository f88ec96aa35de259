#ifndef BYRNIE_PROXY_TUNNEL_REASON_H_
#define BYRNIE_PROXY_TUNNEL_REASON_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

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
// As many tunnels as may be are there, in all or with this peer, and none is
// idle.
inline constexpr absl::string_view kTunnelLimit = "tunnel-limit";
// As many connections as may be are open through the tunnels with this peer.
inline constexpr absl::string_view kStreamLimit = "stream-limit";
// The peer said nothing on an open tunnel when it was asked.
inline constexpr absl::string_view kPeerSilent = "peer-silent";
// A tunnel was ended for what its peer did to it: it broke the rules of HTTP/2 or of TLS, or
// flooded it with frames, records or key updates.
inline constexpr absl::string_view kTunnelProtocol = "tunnel-protocol";
inline constexpr absl::string_view kTunnelFlood = "tunnel-flood";
}  // namespace tunnel_reason

// An error that goes up with the reason that it is to be counted by.
absl::Status WithReason(absl::Status status, absl::string_view reason);
// None: the error's code has to do.
absl::optional<absl::string_view> ReasonOf(const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TUNNEL_REASON_H_
