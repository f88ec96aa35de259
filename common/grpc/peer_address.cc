#include "common/grpc/peer_address.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/net/socket_address.h"

namespace byrnie {

std::string PeerAddress(const std::string& grpc_peer) {
  absl::string_view address = grpc_peer;
  if (!absl::ConsumePrefix(&address, "ipv4:")) absl::ConsumePrefix(&address, "ipv6:");
  // The brackets of IPv6 come percent-encoded.
  return absl::StrReplaceAll(address, {{"%5B", "["}, {"%5D", "]"}});
}

absl::optional<IpAddress> PeerIp(const std::string& grpc_peer) {
  std::string text = PeerAddress(grpc_peer);
  // A link-local address comes with its zone, percent-encoded, which text is not parsed with.
  const size_t zone = text.find('%');
  if (zone != std::string::npos) text.erase(zone, text.find(']', zone) - zone);
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(text);
  if (!address.ok()) return absl::nullopt;
  return address->ip();
}

std::string PeerSource(const std::string& grpc_peer) {
  const absl::optional<IpAddress> ip = PeerIp(grpc_peer);
  return ip.has_value() ? SourceKey(*ip).ToBytes() : grpc_peer;
}

}  // namespace byrnie
