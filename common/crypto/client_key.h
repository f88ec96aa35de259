#ifndef BYRNIE_COMMON_CRYPTO_CLIENT_KEY_H_
#define BYRNIE_COMMON_CRYPTO_CLIENT_KEY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "common/base/secret_bytes.h"
#include "openssl/base.h"

namespace byrnie {

// A private key that somebody shows who they are with to a server outside the mesh: RSA, ECDSA or
// Ed25519, whatever their authority has made. Nothing of the mesh's own has one; see PrivateKey.
// It is in ordinary memory, for the one command that uses it. Immutable, thread-safe.
class ClientKey {
 public:
  // Reads the first private key of a PEM text: "PRIVATE KEY" (PKCS#8), "RSA PRIVATE KEY" (PKCS#1)
  // or "EC PRIVATE KEY" (RFC 5915). InvalidArgument, quoting nothing of it, when there is none or
  // it is encrypted.
  static absl::StatusOr<std::shared_ptr<const ClientKey>> FromPem(const SecretBytes& pem);

  ClientKey(const ClientKey&) = delete;
  ClientKey& operator=(const ClientKey&) = delete;
  ~ClientKey();

  // For common/tls; valid as long as this.
  EVP_PKEY* native() const { return key_.get(); }

 private:
  ClientKey() = default;
  bssl::UniquePtr<EVP_PKEY> key_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_CLIENT_KEY_H_
