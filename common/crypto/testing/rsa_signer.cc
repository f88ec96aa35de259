#include "common/crypto/testing/rsa_signer.h"

#include <cstdint>

#include "common/base/check.h"
#include "common/crypto/testing/other_keys.h"
#include "openssl/bn.h"
#include "openssl/digest.h"
#include "openssl/evp.h"
#include "openssl/rsa.h"

namespace byrnie {
namespace {

std::string Text(const BIGNUM* number) {
  std::string text(BN_num_bytes(number), '\0');
  BN_bn2bin(number, reinterpret_cast<uint8_t*>(&text[0]));
  return text;
}

}  // namespace

RsaSigner::RsaSigner(unsigned bits) : key_(NewRsaKey(static_cast<int>(bits))) {}

RsaSigner::~RsaSigner() = default;

std::string RsaSigner::modulus() const { return Text(RSA_get0_n(EVP_PKEY_get0_RSA(key_.get()))); }
std::string RsaSigner::exponent() const { return Text(RSA_get0_e(EVP_PKEY_get0_RSA(key_.get()))); }

std::string RsaSigner::SignPkcs1Sha256(absl::string_view message) const {
  return Sign(message, RSA_PKCS1_PADDING);
}
std::string RsaSigner::SignPssSha256(absl::string_view message) const {
  return Sign(message, RSA_PKCS1_PSS_PADDING);
}

std::string RsaSigner::Sign(absl::string_view message, int padding) const {
  bssl::ScopedEVP_MD_CTX context;
  EVP_PKEY_CTX* of_key = nullptr;
  CHECK(EVP_DigestSignInit(context.get(), &of_key, EVP_sha256(), nullptr, key_.get()));
  CHECK(EVP_PKEY_CTX_set_rsa_padding(of_key, padding));
  size_t size = EVP_PKEY_size(key_.get());
  std::string signature(size, '\0');
  CHECK(EVP_DigestSign(context.get(), reinterpret_cast<uint8_t*>(&signature[0]), &size,
                       reinterpret_cast<const uint8_t*>(message.data()), message.size()));
  signature.resize(size);
  return signature;
}

}  // namespace byrnie
