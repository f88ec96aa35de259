#ifndef BYRNIE_COMMON_CRYPTO_TOKEN_COMPACT_JWT_H_
#define BYRNIE_COMMON_CRYPTO_TOKEN_COMPACT_JWT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/json.h"

namespace byrnie {

// JSON Web Tokens in JWS compact serialization (RFC 7519, RFC 7515 section 7.1), taken apart but
// not verified. All of it is thread-safe; errors are InvalidArgument that begin with "its" or "it"
// and quote nothing of the token.
struct CompactJwt {
  JsonObject header;
  JsonObject claims;
  // The claims as they were signed.
  std::string claims_json;
  // As it was made, not as text.
  std::string signature;
  // What the signature is of; within the token.
  absl::string_view signed_part;
};

// Strict: at most `max_size` bytes; three parts of base64url without padding, of which each byte
// string has one spelling; a header of at most 1024 bytes and claims that are JSON objects without
// a key twice.
absl::StatusOr<CompactJwt> ParseCompactJwt(absl::string_view token, size_t max_size);

// Whether a credential is meant as a JWT: three parts of base64url characters, none empty.
bool LooksLikeJwt(absl::string_view credential);

// A NumericDate (RFC 7519 section 2) of the claims; absent when there is none.
absl::StatusOr<absl::optional<absl::Time>> FindJwtDate(const JsonObject& claims,
                                                       absl::string_view name);
// The claim "aud", one string or a list of them.
absl::StatusOr<std::vector<std::string>> GetJwtAudience(const JsonObject& claims);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_TOKEN_COMPACT_JWT_H_
