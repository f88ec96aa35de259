#include "common/identity/jwt_svid.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/base/json.h"
#include "common/base/json_writer.h"
#include "common/base/status_macros.h"
#include "common/crypto/ecdsa_signature.h"
#include "common/identity/jwt_key.h"

namespace byrnie {
namespace {

constexpr char kAlgorithm[] = "ES256";
constexpr size_t kMaxHeaderSize = 1024;
// Year 9999: what lies beyond is no date.
constexpr double kLastDate = 253402300799;

absl::Status Refused(absl::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat("JWT-SVID refused: ", why));
}

// RFC 7515 section 2: no padding, no other characters, and no second spelling of the same bytes.
absl::StatusOr<std::string> DecodePart(absl::string_view name, absl::string_view text) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(text, &bytes) || absl::WebSafeBase64Escape(bytes) != text) {
    return Refused(absl::StrCat("its ", name, " is not base64url"));
  }
  return bytes;
}

absl::StatusOr<JsonObject> ParsePart(absl::string_view name, absl::string_view json,
                                     size_t max_size) {
  absl::StatusOr<JsonValue> value = JsonValue::Parse(json, max_size);
  absl::StatusOr<JsonObject> object = value.ok() ? value->AsObject() : value.status();
  // The parser's message quotes the text.
  if (!object.ok()) return Refused(absl::StrCat("its ", name, " is not a strict JSON object"));
  return object;
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

// A NumericDate (RFC 7519 section 2); absent when there is none.
absl::StatusOr<absl::optional<absl::Time>> Date(const JsonObject& claims, absl::string_view name) {
  absl::optional<JsonValue> value = claims.Find(name);
  if (!value.has_value()) return absl::optional<absl::Time>();
  absl::StatusOr<double> seconds = value->AsDouble();
  if (!seconds.ok() || !(*seconds >= 0 && *seconds <= kLastDate)) {
    return Refused(absl::StrCat("its ", name, " is no date"));
  }
  return absl::optional<absl::Time>(absl::UnixEpoch() + absl::Seconds(*seconds));
}

absl::StatusOr<std::vector<std::string>> Audience(const JsonObject& claims) {
  absl::optional<JsonValue> value = claims.Find("aud");
  if (!value.has_value()) return Refused("it has no aud");
  std::vector<std::string> audience;
  if (value->type() == JsonValue::Type::kString) {
    audience.push_back(*value->AsString());
  } else {
    absl::StatusOr<std::vector<std::string>> list = value->AsStringArray();
    if (!list.ok()) return Refused("its aud is neither a string nor a list of strings");
    audience = *std::move(list);
  }
  return audience;
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
  if (token.size() > kMaxJwtSvidSize) {
    return Refused(absl::StrCat("it has ", token.size(), " bytes, more than ", kMaxJwtSvidSize));
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(token, absl::MaxSplits('.', 3));
  if (parts.size() != 3) return Refused("it does not have three parts");
  ASSIGN_OR_RETURN(std::string header_json, DecodePart("header", parts[0]));
  ASSIGN_OR_RETURN(std::string claims_json, DecodePart("claims", parts[1]));
  ASSIGN_OR_RETURN(std::string raw, DecodePart("signature", parts[2]));

  ASSIGN_OR_RETURN(JsonObject header, ParsePart("header", header_json, kMaxHeaderSize));
  ASSIGN_OR_RETURN(std::string key_id, CheckHeader(header));
  ASSIGN_OR_RETURN(JsonObject claims, ParsePart("claims", claims_json, kMaxJwtSvidSize));
  absl::StatusOr<std::string> subject = claims.GetString("sub");
  if (!subject.ok()) return Refused("it has no sub");
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(*subject);
  if (!id.ok()) return Refused("its sub is not a SPIFFE ID");

  const JwtKey* const key = FindKey(bundles, id->trust_domain(), key_id);
  if (key == nullptr) return Refused("its trust domain has no key of its kid");
  if (key->not_after <= now) return Refused("the key of its kid has ended");
  absl::StatusOr<std::string> signature = DerEcdsaSignature(raw);
  const absl::string_view signed_part = token.substr(0, parts[0].size() + 1 + parts[1].size());
  if (!signature.ok() || !key->key->VerifyEcdsaSha256(signed_part, *signature)) {
    return Refused("its signature is wrong");
  }

  ASSIGN_OR_RETURN(absl::optional<absl::Time> expires_at, Date(claims, "exp"));
  if (!expires_at.has_value()) return Refused("it has no exp");
  if (*expires_at <= now) {
    return Refused(absl::StrCat(
        "that of ", id->text(), " expired ",
        absl::FormatDuration(absl::Trunc(now - *expires_at, absl::Seconds(1))), " ago"));
  }
  ASSIGN_OR_RETURN(absl::optional<absl::Time> not_before, Date(claims, "nbf"));
  if (not_before.has_value() && *not_before > now) {
    return Refused(
        absl::StrCat("that of ", id->text(), " is valid in ",
                     absl::FormatDuration(absl::Ceil(*not_before - now, absl::Seconds(1)))));
  }
  ASSIGN_OR_RETURN(std::vector<std::string> names, Audience(claims));
  if (audience.empty() || std::find(names.begin(), names.end(), audience) == names.end()) {
    return Refused(absl::StrCat("that of ", id->text(), " is for another audience"));
  }
  return JwtSvid{*std::move(id), std::move(names), *expires_at, std::move(claims_json)};
}

}  // namespace byrnie
