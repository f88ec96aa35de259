#ifndef BYRNIE_PROXY_TUNNEL_FAULT_H_
#define BYRNIE_PROXY_TUNNEL_FAULT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/net/socket_address.h"
#include "proxy/peer_info.h"
#include "proxy/worker_context.h"

namespace byrnie {

// Why a tunnel was ended where its peer is to blame. Such a tunnel has one line in the access log
// for itself, beside those of its connections, and is counted as a refused connection is.
struct TunnelFault {
  absl::string_view reason;  // Of tunnel_reason.
  std::string detail;
};

// What the status that a session ended with says of its peer; none: it is not to blame. `field`
// of the access log has the address of the peer's proxy.
absl::optional<TunnelFault> TunnelFaultOf(const absl::Status& end, absl::string_view field);

// Counts and logs the end of a tunnel that this proxy made to `address`; nothing where the peer is
// not to blame. On the worker's loop.
void ReportOutboundFault(const WorkerContext& context, const SocketAddress& address,
                         const PeerInfo& peer, const absl::Status& end);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TUNNEL_FAULT_H_
