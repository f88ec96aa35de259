#include "common/crypto/ca_key.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/secret_memory.h"
#include "common/base/status_macros.h"
#include "common/crypto/key_pem.h"
#include "common/crypto/key_type.h"
#include "common/crypto/private_key.h"
#include "common/crypto/ssl_error.h"
#include "openssl/bn.h"
#include "openssl/bytestring.h"
#include "openssl/ec_key.h"
#include "openssl/ecdsa.h"
#include "openssl/engine.h"
#include "openssl/evp.h"
#include "openssl/nid.h"
#include "openssl/rsa.h"

namespace byrnie {
namespace {

// A key the library can compute with; null when the DER is none of that form.
bssl::UniquePtr<EVP_PKEY> Unlock(const KeyPem& key) {
  CBS cbs;
  CBS_init(&cbs, key.der.span().data(), key.der.size());
  bssl::UniquePtr<EVP_PKEY> made;
  if (key.form == KeyPem::Form::kPkcs8) {
    made.reset(EVP_parse_private_key(&cbs));
  } else {
    made.reset(EVP_PKEY_new());
    bool parsed = false;
    if (key.form == KeyPem::Form::kPkcs1) {
      const bssl::UniquePtr<RSA> rsa(RSA_parse_private_key(&cbs));
      parsed = rsa && made && EVP_PKEY_set1_RSA(made.get(), rsa.get());
    } else {
      const bssl::UniquePtr<EC_KEY> ec(EC_KEY_parse_private_key(&cbs, nullptr));
      parsed = ec && made && EVP_PKEY_set1_EC_KEY(made.get(), ec.get());
    }
    if (!parsed) return nullptr;
  }
  if (CBS_len(&cbs) != 0) return nullptr;
  return made;
}

// The library's handles know the public key alone and have this sign for them.
class SealedKey final : public IssuerKey {
 public:
  // `unlocked` is what `key` holds. Null when there is no memory.
  static std::shared_ptr<const IssuerKey> Create(KeyPem key, const EVP_PKEY* unlocked) {
    std::shared_ptr<SealedKey> made(new SealedKey(std::move(key)));
    made->handle_.reset(EVP_PKEY_new());
    if (!made->handle_) return nullptr;
    const bool ok = EVP_PKEY_id(unlocked) == EVP_PKEY_RSA
                        ? made->SetRsa(EVP_PKEY_get0_RSA(unlocked))
                        : made->SetEc(EVP_PKEY_get0_EC_KEY(unlocked));
    if (!ok) return nullptr;
    return made;
  }

  EVP_PKEY* native() const override { return handle_.get(); }

 private:
  explicit SealedKey(KeyPem key) : key_(std::move(key)) {}

  bool SetRsa(const RSA* key) {
    bssl::UniquePtr<RSA> handle(RSA_new_method(Elsewhere()));
    bssl::UniquePtr<BIGNUM> n(BN_dup(RSA_get0_n(key))), e(BN_dup(RSA_get0_e(key)));
    if (!handle || !n || !e || !RSA_set0_key(handle.get(), n.get(), e.get(), nullptr)) return false;
    n.release();
    e.release();
    return RSA_set_ex_data(handle.get(), RsaOwner(), this) &&
           EVP_PKEY_set1_RSA(handle_.get(), handle.get());
  }

  bool SetEc(const EC_KEY* key) {
    bssl::UniquePtr<EC_KEY> handle(EC_KEY_new_method(Elsewhere()));
    return handle && EC_KEY_set_group(handle.get(), EC_KEY_get0_group(key)) &&
           EC_KEY_set_public_key(handle.get(), EC_KEY_get0_public_key(key)) &&
           EC_KEY_set_ex_data(handle.get(), EcOwner(), this) &&
           EVP_PKEY_set1_EC_KEY(handle_.get(), handle.get());
  }

  // Where the handles keep their SealedKey.
  static int RsaOwner() {
    static const int index = RSA_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
  }
  static int EcOwner() {
    static const int index = EC_KEY_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
  }

  static const ENGINE* Elsewhere() {
    static RSA_METHOD rsa = {};
    static ECDSA_METHOD ec = {};
    static const ENGINE* const engine = [] {
      rsa.common.is_static = ec.common.is_static = 1;
      rsa.sign = &SignRsa;
      rsa.flags = RSA_FLAG_OPAQUE;
      ec.sign = &SignEc;
      ec.flags = ECDSA_FLAG_OPAQUE;
      ENGINE* made = ENGINE_new();
      CHECK(made != nullptr && ENGINE_set_RSA_method(made, &rsa, sizeof(rsa)) &&
            ENGINE_set_ECDSA_method(made, &ec, sizeof(ec)));
      return made;
    }();
    return engine;
  }

  static int SignRsa(int hash, const uint8_t* digest, unsigned digest_size, uint8_t* signature,
                     unsigned* size, const RSA* handle) {
    const auto* owner = static_cast<const SealedKey*>(RSA_get_ex_data(handle, RsaOwner()));
    int ok = 0;
    {
      const bssl::UniquePtr<EVP_PKEY> key = Unlock(owner->key_);
      ok =
          key && RSA_sign(hash, digest, digest_size, signature, size, EVP_PKEY_get0_RSA(key.get()));
    }
    WipeStackBelow();
    return ok;
  }

  static int SignEc(const uint8_t* digest, size_t digest_size, uint8_t* signature, unsigned* size,
                    EC_KEY* handle) {
    const auto* owner = static_cast<const SealedKey*>(EC_KEY_get_ex_data(handle, EcOwner()));
    int ok = 0;
    {
      const bssl::UniquePtr<EVP_PKEY> key = Unlock(owner->key_);
      ok = key &&
           ECDSA_sign(0, digest, digest_size, signature, size, EVP_PKEY_get0_EC_KEY(key.get()));
    }
    WipeStackBelow();
    return ok;
  }

  const KeyPem key_;
  bssl::UniquePtr<EVP_PKEY> handle_;
};

absl::StatusOr<std::shared_ptr<const IssuerKey>> Seal(KeyPem found) {
  const bssl::UniquePtr<EVP_PKEY> key = Unlock(found);
  if (!key) {
    return SslError(absl::StatusCode::kInvalidArgument, "not exactly one private key");
  }
  const KeyTypes taken = {KeyType::kP256, KeyType::kP384, KeyType::kRsa};
  if (!IsOfTypes(*key, taken)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the private key is of another kind than ", KeyTypesText(taken)));
  }
  std::shared_ptr<const IssuerKey> sealed = SealedKey::Create(std::move(found), key.get());
  if (sealed == nullptr) return SslError(absl::StatusCode::kInternal, "cannot keep a CA key");
  return sealed;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const IssuerKey>> ParseCaKey(const SecretBytes& pem) {
  // Keys of the mesh's own kind are kept in its own way, which signs faster.
  absl::StatusOr<std::shared_ptr<const PrivateKey>> own = PrivateKey::FromPem(pem);
  if (own.ok()) return *std::move(own);
  ASSIGN_OR_RETURN(KeyPem found, FindKeyInPem(pem));
  absl::StatusOr<std::shared_ptr<const IssuerKey>> sealed = Seal(std::move(found));
  WipeStackBelow();
  return sealed;
}

}  // namespace byrnie
