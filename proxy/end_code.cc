#include "proxy/end_code.h"

#include "absl/algorithm/container.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/http2/peer_end.h"
#include "common/net/end_code.h"
#include "common/tls/peer_alert.h"
#include "proxy/access_record.h"
#include "proxy/end_reason.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

struct KnownEnd {
  uint32_t code;
  absl::string_view reason;
};

constexpr KnownEnd kOfStreams[] = {
    {kEndPolicyChanged, access_reason::kPolicyChanged},
    {kEndIdentityExpired, access_reason::kIdentityExpired},
    {kEndTrustRemoved, end_reason::kTrustRemoved},
    {kEndCertificateRevoked, end_reason::kCertificateRevoked},
    {kEndRevocationUnknown, end_reason::kRevocationUnknown},
    {kEndDrained, access_reason::kDrained},
    {kEndMaxAge, access_reason::kMaxAge},
    {kEndIdleTimeout, access_reason::kIdleTimeout},
    {kEndHalfCloseTimeout, access_reason::kHalfCloseTimeout},
};

// Of GOAWAY: RFC 9113 section 7, as every server uses them.
constexpr KnownEnd kOfSessions[] = {
    {0x1, tunnel_reason::kTunnelProtocol},  // PROTOCOL_ERROR
    {0x3, tunnel_reason::kTunnelProtocol},  // FLOW_CONTROL_ERROR
    {0x5, tunnel_reason::kTunnelProtocol},  // STREAM_CLOSED
    {0x6, tunnel_reason::kTunnelProtocol},  // FRAME_SIZE_ERROR
    {0x9, tunnel_reason::kTunnelProtocol},  // COMPRESSION_ERROR
    {0xb, tunnel_reason::kTunnelFlood},     // ENHANCE_YOUR_CALM
};

}  // namespace

uint32_t EndCodeOf(absl::string_view reason) {
  for (const KnownEnd& known : kOfStreams) {
    if (known.reason == reason) return known.code;
  }
  return 0;
}

absl::string_view PeerReasonOf(const absl::Status& status) {
  const absl::optional<PeerEnd> end = PeerEndOf(status);
  const uint32_t code = end.has_value() ? end->code : EndCodeOfAlert(status);
  const bool of_session = end.has_value() && end->of == PeerEnd::Of::kSession;
  for (const KnownEnd& known :
       of_session ? absl::MakeConstSpan(kOfSessions) : absl::MakeConstSpan(kOfStreams)) {
    if (known.code == code) return known.reason;
  }
  return {};
}

bool PeerForbids(const absl::Status& status) {
  constexpr absl::string_view kForbidding[] = {
      access_reason::kPolicyChanged,   access_reason::kIdentityExpired, end_reason::kTrustRemoved,
      end_reason::kCertificateRevoked, end_reason::kRevocationUnknown,
  };
  return !status.ok() && absl::c_linear_search(kForbidding, PeerReasonOf(status));
}

}  // namespace byrnie
