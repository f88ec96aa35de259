#include "common/crypto/rsa_public_key.h"

#include <cstdint>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/ssl_error.h"
#include "openssl/bn.h"
#include "openssl/digest.h"
#include "openssl/err.h"
#include "openssl/evp.h"
#include "openssl/rsa.h"

namespace byrnie {
namespace {

constexpr BN_ULONG kMinExponent = 65537;

const uint8_t* Bytes(absl::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

}  // namespace

RsaPublicKey::RsaPublicKey(bssl::UniquePtr<EVP_PKEY> key) : key_(std::move(key)) {}
RsaPublicKey::~RsaPublicKey() = default;

absl::StatusOr<std::shared_ptr<const RsaPublicKey>> RsaPublicKey::FromNumbers(
    absl::string_view modulus, absl::string_view exponent) {
  // Before anything is computed with them.
  if (modulus.size() * 8 > kMaxBits || modulus.empty() || modulus.front() == '\0') {
    return absl::InvalidArgumentError(
        absl::StrCat("an RSA modulus of ", modulus.size(), " bytes, or with leading zeros"));
  }
  if (exponent.empty() || exponent.size() > 4 || exponent.front() == '\0') {
    return absl::InvalidArgumentError(
        absl::StrCat("an RSA exponent of ", exponent.size(), " bytes, or with leading zeros"));
  }
  bssl::UniquePtr<BIGNUM> n(BN_bin2bn(Bytes(modulus), modulus.size(), nullptr));
  bssl::UniquePtr<BIGNUM> e(BN_bin2bn(Bytes(exponent), exponent.size(), nullptr));
  if (!n || !e) return SslError(absl::StatusCode::kInternal, "no memory for an RSA key");
  if (BN_num_bits(n.get()) < kMinBits) {
    return absl::InvalidArgumentError(absl::StrCat("an RSA key of ", BN_num_bits(n.get()),
                                                   " bits; ", kMinBits, " to ", kMaxBits,
                                                   " are taken"));
  }
  if (BN_get_word(e.get()) < kMinExponent) {
    return absl::InvalidArgumentError("an RSA exponent below 65537");
  }
  bssl::UniquePtr<RSA> rsa(RSA_new_public_key(n.get(), e.get()));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (!rsa || !key || !EVP_PKEY_set1_RSA(key.get(), rsa.get())) {
    return SslError(absl::StatusCode::kInvalidArgument, "not an RSA public key");
  }
  return std::shared_ptr<const RsaPublicKey>(absl::WrapUnique(new RsaPublicKey(std::move(key))));
}

bool RsaPublicKey::VerifyPkcs1Sha256(absl::string_view message, absl::string_view signature) const {
  // PKCS #1 v1.5 is what an EVP context has until told otherwise.
  bssl::ScopedEVP_MD_CTX context;
  const bool verified =
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) &&
      EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(message),
                       message.size());
  // A signature that is wrong is no news to anybody else.
  if (!verified) ERR_clear_error();
  return verified;
}

}  // namespace byrnie
