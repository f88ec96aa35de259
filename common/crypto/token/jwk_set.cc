#include "common/crypto/token/jwk_set.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/status_macros.h"
#include "common/crypto/ecdsa_signature.h"
#include "common/crypto/sha256_fingerprint.h"
#include "common/crypto/token/base64url.h"

namespace byrnie {
namespace {

constexpr char kEs256[] = "ES256";
constexpr char kRs256[] = "RS256";

// The bytes of a member, which is base64url.
absl::StatusOr<std::string> GetBytes(const JsonObject& jwk, absl::string_view name) {
  ASSIGN_OR_RETURN(std::string text, jwk.GetString(name));
  absl::optional<std::string> bytes = DecodeBase64Url(text);
  if (!bytes.has_value()) return jwk.value().Error(absl::StrCat("\"", name, "\" is not base64url"));
  return *std::move(bytes);
}

// Whether what a key says of its own use (RFC 7517 sections 4.2 to 4.4) is to verify signatures of
// `algorithm`.
absl::StatusOr<bool> IsForVerifying(const JsonObject& jwk, absl::string_view algorithm) {
  ASSIGN_OR_RETURN(std::string use, jwk.GetStringOr("use", "sig"));
  ASSIGN_OR_RETURN(std::string alg, jwk.GetStringOr("alg", algorithm));
  if (use != "sig" || alg != algorithm) return false;
  if (!jwk.Has("key_ops")) return true;
  ASSIGN_OR_RETURN(std::vector<std::string> operations, jwk.GetStringArrayOrEmpty("key_ops"));
  return std::find(operations.begin(), operations.end(), "verify") != operations.end();
}

absl::StatusOr<Jwk::Key> ParseEc(const JsonObject& jwk) {
  ASSIGN_OR_RETURN(std::string x, GetBytes(jwk, "x"));
  ASSIGN_OR_RETURN(std::string y, GetBytes(jwk, "y"));
  absl::StatusOr<std::shared_ptr<const PublicKey>> key = PublicKey::FromCoordinates(x, y);
  if (!key.ok()) return jwk.value().Error(key.status().message());
  return Jwk::Key(*std::move(key));
}

// Absent: a size that is not taken.
absl::StatusOr<absl::optional<Jwk::Key>> ParseRsa(const JsonObject& jwk) {
  ASSIGN_OR_RETURN(std::string n, GetBytes(jwk, "n"));
  ASSIGN_OR_RETURN(std::string e, GetBytes(jwk, "e"));
  if (n.size() * 8 < RsaPublicKey::kMinBits || n.size() * 8 > RsaPublicKey::kMaxBits) {
    return absl::optional<Jwk::Key>();
  }
  absl::StatusOr<std::shared_ptr<const RsaPublicKey>> key = RsaPublicKey::FromNumbers(n, e);
  if (!key.ok()) return jwk.value().Error(key.status().message());
  return absl::optional<Jwk::Key>(*std::move(key));
}

// Absent: not for us.
absl::StatusOr<absl::optional<Jwk::Key>> ParseKey(const JsonObject& jwk) {
  ASSIGN_OR_RETURN(std::string type, jwk.GetString("kty"));
  for (const char* secret : {"d", "p", "q", "dp", "dq", "qi", "k"}) {
    if (jwk.Has(secret)) {
      return jwk.value().Error("a private or secret key; give a set of public ones");
    }
  }
  const bool is_ec = type == "EC";
  if (!is_ec && type != "RSA") return absl::optional<Jwk::Key>();
  ASSIGN_OR_RETURN(bool for_verifying, IsForVerifying(jwk, is_ec ? kEs256 : kRs256));
  if (!for_verifying) return absl::optional<Jwk::Key>();
  if (!is_ec) return ParseRsa(jwk);
  ASSIGN_OR_RETURN(std::string curve, jwk.GetString("crv"));
  if (curve != "P-256") return absl::optional<Jwk::Key>();
  ASSIGN_OR_RETURN(Jwk::Key key, ParseEc(jwk));
  return absl::optional<Jwk::Key>(std::move(key));
}

}  // namespace

absl::string_view Jwk::algorithm() const {
  return absl::holds_alternative<std::shared_ptr<const PublicKey>>(key_) ? kEs256 : kRs256;
}

bool Jwk::Verify(absl::string_view message, absl::string_view signature) const {
  if (const auto* rsa = absl::get_if<std::shared_ptr<const RsaPublicKey>>(&key_)) {
    return (*rsa)->VerifyPkcs1Sha256(message, signature);
  }
  const absl::StatusOr<std::string> der = DerEcdsaSignature(signature);
  return der.ok() &&
         absl::get<std::shared_ptr<const PublicKey>>(key_)->VerifyEcdsaSha256(message, *der);
}

absl::StatusOr<JwkSet> JwkSet::Parse(absl::string_view text) {
  ASSIGN_OR_RETURN(JsonValue value, JsonValue::Parse(text, kMaxSize));
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  ASSIGN_OR_RETURN(JsonValue list, object.Get("keys"));
  ASSIGN_OR_RETURN(std::vector<JsonValue> entries, list.AsArray());
  if (entries.size() > kMaxKeys) {
    return list.Error(absl::StrCat(entries.size(), " keys; at most ", kMaxKeys, " are taken"));
  }
  JwkSet set;
  for (const JsonValue& entry : entries) {
    ASSIGN_OR_RETURN(JsonObject jwk, entry.AsObject());
    ASSIGN_OR_RETURN(absl::optional<Jwk::Key> key, ParseKey(jwk));
    if (!key.has_value()) {
      ++set.ignored_;
      continue;
    }
    ASSIGN_OR_RETURN(std::string id, jwk.GetStringOr("kid", ""));
    if (id.size() > kMaxIdLength) {
      return entry.Error(absl::StrCat("a \"kid\" of more than ", kMaxIdLength, " bytes"));
    }
    const auto same = [&id](const Jwk& other) { return other.id() == id; };
    if (std::any_of(set.keys_.begin(), set.keys_.end(), same)) {
      return entry.Error("another key has the same \"kid\", or none either");
    }
    set.keys_.emplace_back(std::move(id), *std::move(key));
  }
  if (set.keys_.empty()) {
    return list.Error(
        "no key that can be used: P-256 for ES256, or RSA of 2048 to 4096 bits for RS256");
  }
  set.digest_ = Sha256FingerprintHex(text);
  return set;
}

const Jwk* JwkSet::Find(absl::string_view id) const {
  if (id.empty()) return keys_.size() == 1 ? &keys_.front() : nullptr;
  for (const Jwk& key : keys_) {
    if (key.id() == id) return &key;
  }
  return nullptr;
}

}  // namespace byrnie
