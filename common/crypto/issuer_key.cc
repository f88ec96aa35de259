#include "common/crypto/issuer_key.h"

#include "openssl/digest.h"
#include "openssl/evp.h"
#include "openssl/nid.h"

namespace byrnie {

const EVP_MD* IssuerKey::digest() const {
  const bool p384 =
      EVP_PKEY_id(native()) == EVP_PKEY_EC && EVP_PKEY_get_ec_curve_nid(native()) == NID_secp384r1;
  return p384 ? EVP_sha384() : EVP_sha256();
}

}  // namespace byrnie
