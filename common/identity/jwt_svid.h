#ifndef BYRNIE_COMMON_IDENTITY_JWT_SVID_H_
#define BYRNIE_COMMON_IDENTITY_JWT_SVID_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/private_key.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {

// JWT-SVIDs (JWT-SVID.md) in the one form this mesh makes and takes: JWS compact serialization,
// ES256.

// More is refused, on both sides.
constexpr size_t kMaxJwtSvidSize = 16 * 1024;
constexpr size_t kMaxJwtAudiences = 16;
constexpr size_t kMaxJwtAudienceLength = 1024;

// InvalidArgument unless there are 1 to kMaxJwtAudiences, each of 1 to kMaxJwtAudienceLength bytes.
absl::Status CheckJwtAudiences(const std::vector<std::string>& audiences);

// A token that was verified.
struct JwtSvid {
  SpiffeId id;
  std::vector<std::string> audience;
  absl::Time expires_at;
  // All claims: the JSON object as it was signed.
  std::string claims_json;
};

// Makes a token. Times count in whole seconds, rounded down. InvalidArgument as CheckJwtAudiences;
// Internal when signing fails.
absl::StatusOr<std::string> SignJwtSvid(const SpiffeId& id,
                                        const std::vector<std::string>& audience,
                                        absl::Time issued_at, absl::Time expires_at,
                                        absl::string_view key_id, const PrivateKey& key);

// Verifies a token at the time `now` for a receiver called `audience`: at most kMaxJwtSvidSize
// bytes; three parts of strict base64url; a header with alg ES256, a kid and, at most, typ JWT or
// JOSE; claims without a key twice, whose sub is a SPIFFE ID; a signature by the key of that kid in
// the bundle of the identity's own trust domain; not ended, and not before its nbf; `audience`
// among its aud. Thread-safe.
//
// Unauthenticated says which of these failed and quotes nothing but, once the signature is right,
// the identity.
absl::StatusOr<JwtSvid> VerifyJwtSvid(absl::string_view token, absl::string_view audience,
                                      const TrustBundleSet& bundles, absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_JWT_SVID_H_
