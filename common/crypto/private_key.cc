#include "common/crypto/private_key.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "common/base/check.h"
#include "common/crypto/ssl_error.h"
#include "openssl/base64.h"
#include "openssl/bytestring.h"
#include "openssl/digest.h"
#include "openssl/ec.h"
#include "openssl/ec_key.h"
#include "openssl/evp.h"
#include "openssl/mem.h"
#include "openssl/nid.h"

namespace byrnie {
namespace {

constexpr absl::string_view kPemBegin = "-----BEGIN PRIVATE KEY-----\n";
constexpr absl::string_view kPemEnd = "-----END PRIVATE KEY-----\n";
constexpr size_t kPemLineBytes = 48;  // 64 characters of base64 (RFC 7468 section 2).

}  // namespace

PrivateKey::PrivateKey(bssl::UniquePtr<EVP_PKEY> key) : key_(std::move(key)) {}
PrivateKey::~PrivateKey() = default;

absl::StatusOr<std::shared_ptr<const PrivateKey>> PrivateKey::Generate() {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (!ec || !key || !EC_KEY_generate_key(ec.get()) || !EVP_PKEY_set1_EC_KEY(key.get(), ec.get())) {
    return SslError(absl::StatusCode::kInternal, "cannot make a P-256 key");
  }
  return std::shared_ptr<const PrivateKey>(new PrivateKey(std::move(key)));
}

absl::StatusOr<std::shared_ptr<const PrivateKey>> PrivateKey::FromPkcs8(const SecretBytes& der) {
  CBS cbs;
  CBS_init(&cbs, der.span().data(), der.size());
  bssl::UniquePtr<EVP_PKEY> key(EVP_parse_private_key(&cbs));
  if (!key || CBS_len(&cbs) != 0) {
    return SslError(absl::StatusCode::kInvalidArgument, "not exactly one PKCS#8 private key");
  }
  if (EVP_PKEY_id(key.get()) != EVP_PKEY_EC ||
      EVP_PKEY_get_ec_curve_nid(key.get()) != NID_X9_62_prime256v1) {
    return absl::InvalidArgumentError("the private key is not a P-256 key");
  }
  return std::shared_ptr<const PrivateKey>(new PrivateKey(std::move(key)));
}

SecretBytes PrivateKey::ToPkcs8() const {
  bssl::ScopedCBB cbb;
  uint8_t* der = nullptr;
  size_t size = 0;
  CHECK(CBB_init(cbb.get(), 256) && EVP_marshal_private_key(cbb.get(), key_.get()) &&
        CBB_finish(cbb.get(), &der, &size));
  SecretBytes secret(absl::MakeConstSpan(der, size));
  OPENSSL_free(der);  // Wipes.
  return secret;
}

SecretBytes PrivateKey::ToPem() const {
  const SecretBytes der = ToPkcs8();
  const size_t lines = (der.size() + kPemLineBytes - 1) / kPemLineBytes;
  const size_t base64_size = (der.size() + 2) / 3 * 4;
  const size_t size = kPemBegin.size() + base64_size + lines + kPemEnd.size();
  // One more: EVP_EncodeBlock ends what it writes with a NUL.
  SecretBytes scratch(size + 1);
  uint8_t* out = scratch.mutable_span().data();
  out = std::copy(kPemBegin.begin(), kPemBegin.end(), out);
  for (size_t offset = 0; offset < der.size(); offset += kPemLineBytes) {
    const absl::Span<const uint8_t> line = der.span().subspan(offset, kPemLineBytes);
    out += EVP_EncodeBlock(out, line.data(), line.size());
    *out++ = '\n';
  }
  out = std::copy(kPemEnd.begin(), kPemEnd.end(), out);
  return SecretBytes(scratch.span().subspan(0, out - scratch.span().data()));
}

std::string PrivateKey::PublicKeyDer() const {
  bssl::ScopedCBB cbb;
  CHECK(CBB_init(cbb.get(), 128) && EVP_marshal_public_key(cbb.get(), key_.get()));
  return std::string(reinterpret_cast<const char*>(CBB_data(cbb.get())), CBB_len(cbb.get()));
}

absl::StatusOr<std::string> PrivateKey::SignEcdsaSha256(absl::Span<const uint8_t> message) const {
  bssl::ScopedEVP_MD_CTX context;
  std::string signature(EVP_PKEY_size(key_.get()), '\0');
  size_t size = signature.size();
  if (!EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) ||
      !EVP_DigestSign(context.get(), reinterpret_cast<uint8_t*>(&signature[0]), &size,
                      message.data(), message.size())) {
    return SslError(absl::StatusCode::kInternal, "cannot sign");
  }
  signature.resize(size);
  return signature;
}

}  // namespace byrnie
