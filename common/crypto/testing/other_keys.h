#ifndef BYRNIE_COMMON_CRYPTO_TESTING_OTHER_KEYS_H_
#define BYRNIE_COMMON_CRYPTO_TESTING_OTHER_KEYS_H_

#include "openssl/base.h"

namespace byrnie {

// Key pairs of kinds that PrivateKey, which is P-256, does not make.

// On the curve of this NID.
bssl::UniquePtr<EVP_PKEY> NewEcKey(int curve);

// With a modulus of `bits`.
bssl::UniquePtr<EVP_PKEY> NewRsaKey(int bits);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_TESTING_OTHER_KEYS_H_
