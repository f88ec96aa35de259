#include "common/crypto/testing/other_keys.h"

#include "common/base/check.h"
#include "openssl/bn.h"
#include "openssl/ec_key.h"
#include "openssl/evp.h"
#include "openssl/rsa.h"

namespace byrnie {

bssl::UniquePtr<EVP_PKEY> NewEcKey(int curve) {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(curve));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  CHECK(EC_KEY_generate_key(ec.get()));
  CHECK(EVP_PKEY_set1_EC_KEY(key.get(), ec.get()));
  return key;
}

bssl::UniquePtr<EVP_PKEY> NewRsaKey(int bits) {
  bssl::UniquePtr<RSA> rsa(RSA_new());
  bssl::UniquePtr<BIGNUM> exponent(BN_new());
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  CHECK(BN_set_word(exponent.get(), RSA_F4));
  CHECK(RSA_generate_key_ex(rsa.get(), bits, exponent.get(), nullptr));
  CHECK(EVP_PKEY_set1_RSA(key.get(), rsa.get()));
  return key;
}

}  // namespace byrnie
