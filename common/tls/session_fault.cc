#include "common/tls/session_fault.h"

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace byrnie {
namespace {

constexpr absl::string_view kProtocol = "byrnie/tls-protocol";
constexpr absl::string_view kFlood = "byrnie/tls-flood";
constexpr absl::string_view kTruncated = "byrnie/tls-truncated";

}  // namespace

absl::Status WithSessionFault(absl::Status status, SessionFault fault) {
  switch (fault) {
    case SessionFault::kNone:
      break;
    case SessionFault::kProtocol:
      status.SetPayload(kProtocol, absl::Cord("1"));
      break;
    case SessionFault::kFlood:
      status.SetPayload(kFlood, absl::Cord("1"));
      break;
    case SessionFault::kTruncated:
      status.SetPayload(kTruncated, absl::Cord("1"));
      break;
  }
  return status;
}

SessionFault SessionFaultOf(const absl::Status& status) {
  if (status.GetPayload(kProtocol).has_value()) return SessionFault::kProtocol;
  if (status.GetPayload(kFlood).has_value()) return SessionFault::kFlood;
  if (status.GetPayload(kTruncated).has_value()) return SessionFault::kTruncated;
  return SessionFault::kNone;
}

}  // namespace byrnie
