#include "common/crypto/private_key.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "common/base/check.h"
#include "common/base/secret_memory.h"
#include "common/base/status_macros.h"
#include "common/crypto/key_pem.h"
#include "common/crypto/ssl_error.h"
#include "openssl/base64.h"
#include "openssl/bytestring.h"
#include "openssl/ec.h"
#include "openssl/ec_key.h"
#include "openssl/ecdsa.h"
#include "openssl/engine.h"
#include "openssl/evp.h"
#include "openssl/nid.h"
#include "openssl/sha.h"

namespace byrnie {
namespace {

constexpr absl::string_view kPemBegin = "-----BEGIN PRIVATE KEY-----\n";
constexpr absl::string_view kPemEnd = "-----END PRIVATE KEY-----\n";
constexpr size_t kPemLineBytes = 48;  // 64 characters of base64 (RFC 7468 section 2).
constexpr size_t kScalarSize = 32;

// The library's handle of a key that it does not hold: what it is to sign it hands to SignCallback.
const ENGINE* SignElsewhere(ECDSA_METHOD* method) {
  ENGINE* engine = ENGINE_new();
  CHECK(engine != nullptr && ENGINE_set_ECDSA_method(engine, method, sizeof(*method)));
  return engine;
}

// Where such a handle keeps its PrivateKey.
int OwnerIndex() {
  static const int index = EC_KEY_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

PrivateKey::~PrivateKey() = default;

absl::StatusOr<std::shared_ptr<const PrivateKey>> PrivateKey::Create(const EC_KEY* key) {
  static ECDSA_METHOD method = {{0, /*is_static=*/1}, nullptr,          nullptr, nullptr,
                                &SignCallback,        ECDSA_FLAG_OPAQUE};
  static const ENGINE* const engine = SignElsewhere(&method);
  std::shared_ptr<PrivateKey> made(new PrivateKey);
  made->scalar_ = SecretBytes(kScalarSize);
  bssl::UniquePtr<EC_KEY> handle(EC_KEY_new_method(engine));
  made->key_.reset(EVP_PKEY_new());
  if (EC_KEY_priv2oct(key, made->scalar_.mutable_span().data(), kScalarSize) != kScalarSize ||
      !handle || !made->key_ || !EC_KEY_set_group(handle.get(), EC_KEY_get0_group(key)) ||
      !EC_KEY_set_public_key(handle.get(), EC_KEY_get0_public_key(key)) ||
      !EC_KEY_set_ex_data(handle.get(), OwnerIndex(), made.get()) ||
      !EVP_PKEY_set1_EC_KEY(made->key_.get(), handle.get())) {
    return SslError(absl::StatusCode::kInternal, "cannot keep a P-256 key");
  }
  return made;
}

absl::StatusOr<std::shared_ptr<const PrivateKey>> PrivateKey::Generate() {
  bssl::UniquePtr<EC_KEY> key(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  if (!key || !EC_KEY_generate_key(key.get())) {
    return SslError(absl::StatusCode::kInternal, "cannot make a P-256 key");
  }
  absl::StatusOr<std::shared_ptr<const PrivateKey>> made = Create(key.get());
  key.reset();  // Wipes.
  WipeStackBelow();
  return made;
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
  absl::StatusOr<std::shared_ptr<const PrivateKey>> made = Create(EVP_PKEY_get0_EC_KEY(key.get()));
  key.reset();
  WipeStackBelow();
  return made;
}

absl::StatusOr<std::shared_ptr<const PrivateKey>> PrivateKey::FromSec1(const SecretBytes& der) {
  CBS cbs;
  CBS_init(&cbs, der.span().data(), der.size());
  // Where the key does not name its curve it is of ours; one of another curve is refused.
  bssl::UniquePtr<EC_KEY> key(EC_KEY_parse_private_key(&cbs, EC_group_p256()));
  if (!key || CBS_len(&cbs) != 0) {
    return SslError(absl::StatusCode::kInvalidArgument, "not exactly one P-256 key of RFC 5915");
  }
  absl::StatusOr<std::shared_ptr<const PrivateKey>> made = Create(key.get());
  key.reset();
  WipeStackBelow();
  return made;
}

absl::StatusOr<std::shared_ptr<const PrivateKey>> PrivateKey::FromPem(const SecretBytes& pem) {
  ASSIGN_OR_RETURN(const KeyPem found, FindKeyInPem(pem));
  switch (found.form) {
    case KeyPem::Form::kPkcs8:
      return FromPkcs8(found.der);
    case KeyPem::Form::kSec1:
      return FromSec1(found.der);
    case KeyPem::Form::kPkcs1:
      break;
  }
  return absl::InvalidArgumentError(
      "an RSA key; give an unencrypted P-256 key, as \"openssl genpkey -algorithm EC -pkeyopt "
      "ec_paramgen_curve:P-256\" makes it");
}

bssl::UniquePtr<EC_KEY> PrivateKey::Unlocked() const {
  bssl::UniquePtr<EC_KEY> key(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  if (!key || !EC_KEY_oct2priv(key.get(), scalar_.span().data(), scalar_.size())) return nullptr;
  return key;
}

bool PrivateKey::Sign(absl::Span<const uint8_t> digest, uint8_t* signature, unsigned* size) const {
  bool ok = false;
  {
    const bssl::UniquePtr<EC_KEY> key = Unlocked();
    ok = key && ECDSA_sign(0, digest.data(), digest.size(), signature, size, key.get());
  }
  WipeStackBelow();
  return ok;
}

int PrivateKey::SignCallback(const uint8_t* digest, size_t digest_size, uint8_t* signature,
                             unsigned* size, EC_KEY* key) {
  const auto* owner = static_cast<const PrivateKey*>(EC_KEY_get_ex_data(key, OwnerIndex()));
  return owner->Sign({digest, digest_size}, signature, size) ? 1 : 0;
}

SecretBytes PrivateKey::ToPkcs8() const {
  // The library writes into secret memory; so small a buffer is never too small, and never moved.
  SecretBytes out(256);
  size_t size = 0;
  {
    const bssl::UniquePtr<EC_KEY> key = Unlocked();
    bssl::UniquePtr<EVP_PKEY> pkey(EVP_PKEY_new());
    CBB cbb;
    CHECK(key && pkey &&
          EC_KEY_set_public_key(key.get(),
                                EC_KEY_get0_public_key(EVP_PKEY_get0_EC_KEY(key_.get()))) &&
          EVP_PKEY_set1_EC_KEY(pkey.get(), key.get()) &&
          CBB_init_fixed(&cbb, out.mutable_span().data(), out.size()) &&
          EVP_marshal_private_key(&cbb, pkey.get()) && CBB_finish(&cbb, nullptr, &size));
  }
  WipeStackBelow();
  return SecretBytes(out.span().first(size));
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
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(message.data(), message.size(), digest);
  return SignDigest(digest);
}

absl::StatusOr<std::string> PrivateKey::SignDigest(absl::Span<const uint8_t> sha256) const {
  if (sha256.size() != SHA256_DIGEST_LENGTH) {
    return absl::InvalidArgumentError("what is to be signed is no SHA-256");
  }
  std::string signature(EVP_PKEY_size(key_.get()), '\0');
  unsigned size = 0;
  if (!Sign(sha256, reinterpret_cast<uint8_t*>(&signature[0]), &size)) {
    return SslError(absl::StatusCode::kInternal, "cannot sign");
  }
  signature.resize(size);
  return signature;
}

}  // namespace byrnie
