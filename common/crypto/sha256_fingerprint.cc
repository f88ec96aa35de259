#include "common/crypto/sha256_fingerprint.h"

#include "absl/strings/escaping.h"
#include "openssl/sha2.h"

namespace byrnie {

std::string Sha256FingerprintHex(absl::string_view bytes) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof(digest)));
}

uint64_t Sha256Prefix(absl::string_view bytes) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), digest);
  uint64_t prefix = 0;
  for (size_t i = 0; i < sizeof(prefix); ++i) prefix = prefix << 8 | digest[i];
  return prefix;
}

std::string ShortFingerprint(absl::string_view fingerprint) {
  return std::string(fingerprint.substr(0, 12));
}

}  // namespace byrnie
