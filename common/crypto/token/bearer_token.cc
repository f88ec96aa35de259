#include "common/crypto/token/bearer_token.h"

#include <cstdint>

#include "openssl/mem.h"
#include "openssl/rand.h"
#include "openssl/sha.h"

namespace byrnie {
namespace {

constexpr size_t kRandomBytes = 32;
constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

SecretBytes GenerateBearerToken() {
  SecretBytes random(kRandomBytes);
  // Cannot fail: BoringSSL aborts where the system gives no randomness.
  RAND_bytes(random.mutable_span().data(), random.size());

  // Encoded by hand so that the text is never in memory that is not wiped.
  SecretBytes token((kRandomBytes * 8 + 5) / 6);
  uint32_t bits = 0;
  int available = 0;
  size_t out = 0;
  for (uint8_t byte : random.span()) {
    bits = (bits << 8) | byte;
    for (available += 8; available >= 6; available -= 6) {
      token.mutable_span()[out++] = static_cast<uint8_t>(kAlphabet[(bits >> (available - 6)) & 63]);
    }
  }
  if (available > 0) {
    token.mutable_span()[out++] = static_cast<uint8_t>(kAlphabet[(bits << (6 - available)) & 63]);
  }
  return token;
}

std::string HashBearerToken(absl::string_view token) {
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(token.data()), token.size(),
         reinterpret_cast<uint8_t*>(&hash[0]));
  return hash;
}

bool TokenHashesEqual(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace byrnie
