#ifndef BYRNIE_COMMON_CRYPTO_CA_KEY_H_
#define BYRNIE_COMMON_CRYPTO_CA_KEY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "common/base/secret_bytes.h"
#include "common/crypto/issuer_key.h"

namespace byrnie {

// Reads the key of a CA that somebody else made, in PEM and unencrypted: P-256, P-384 or RSA of
// 2048 to 4096 bits (common/crypto/key_type.h), in any form that FindKeyInPem knows.
// InvalidArgument says what else it is, and quotes nothing of it.
//
// What is kept of it lies in secret memory. The library computes in ordinary memory: it has a copy
// while it signs, which is wiped, with the stack used, before that returns.
absl::StatusOr<std::shared_ptr<const IssuerKey>> ParseCaKey(const SecretBytes& pem);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_CA_KEY_H_
