#ifndef BYRNIE_COMMON_CRYPTO_ECDSA_SIGNATURE_H_
#define BYRNIE_COMMON_CRYPTO_ECDSA_SIGNATURE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// The two forms of a P-256 signature: DER (RFC 3279 section 2.2.3), which X.509 and TLS have, and
// r and s side by side, 32 bytes each, which JWS has (RFC 7518 section 3.4). Thread-safe.
constexpr size_t kRawEcdsaSignatureSize = 64;

// InvalidArgument when `der` is no signature or its numbers do not fit.
absl::StatusOr<std::string> RawEcdsaSignature(absl::string_view der);
// InvalidArgument unless `raw` has exactly 64 bytes.
absl::StatusOr<std::string> DerEcdsaSignature(absl::string_view raw);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_ECDSA_SIGNATURE_H_
