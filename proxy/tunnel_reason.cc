#include "proxy/tunnel_reason.h"

#include "absl/strings/cord.h"
#include "proxy/access_record.h"

namespace byrnie {
namespace {

constexpr char kPayload[] = "byrnie/reason";
// Those that errors carry.
constexpr absl::string_view kCarried[] = {tunnel_reason::kTunnelLimit, tunnel_reason::kStreamLimit,
                                          tunnel_reason::kPeerSilent,
                                          access_reason::kTooManySockets};

}  // namespace

absl::Status WithReason(absl::Status status, absl::string_view reason) {
  status.SetPayload(kPayload, absl::Cord(reason));
  return status;
}

absl::optional<absl::string_view> ReasonOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload.has_value()) return absl::nullopt;
  for (absl::string_view reason : kCarried) {
    if (*payload == reason) return reason;
  }
  return absl::nullopt;
}

}  // namespace byrnie
