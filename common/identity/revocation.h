#ifndef BYRNIE_COMMON_IDENTITY_REVOCATION_H_
#define BYRNIE_COMMON_IDENTITY_REVOCATION_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/crypto/revocation_list.h"

namespace byrnie {

// How far ahead of our clock a list may begin: one that was made a moment ago must not deny
// everything where clocks are behind.
inline constexpr absl::Duration kRevocationClockSkew = absl::Minutes(1);

// Judges a verified path, leaf first and trust anchor last, by all revocation lists of its trust
// domain at the time `now`. With no list at all nothing is said and nothing is refused. With any,
// each certificate below the anchor needs a current list of its own issuer that does not name it:
//
// PermissionDenied: one is named by a list of its issuer, be that current or not. Unauthenticated:
// its status is unknown, because its issuer has no list here or all of them have ended.
absl::Status CheckRevocation(const std::vector<const Certificate*>& path,
                             const std::vector<RevocationListPtr>& lists, absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_REVOCATION_H_
