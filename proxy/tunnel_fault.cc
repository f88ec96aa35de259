#include "proxy/tunnel_fault.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http2/peer_fault.h"
#include "common/tls/session_fault.h"
#include "proxy/access_record.h"
#include "proxy/access_report.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

// This pod's, of the family of `other`; the tunnel's own port is not known.
SocketAddress OwnAddress(const MeshSnapshot& mesh, const IpAddress& other) {
  for (const IpAddress& address : *mesh.own_addresses) {
    if (!address.IsLoopback() && address.is_v4() == other.is_v4()) return {address, 0};
  }
  return {};
}

// Of HTTP/2, or of the TLS below; empty: the peer is not to blame. An end without a word is what
// is seen of a peer that has died, and of that each connection of the tunnel tells.
absl::string_view ReasonOfFault(const absl::Status& end) {
  const PeerFault http2 = PeerFaultOf(end);
  const SessionFault tls = SessionFaultOf(end);
  if (http2 == PeerFault::kFlood || tls == SessionFault::kFlood) {
    return tunnel_reason::kTunnelFlood;
  }
  if (http2 == PeerFault::kProtocol || tls == SessionFault::kProtocol) {
    return tunnel_reason::kTunnelProtocol;
  }
  return {};
}

}  // namespace

absl::optional<TunnelFault> TunnelFaultOf(const absl::Status& end, absl::string_view field) {
  const absl::string_view reason = ReasonOfFault(end);
  if (reason.empty()) return absl::nullopt;
  return TunnelFault{
      reason, absl::StrCat("the tunnel was ended: ", end.message(), "; update the proxy at ", field,
                           ", or find out what runs there")};
}

void ReportOutboundFault(const WorkerContext& context, const SocketAddress& address,
                         const PeerInfo& peer, const absl::Status& end) {
  absl::optional<TunnelFault> fault = TunnelFaultOf(end, "destination");
  if (!fault.has_value()) return;
  const auto direction = AccessRecord::Direction::kOutbound;
  context.metrics->direction(direction).opened->Increment();
  AccessRecord record;
  record.start = context.loop->WallNow();
  record.stages = StageTimes(context.loop->Now());
  record.direction = direction;
  record.protocol = AccessRecord::Protocol::kHbone;
  record.route = AccessRecord::Route::kTunnel;
  record.result = AccessRecord::Result::kDenied;
  record.reason = std::string(fault->reason);
  record.detail = std::move(fault->detail);
  record.source = OwnAddress(*context.mesh, address.ip());
  record.destination = address;
  record.original_destination = address;
  record.peer_identity = peer.peer.id;
  record.own_identity = peer.own_id;
  ReportEnd(context, record);
}

}  // namespace byrnie
