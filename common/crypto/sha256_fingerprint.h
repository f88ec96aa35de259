#ifndef BYRNIE_COMMON_CRYPTO_SHA256_FINGERPRINT_H_
#define BYRNIE_COMMON_CRYPTO_SHA256_FINGERPRINT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace byrnie {

// SHA-256 (FIPS 180-4) of `bytes` as 64 lower-case hexadecimal digits.
std::string Sha256FingerprintHex(absl::string_view bytes);

// The first eight bytes of it as a number, of which the first is the highest: finds what has
// changed by accident, or is another setting, and is no proof against whoever looks for another
// text of the same number.
uint64_t Sha256Prefix(absl::string_view bytes);

// As much of a fingerprint in hexadecimal digits as messages for people have.
std::string ShortFingerprint(absl::string_view fingerprint);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_SHA256_FINGERPRINT_H_
