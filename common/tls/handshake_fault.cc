#include "common/tls/handshake_fault.h"

#include "absl/strings/cord.h"

namespace byrnie {
namespace {

constexpr absl::string_view kIdentityMismatch = "byrnie/identity-mismatch";
constexpr absl::string_view kRevoked = "byrnie/revoked";
constexpr absl::string_view kRevocationUnknown = "byrnie/revocation-unknown";
constexpr absl::string_view kOwnFault = "byrnie/own-fault";

}  // namespace

absl::Status IdentityMismatchError(absl::string_view message) {
  absl::Status status = absl::UnauthenticatedError(message);
  status.SetPayload(kIdentityMismatch, absl::Cord("1"));
  return status;
}

bool IsIdentityMismatch(const absl::Status& status) {
  return status.GetPayload(kIdentityMismatch).has_value();
}

absl::Status WithDefect(absl::Status status, SvidDefect defect) {
  if (defect == SvidDefect::kRevoked) status.SetPayload(kRevoked, absl::Cord("1"));
  if (defect == SvidDefect::kRevocationUnknown) {
    status.SetPayload(kRevocationUnknown, absl::Cord("1"));
  }
  return status;
}

SvidDefect DefectOf(const absl::Status& status) {
  if (status.GetPayload(kRevoked).has_value()) return SvidDefect::kRevoked;
  if (status.GetPayload(kRevocationUnknown).has_value()) return SvidDefect::kRevocationUnknown;
  return SvidDefect::kNone;
}

absl::Status OwnFault(absl::Status status) {
  status.SetPayload(kOwnFault, absl::Cord("1"));
  return status;
}

bool IsOwnFault(const absl::Status& status) { return status.GetPayload(kOwnFault).has_value(); }

}  // namespace byrnie
