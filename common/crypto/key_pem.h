#ifndef BYRNIE_COMMON_CRYPTO_KEY_PEM_H_
#define BYRNIE_COMMON_CRYPTO_KEY_PEM_H_

#include "absl/status/statusor.h"
#include "common/base/secret_bytes.h"

namespace byrnie {

// The one unencrypted private key of a PEM text (RFC 7468).
struct KeyPem {
  enum class Form {
    kPkcs8,  // "PRIVATE KEY", RFC 5958.
    kSec1,   // "EC PRIVATE KEY", RFC 5915.
    kPkcs1,  // "RSA PRIVATE KEY", RFC 8017 appendix A.1.2.
  };
  Form form;
  SecretBytes der;
};

// "EC PARAMETERS" may precede the key. InvalidArgument, quoting nothing of the text, when it is
// something else: two keys, an encrypted one, a certificate. What is in the DER is not looked at.
absl::StatusOr<KeyPem> FindKeyInPem(const SecretBytes& pem);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_KEY_PEM_H_
