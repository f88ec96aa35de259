#ifndef BYRNIE_COMMON_CRYPTO_PRIVATE_KEY_H_
#define BYRNIE_COMMON_CRYPTO_PRIVATE_KEY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/base/secret_bytes.h"
#include "openssl/base.h"

namespace byrnie {

// A P-256 private key (FIPS 186-5), the only kind workloads and the CA use. Immutable, thread-safe.
// Its bytes leave only through ToPkcs8(), as SecretBytes.
class PrivateKey {
 public:
  // Makes a new key. Internal when the library fails.
  static absl::StatusOr<std::shared_ptr<const PrivateKey>> Generate();
  // Reads an unencrypted PKCS#8 key (RFC 5958), DER. InvalidArgument when it is not a P-256 key.
  static absl::StatusOr<std::shared_ptr<const PrivateKey>> FromPkcs8(const SecretBytes& der);

  PrivateKey(const PrivateKey&) = delete;
  PrivateKey& operator=(const PrivateKey&) = delete;
  ~PrivateKey();

  SecretBytes ToPkcs8() const;
  // "-----BEGIN PRIVATE KEY-----" for libraries that take only PEM.
  SecretBytes ToPem() const;
  // The SubjectPublicKeyInfo, DER (RFC 5280 section 4.1.2.7).
  std::string PublicKeyDer() const;
  // Signs ECDSA with SHA-256 over `message`; returns the DER signature (RFC 3279 section 2.2.3).
  absl::StatusOr<std::string> SignEcdsaSha256(absl::Span<const uint8_t> message) const;

  // For common/crypto and common/tls; valid as long as this.
  EVP_PKEY* native() const { return key_.get(); }

 private:
  explicit PrivateKey(bssl::UniquePtr<EVP_PKEY> key);
  bssl::UniquePtr<EVP_PKEY> key_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_PRIVATE_KEY_H_
