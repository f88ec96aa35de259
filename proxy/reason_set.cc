#include "proxy/reason_set.h"

#include <algorithm>
#include <iterator>

#include "common/policy/authorizer.h"
#include "proxy/access_record.h"
#include "proxy/end_reason.h"
#include "proxy/routing_table.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

constexpr absl::string_view kReasons[] = {
    access_reason::kClosed,
    access_reason::kIdleTimeout,
    access_reason::kHalfCloseTimeout,
    access_reason::kDrained,
    access_reason::kPolicyChanged,
    access_reason::kIdentityExpired,
    access_reason::kOverloaded,
    access_reason::kBuffersFull,
    access_reason::kMaxAge,
    access_reason::kTooManyConnections,
    access_reason::kTooManySockets,
    access_reason::kMemoryPressure,
    access_reason::kNoOriginalDestination,
    access_reason::kUnknownAddress,
    access_reason::kResolveTimeout,
    access_reason::kResolveUnavailable,
    access_reason::kNoIdentity,
    access_reason::kTlsFailed,
    access_reason::kPeerIdentityMismatch,
    access_reason::kConnectFailed,
    access_reason::kConnectTimeout,
    access_reason::kTunnelRefused,
    access_reason::kRefusedByPeer,
    access_reason::kClientHelloTimeout,
    access_reason::kBadConnectRequest,
    access_reason::kLoop,
    access_reason::kInternal,
    access_reason::kResetByDownstream,
    access_reason::kResetByUpstream,
    decision_reason::kPolicyDeny,
    decision_reason::kPolicyMissing,
    decision_reason::kNoAllowMatch,
    decision_reason::kNoPolicySnapshot,
    decision_reason::kPlaintextRefused,
    decision_reason::kForeignTrustDomain,
    route_reason::kUnknownServicePort,
    route_reason::kNoEndpoint,
    route_reason::kNoHealthyEndpoint,
    end_reason::kTrustRemoved,
    end_reason::kCertificateRevoked,
    end_reason::kRevocationUnknown,
    end_reason::kTlsProtocol,
    end_reason::kTlsFlood,
    end_reason::kTlsTruncated,
    tunnel_reason::kHandshakeSilent,
    tunnel_reason::kHandshakeTimeout,
    tunnel_reason::kHandshakeEvicted,
    tunnel_reason::kHandshakeSourceLimit,
    tunnel_reason::kHandshakeLimit,
    tunnel_reason::kTunnelLimit,
    tunnel_reason::kStreamLimit,
    tunnel_reason::kPeerSilent,
    tunnel_reason::kTunnelProtocol,
    tunnel_reason::kTunnelFlood,
};

}  // namespace

absl::Span<const absl::string_view> AllReasons() { return kReasons; }

size_t ReasonIndex(absl::string_view reason) {
  const absl::string_view word = reason.substr(0, reason.find(' '));
  const auto* found = std::find(std::begin(kReasons), std::end(kReasons), word);
  if (found == std::end(kReasons)) {
    found = std::find(std::begin(kReasons), std::end(kReasons), access_reason::kInternal);
  }
  return static_cast<size_t>(found - std::begin(kReasons));
}

absl::string_view KnownReason(absl::string_view text) {
  const auto* found = std::find(std::begin(kReasons), std::end(kReasons), text);
  return found == std::end(kReasons) ? absl::string_view() : *found;
}

}  // namespace byrnie
