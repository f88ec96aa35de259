#ifndef BYRNIE_COMMON_CRYPTO_PRIVATE_KEY_H_
#define BYRNIE_COMMON_CRYPTO_PRIVATE_KEY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/base/secret_bytes.h"
#include "common/crypto/issuer_key.h"
#include "openssl/base.h"

namespace byrnie {

// A P-256 private key (FIPS 186-5), the only kind that workloads and the mesh's own CA use; a CA
// that was plugged in may have another (common/crypto/ca_key.h). Immutable, thread-safe.
// Its bytes leave only through ToPkcs8() and ToPem(), as SecretBytes.
//
// The scalar lies in secret memory and nowhere else. The library computes in ordinary memory: it
// has a copy for the microseconds of a signature, which is wiped, with the stack used, before the
// call returns.
class PrivateKey final : public IssuerKey {
 public:
  // Makes a new key. Internal when the library fails.
  static absl::StatusOr<std::shared_ptr<const PrivateKey>> Generate();
  // Reads an unencrypted PKCS#8 key (RFC 5958), DER. InvalidArgument when it is not a P-256 key.
  static absl::StatusOr<std::shared_ptr<const PrivateKey>> FromPkcs8(const SecretBytes& der);
  // Reads a file of one key in PEM: "PRIVATE KEY" (PKCS#8) or "EC PRIVATE KEY" (RFC 5915), which
  // "EC PARAMETERS" may precede. InvalidArgument, quoting nothing of it, when it is something else:
  // an RSA or an encrypted key, for example.
  static absl::StatusOr<std::shared_ptr<const PrivateKey>> FromPem(const SecretBytes& pem);

  PrivateKey(const PrivateKey&) = delete;
  PrivateKey& operator=(const PrivateKey&) = delete;
  ~PrivateKey() override;

  SecretBytes ToPkcs8() const;
  // "-----BEGIN PRIVATE KEY-----" for libraries that take only PEM.
  SecretBytes ToPem() const;
  // The SubjectPublicKeyInfo, DER (RFC 5280 section 4.1.2.7).
  std::string PublicKeyDer() const;
  // Signs ECDSA with SHA-256 over `message`; returns the DER signature (RFC 3279 section 2.2.3).
  absl::StatusOr<std::string> SignEcdsaSha256(absl::Span<const uint8_t> message) const;

  // As SignEcdsaSha256, for whoever has hashed the message already.
  absl::StatusOr<std::string> SignDigest(absl::Span<const uint8_t> sha256) const;

  EVP_PKEY* native() const override { return key_.get(); }

 private:
  PrivateKey() = default;
  static absl::StatusOr<std::shared_ptr<const PrivateKey>> Create(const EC_KEY* key);
  static absl::StatusOr<std::shared_ptr<const PrivateKey>> FromSec1(const SecretBytes& der);
  bool Sign(absl::Span<const uint8_t> digest, uint8_t* signature, unsigned* size) const;
  static int SignCallback(const uint8_t* digest, size_t digest_size, uint8_t* signature,
                          unsigned* size, EC_KEY* key);
  // A copy the library can compute with; null when there is no memory.
  bssl::UniquePtr<EC_KEY> Unlocked() const;

  SecretBytes scalar_;             // Big-endian.
  bssl::UniquePtr<EVP_PKEY> key_;  // Its signatures come from Sign().
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_PRIVATE_KEY_H_
