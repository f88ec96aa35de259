#include "controlplane/attest/refusal.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/types/optional.h"

namespace byrnie {
namespace {

// The reason's number, one byte. Of this process alone.
constexpr char kPayload[] = "byrnie/refusal";

}  // namespace

absl::string_view RefusalReasonName(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::kUnrecognized:
      return "unrecognized";
    case RefusalReason::kUnknownToken:
      return "unknown-token";
    case RefusalReason::kMalformed:
      return "malformed";
    case RefusalReason::kUnknownKey:
      return "unknown-key";
    case RefusalReason::kBadSignature:
      return "bad-signature";
    case RefusalReason::kExpired:
      return "expired";
    case RefusalReason::kNotYetValid:
      return "not-yet-valid";
    case RefusalReason::kTooLongLived:
      return "too-long-lived";
    case RefusalReason::kWrongAudience:
      return "wrong-audience";
    case RefusalReason::kWrongClaims:
      return "wrong-claims";
    case RefusalReason::kReplayed:
      return "replayed";
    case RefusalReason::kOtherAddress:
      return "other-address";
  }
  return "unknown";
}

absl::Status RefuseCredential(RefusalReason reason, absl::string_view detail) {
  absl::Status status = absl::UnauthenticatedError(detail);
  status.SetPayload(kPayload, absl::Cord(std::string(1, static_cast<char>(reason))));
  return status;
}

bool IsRefusedCredential(const absl::Status& status, RefusalReason* reason) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload.has_value() || payload->size() != 1) return false;
  if (reason != nullptr) *reason = static_cast<RefusalReason>((*payload)[0]);
  return true;
}

}  // namespace byrnie
