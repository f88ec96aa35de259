#include "proxy/end_code.h"

#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/http2/peer_end.h"
#include "proxy/access_record.h"
#include "proxy/end_reason.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

constexpr uint32_t kByr = 0x62797200;

struct EndCode {
  uint32_t code;
  absl::string_view reason;
};

constexpr EndCode kOfStreams[] = {
    {kByr + 1, access_reason::kPolicyChanged},    {kByr + 2, access_reason::kIdentityExpired},
    {kByr + 3, end_reason::kTrustRemoved},        {kByr + 4, end_reason::kCertificateRevoked},
    {kByr + 5, end_reason::kRevocationUnknown},   {kByr + 6, access_reason::kDrained},
    {kByr + 7, access_reason::kMaxAge},           {kByr + 8, access_reason::kIdleTimeout},
    {kByr + 9, access_reason::kHalfCloseTimeout},
};

// Of GOAWAY: RFC 9113 section 7, as every server uses them.
constexpr EndCode kOfSessions[] = {
    {0x1, tunnel_reason::kTunnelProtocol},  // PROTOCOL_ERROR
    {0x3, tunnel_reason::kTunnelProtocol},  // FLOW_CONTROL_ERROR
    {0x5, tunnel_reason::kTunnelProtocol},  // STREAM_CLOSED
    {0x6, tunnel_reason::kTunnelProtocol},  // FRAME_SIZE_ERROR
    {0x9, tunnel_reason::kTunnelProtocol},  // COMPRESSION_ERROR
    {0xb, tunnel_reason::kTunnelFlood},     // ENHANCE_YOUR_CALM
};

}  // namespace

uint32_t EndCodeOf(absl::string_view reason) {
  for (const EndCode& known : kOfStreams) {
    if (known.reason == reason) return known.code;
  }
  return 0;
}

absl::string_view PeerReasonOf(const absl::Status& status) {
  const absl::optional<PeerEnd> end = PeerEndOf(status);
  if (!end.has_value()) return {};
  const absl::Span<const EndCode> codes = end->of == PeerEnd::Of::kStream
                                              ? absl::MakeConstSpan(kOfStreams)
                                              : absl::MakeConstSpan(kOfSessions);
  for (const EndCode& known : codes) {
    if (known.code == end->code) return known.reason;
  }
  return {};
}

}  // namespace byrnie
