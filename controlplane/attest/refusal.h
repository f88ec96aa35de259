#ifndef BYRNIE_CONTROLPLANE_ATTEST_REFUSAL_H_
#define BYRNIE_CONTROLPLANE_ATTEST_REFUSAL_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// Why a credential was refused: for the operator, in metrics and the log. Who presented it is told
// kCredentialRefused and no more, because what tells a wrong audience from a wrong key helps nobody
// but who has to guess.
enum class RefusalReason {
  kUnrecognized,  // No attestor knows its kind or its issuer.
  kUnknownToken,  // A join token that is unknown, used or expired.
  kMalformed,     // A JWT that is none, or says what no JWT may say.
  kUnknownKey,    // Its issuer has no such key, or one for another algorithm.
  kBadSignature,
  kExpired,
  kNotYetValid,
  kTooLongLived,  // It lives longer than its issuer's tokens may.
  kWrongAudience,
  kWrongClaims,   // A claim is missing or another, or gives no identity.
  kReplayed,      // It works once, and has.
  kOtherAddress,  // It came from elsewhere than its holder is.
};
constexpr int kRefusalReasons = static_cast<int>(RefusalReason::kOtherAddress) + 1;

constexpr char kCredentialRefused[] =
    "the credential is not accepted; the control plane's log says why";

// "bad-signature".
absl::string_view RefusalReasonName(RefusalReason reason);

// Unauthenticated. `detail` is for the operator alone.
absl::Status RefuseCredential(RefusalReason reason, absl::string_view detail);
// Whether RefuseCredential made `status`; `reason` is then set, unless it is null.
bool IsRefusedCredential(const absl::Status& status, RefusalReason* reason);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_REFUSAL_H_
