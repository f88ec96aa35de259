#ifndef BYRNIE_COMMON_CRYPTO_RSA_PUBLIC_KEY_H_
#define BYRNIE_COMMON_CRYPTO_RSA_PUBLIC_KEY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "openssl/base.h"

namespace byrnie {

// An RSA public key of 2048 to 4096 bits, for signatures that others make. Immutable, thread-safe.
class RsaPublicKey {
 public:
  static constexpr unsigned kMinBits = 2048;
  static constexpr unsigned kMaxBits = 4096;

  // From modulus and exponent, big-endian without leading zeros. InvalidArgument when the modulus
  // has another size or is even, or the exponent is not odd and within [65537, 2^32).
  static absl::StatusOr<std::shared_ptr<const RsaPublicKey>> FromNumbers(
      absl::string_view modulus, absl::string_view exponent);

  RsaPublicKey(const RsaPublicKey&) = delete;
  RsaPublicKey& operator=(const RsaPublicKey&) = delete;
  ~RsaPublicKey();

  // Whether `signature` is that of `message`, RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017
  // section 8.2).
  bool VerifyPkcs1Sha256(absl::string_view message, absl::string_view signature) const;

 private:
  explicit RsaPublicKey(bssl::UniquePtr<EVP_PKEY> key);
  const bssl::UniquePtr<EVP_PKEY> key_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_RSA_PUBLIC_KEY_H_
