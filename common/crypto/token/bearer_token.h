#ifndef BYRNIE_COMMON_CRYPTO_TOKEN_BEARER_TOKEN_H_
#define BYRNIE_COMMON_CRYPTO_TOKEN_BEARER_TOKEN_H_

#include <string>

#include "absl/strings/string_view.h"
#include "common/base/secret_bytes.h"

namespace byrnie {

// A secret that is its own proof: 32 random bytes as base64url text without padding (RFC 4648
// section 5), 43 characters. Whoever accepts it stores only its hash: with 256 bits of entropy a
// plain SHA-256 needs no salt and no stretching.
SecretBytes GenerateBearerToken();

// SHA-256 of the token's text (FIPS 180-4), 32 bytes. Not secret.
std::string HashBearerToken(absl::string_view token);

// Compares two hashes in a time that depends on their sizes alone.
bool TokenHashesEqual(absl::string_view a, absl::string_view b);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_TOKEN_BEARER_TOKEN_H_
