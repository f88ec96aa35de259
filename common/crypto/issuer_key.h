#ifndef BYRNIE_COMMON_CRYPTO_ISSUER_KEY_H_
#define BYRNIE_COMMON_CRYPTO_ISSUER_KEY_H_

#include "openssl/base.h"

namespace byrnie {

// A private key that certificates and revocation lists are signed with, whatever its kind.
// Immutable, thread-safe.
class IssuerKey {
 public:
  virtual ~IssuerKey() = default;

  // For common/crypto and common/tls; valid as long as this. It signs and knows its public key; the
  // private one cannot be got out of it.
  virtual EVP_PKEY* native() const = 0;

  // The hash of what it signs: SHA-384 for P-384, for TLS 1.3 knows no other with it (RFC 8446
  // section 4.2.3) and strict peers refuse such chains; else SHA-256. Static.
  const EVP_MD* digest() const;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_ISSUER_KEY_H_
