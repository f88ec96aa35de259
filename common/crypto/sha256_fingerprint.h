#ifndef BYRNIE_COMMON_CRYPTO_SHA256_FINGERPRINT_H_
#define BYRNIE_COMMON_CRYPTO_SHA256_FINGERPRINT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace byrnie {

// SHA-256 (FIPS 180-4) of `bytes` as 64 lower-case hexadecimal digits.
std::string Sha256FingerprintHex(absl::string_view bytes);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_SHA256_FINGERPRINT_H_
