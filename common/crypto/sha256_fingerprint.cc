#include "common/crypto/sha256_fingerprint.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "openssl/sha2.h"

namespace byrnie {

std::string Sha256FingerprintHex(absl::string_view bytes) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof(digest)));
}

}  // namespace byrnie
