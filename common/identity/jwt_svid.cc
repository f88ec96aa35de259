#include "common/identity/jwt_svid.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/base/json.h"
#include "common/base/json_writer.h"
#include "common/base/status_macros.h"
#include "common/crypto/ecdsa_signature.h"
#include "common/crypto/token/compact_jwt.h"
#include "common/identity/jwt_key.h"

namespace byrnie {
namespace {

constexpr char kAlgorithm[] = "ES256";

absl::Status Refused(absl::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat("JWT-SVID refused: ", why));
}

// What parsing a token says is why it is refused.
template <typename T>
absl::StatusOr<T> OrRefused(absl::StatusOr<T> parsed) {
  if (!parsed.ok()) return Refused(parsed.status().message());
  return parsed;
}

// The key's id.
absl::StatusOr<std::string> CheckHeader(const JsonObject& header) {
  // Others are not permitted (JWT-SVID section 2), and each would be a promise to understand it:
  // "crit", or a key that the token brings along.
  if (!header.CheckKeys({"alg", "kid", "typ"}).ok()) {
    return Refused("its header has more than alg, kid and typ");
  }
  absl::StatusOr<std::string> algorithm = header.GetString("alg");
  if (!algorithm.ok() || *algorithm != kAlgorithm) return Refused("its alg is not ES256");
  absl::StatusOr<std::string> type = header.GetStringOr("typ", "JWT");
  if (!type.ok() || (*type != "JWT" && *type != "JOSE")) {
    return Refused("its typ is neither JWT nor JOSE");
  }
  absl::StatusOr<std::string> id = header.GetString("kid");
  if (!id.ok() || id->empty()) return Refused("it has no kid");
  return id;
}

const JwtKey* FindKey(const TrustBundleSet& bundles, absl::string_view trust_domain,
                      absl::string_view key_id) {
  const TrustBundle* const bundle = bundles.Find(trust_domain);
  if (bundle == nullptr) return nullptr;
  for (const JwtKey& key : bundle->jwt_keys) {
    if (key.id == key_id) return &key;
  }
  return nullptr;
}

}  // namespace

absl::Status CheckJwtAudiences(const std::vector<std::string>& audiences) {
  if (audiences.empty()) return absl::InvalidArgumentError("no audience; say whom it is for");
  if (audiences.size() > kMaxJwtAudiences) {
    return absl::InvalidArgumentError(
        absl::StrCat(audiences.size(), " audiences; at most ", kMaxJwtAudiences, " are taken"));
  }
  for (const std::string& audience : audiences) {
    if (audience.empty() || audience.size() > kMaxJwtAudienceLength) {
      return absl::InvalidArgumentError(absl::StrCat("an audience of ", audience.size(),
                                                     " bytes; 1 to ", kMaxJwtAudienceLength,
                                                     " are taken"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SignJwtSvid(const SpiffeId& id,
                                        const std::vector<std::string>& audience,
                                        absl::Time issued_at, absl::Time expires_at,
                                        absl::string_view key_id, const PrivateKey& key) {
  RETURN_IF_ERROR(CheckJwtAudiences(audience));
  JsonWriter header;
  header.BeginObject().Field("alg", kAlgorithm).Field("kid", key_id).Field("typ", "JWT");
  header.EndObject();
  JsonWriter claims;
  claims.BeginObject().Field("sub", id.text()).Key("aud").BeginArray();
  for (const std::string& name : audience) claims.Value(name);
  claims.EndArray().Field("exp", absl::ToUnixSeconds(expires_at));
  claims.Field("iat", absl::ToUnixSeconds(issued_at)).EndObject();
  std::string token = absl::StrCat(absl::WebSafeBase64Escape(std::move(header).Finish()), ".",
                                   absl::WebSafeBase64Escape(std::move(claims).Finish()));
  ASSIGN_OR_RETURN(std::string der,
                   key.SignEcdsaSha256(absl::MakeConstSpan(
                       reinterpret_cast<const uint8_t*>(token.data()), token.size())));
  ASSIGN_OR_RETURN(std::string raw, RawEcdsaSignature(der));
  absl::StrAppend(&token, ".", absl::WebSafeBase64Escape(raw));
  return token;
}

absl::StatusOr<JwtSvid> VerifyJwtSvid(absl::string_view token, absl::string_view audience,
                                      const TrustBundleSet& bundles, absl::Time now) {
  ASSIGN_OR_RETURN(CompactJwt jwt, OrRefused(ParseCompactJwt(token, kMaxJwtSvidSize)));
  ASSIGN_OR_RETURN(std::string key_id, CheckHeader(jwt.header));
  absl::StatusOr<std::string> subject = jwt.claims.GetString("sub");
  if (!subject.ok()) return Refused("it has no sub");
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(*subject);
  if (!id.ok()) return Refused("its sub is not a SPIFFE ID");

  const JwtKey* const key = FindKey(bundles, id->trust_domain(), key_id);
  if (key == nullptr) return Refused("its trust domain has no key of its kid");
  if (key->not_after <= now) return Refused("the key of its kid has ended");
  absl::StatusOr<std::string> signature = DerEcdsaSignature(jwt.signature);
  if (!signature.ok() || !key->key->VerifyEcdsaSha256(jwt.signed_part, *signature)) {
    return Refused("its signature is wrong");
  }

  ASSIGN_OR_RETURN(absl::optional<absl::Time> expires_at,
                   OrRefused(FindJwtDate(jwt.claims, "exp")));
  if (!expires_at.has_value()) return Refused("it has no exp");
  if (*expires_at <= now) {
    return Refused(absl::StrCat(
        "that of ", id->text(), " expired ",
        absl::FormatDuration(absl::Trunc(now - *expires_at, absl::Seconds(1))), " ago"));
  }
  ASSIGN_OR_RETURN(absl::optional<absl::Time> not_before,
                   OrRefused(FindJwtDate(jwt.claims, "nbf")));
  if (not_before.has_value() && *not_before > now) {
    return Refused(
        absl::StrCat("that of ", id->text(), " is valid in ",
                     absl::FormatDuration(absl::Ceil(*not_before - now, absl::Seconds(1)))));
  }
  ASSIGN_OR_RETURN(std::vector<std::string> names, OrRefused(GetJwtAudience(jwt.claims)));
  if (audience.empty() || std::find(names.begin(), names.end(), audience) == names.end()) {
    return Refused(absl::StrCat("that of ", id->text(), " is for another audience"));
  }
  return JwtSvid{*std::move(id), std::move(names), *expires_at, std::move(jwt.claims_json)};
}

}  // namespace byrnie
