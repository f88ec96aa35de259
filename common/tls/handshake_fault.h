#ifndef BYRNIE_COMMON_TLS_HANDSHAKE_FAULT_H_
#define BYRNIE_COMMON_TLS_HANDSHAKE_FAULT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/identity/svid_verifier.h"

namespace byrnie {

// Marks on the status of a failed handshake, for whoever decides what to do about it. They stay
// recognisable wherever the status is copied.

// The Unauthenticated of a peer that has proven an identity, but not one that is allowed there:
// what tells a reused address from a broken handshake.
absl::Status IdentityMismatchError(absl::string_view message);
bool IsIdentityMismatch(const absl::Status& status);

// `status` of a peer whose certificates were refused for `defect`. Only what revocation lists say
// is kept; DefectOf gives kNone for all else.
absl::Status WithDefect(absl::Status status, SvidDefect defect);
SvidDefect DefectOf(const absl::Status& status);

// `status`, for which this end alone is to blame: its signer. Another peer would not do better.
absl::Status OwnFault(absl::Status status);
bool IsOwnFault(const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_HANDSHAKE_FAULT_H_
