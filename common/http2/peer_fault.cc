#include "common/http2/peer_fault.h"

#include "absl/strings/cord.h"

namespace byrnie {
namespace {

constexpr absl::string_view kProtocol = "byrnie/http2-protocol";
constexpr absl::string_view kFlood = "byrnie/http2-flood";

}  // namespace

absl::Status PeerFaultError(PeerFault fault, absl::string_view message) {
  absl::Status status = absl::UnavailableError(message);
  if (fault == PeerFault::kProtocol) status.SetPayload(kProtocol, absl::Cord("1"));
  if (fault == PeerFault::kFlood) status.SetPayload(kFlood, absl::Cord("1"));
  return status;
}

PeerFault PeerFaultOf(const absl::Status& status) {
  if (status.GetPayload(kProtocol).has_value()) return PeerFault::kProtocol;
  if (status.GetPayload(kFlood).has_value()) return PeerFault::kFlood;
  return PeerFault::kNone;
}

}  // namespace byrnie
