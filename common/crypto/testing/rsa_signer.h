#ifndef BYRNIE_COMMON_CRYPTO_TESTING_RSA_SIGNER_H_
#define BYRNIE_COMMON_CRYPTO_TESTING_RSA_SIGNER_H_

#include <string>

#include "absl/strings/string_view.h"
#include "openssl/base.h"

namespace byrnie {

// An RSA private key, for tests that need what somebody else's signs: the product makes none.
// Aborts where the library fails.
class RsaSigner {
 public:
  explicit RsaSigner(unsigned bits);
  RsaSigner(const RsaSigner&) = delete;
  RsaSigner& operator=(const RsaSigner&) = delete;
  ~RsaSigner();

  // The public key, big-endian.
  std::string modulus() const;
  std::string exponent() const;

  std::string SignPkcs1Sha256(absl::string_view message) const;
  std::string SignPssSha256(absl::string_view message) const;

 private:
  std::string Sign(absl::string_view message, int padding) const;
  bssl::UniquePtr<EVP_PKEY> key_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_TESTING_RSA_SIGNER_H_
