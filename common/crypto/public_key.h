#ifndef BYRNIE_COMMON_CRYPTO_PUBLIC_KEY_H_
#define BYRNIE_COMMON_CRYPTO_PUBLIC_KEY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "openssl/base.h"

namespace byrnie {

// A P-256 public key. Immutable, thread-safe.
class PublicKey {
 public:
  // Exactly one SubjectPublicKeyInfo, DER (RFC 5280 section 4.1.2.7), of at most 256 bytes.
  // InvalidArgument when it is none or of another kind.
  static absl::StatusOr<std::shared_ptr<const PublicKey>> FromDer(absl::string_view der);
  // From the coordinates of its point, exactly 32 bytes each, big-endian. InvalidArgument when they
  // are no point of the curve.
  static absl::StatusOr<std::shared_ptr<const PublicKey>> FromCoordinates(absl::string_view x,
                                                                          absl::string_view y);

  PublicKey(const PublicKey&) = delete;
  PublicKey& operator=(const PublicKey&) = delete;
  ~PublicKey();

  const std::string& der() const { return der_; }
  // The coordinates of its point, 32 bytes each, big-endian.
  const std::string& x() const { return x_; }
  const std::string& y() const { return y_; }
  // Whether `signature` (DER) is that of `message`, ECDSA with SHA-256.
  bool VerifyEcdsaSha256(absl::string_view message, absl::string_view signature) const;

 private:
  PublicKey() = default;
  std::string der_, x_, y_;
  bssl::UniquePtr<EVP_PKEY> key_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_PUBLIC_KEY_H_
