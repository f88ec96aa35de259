#include "controlplane/attest/jwt_config.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/crypto/sha256_fingerprint.h"

namespace byrnie {
namespace {

constexpr absl::Duration kDefaultLeeway = absl::Seconds(30);
constexpr absl::Duration kDefaultLife = absl::Hours(1);
constexpr absl::Duration kMinLife = absl::Minutes(1);
constexpr absl::Duration kMaxLife = absl::Hours(24);
constexpr size_t kMaxNameLength = 512;
constexpr size_t kMaxAudiences = 16;
constexpr size_t kMaxIdentities = 64;

// Text that can be shown in a log.
absl::StatusOr<std::string> GetName(const JsonValue& value) {
  ASSIGN_OR_RETURN(std::string text, value.AsString());
  if (text.empty() || text.size() > kMaxNameLength) {
    return value.Error(absl::StrCat("has ", text.size(), " bytes; give 1 to ", kMaxNameLength));
  }
  if (!std::all_of(text.begin(), text.end(),
                   [](unsigned char c) { return absl::ascii_isgraph(c); })) {
    return value.Error("has a character that is not visible ASCII");
  }
  return text;
}

absl::StatusOr<absl::Duration> GetDuration(const JsonObject& object, absl::string_view name,
                                           absl::Duration min, absl::Duration max,
                                           absl::Duration missing) {
  const absl::optional<JsonValue> value = object.Find(name);
  if (!value.has_value()) return missing;
  ASSIGN_OR_RETURN(std::string text, value->AsString());
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration < min || duration > max) {
    return value->Error(absl::StrCat("is no duration from ", absl::FormatDuration(min), " to ",
                                     absl::FormatDuration(max), ", such as \"",
                                     absl::FormatDuration(missing), "\""));
  }
  return duration;
}

absl::StatusOr<IdentityMapping> ParseIdentity(const JsonValue& value,
                                              absl::string_view trust_domain) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  RETURN_IF_ERROR(object.CheckKeys({"claims", "spiffe_id"}));
  ASSIGN_OR_RETURN(JsonObject claims, object.GetObject("claims"));
  IdentityMapping::ClaimPatterns patterns;
  for (const auto& [claim, pattern] : claims.Members()) {
    ASSIGN_OR_RETURN(std::string text, pattern.AsString());
    patterns.emplace_back(claim, std::move(text));
  }
  ASSIGN_OR_RETURN(std::string spiffe_id, object.GetString("spiffe_id"));
  absl::StatusOr<IdentityMapping> mapping =
      IdentityMapping::Create(patterns, spiffe_id, trust_domain);
  if (!mapping.ok()) return value.Error(mapping.status().message());
  return mapping;
}

absl::StatusOr<JwtIssuer> ParseIssuer(const JsonValue& value, absl::string_view trust_domain) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  RETURN_IF_ERROR(object.CheckKeys(
      {"issuer", "audiences", "jwks_file", "max_life", "single_use", "identities"}));
  JwtIssuer issuer;
  ASSIGN_OR_RETURN(JsonValue name, object.Get("issuer"));
  ASSIGN_OR_RETURN(issuer.name, GetName(name));
  ASSIGN_OR_RETURN(JsonValue audiences, object.Get("audiences"));
  ASSIGN_OR_RETURN(std::vector<JsonValue> audience_list, audiences.AsArray());
  if (audience_list.empty() || audience_list.size() > kMaxAudiences) {
    return audiences.Error(
        absl::StrCat("has ", audience_list.size(), " entries; give 1 to ", kMaxAudiences));
  }
  for (const JsonValue& entry : audience_list) {
    ASSIGN_OR_RETURN(std::string audience, GetName(entry));
    issuer.audiences.push_back(std::move(audience));
  }
  ASSIGN_OR_RETURN(issuer.jwks_file, object.GetString("jwks_file"));
  if (issuer.jwks_file.empty()) return value.Error("\"jwks_file\" is empty");
  ASSIGN_OR_RETURN(issuer.max_life,
                   GetDuration(object, "max_life", kMinLife, kMaxLife, kDefaultLife));
  ASSIGN_OR_RETURN(issuer.single_use, object.GetBoolOr("single_use", false));
  ASSIGN_OR_RETURN(JsonValue identities, object.Get("identities"));
  ASSIGN_OR_RETURN(std::vector<JsonValue> identity_list, identities.AsArray());
  if (identity_list.empty() || identity_list.size() > kMaxIdentities) {
    return identities.Error(
        absl::StrCat("has ", identity_list.size(), " entries; give 1 to ", kMaxIdentities));
  }
  for (const JsonValue& entry : identity_list) {
    ASSIGN_OR_RETURN(IdentityMapping mapping, ParseIdentity(entry, trust_domain));
    issuer.identities.push_back(std::move(mapping));
  }
  return issuer;
}

}  // namespace

absl::StatusOr<JwtConfig> JwtConfig::Parse(absl::string_view text, absl::string_view trust_domain) {
  ASSIGN_OR_RETURN(JsonValue value, JsonValue::Parse(text, kMaxSize));
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  RETURN_IF_ERROR(object.CheckKeys({"leeway", "issuers"}));
  JwtConfig config;
  ASSIGN_OR_RETURN(config.leeway,
                   GetDuration(object, "leeway", absl::ZeroDuration(), kMaxLeeway, kDefaultLeeway));
  ASSIGN_OR_RETURN(JsonValue issuers, object.Get("issuers"));
  ASSIGN_OR_RETURN(std::vector<JsonValue> list, issuers.AsArray());
  if (list.empty() || list.size() > kMaxIssuers) {
    return issuers.Error(absl::StrCat("has ", list.size(), " entries; give 1 to ", kMaxIssuers));
  }
  for (const JsonValue& entry : list) {
    ASSIGN_OR_RETURN(JwtIssuer issuer, ParseIssuer(entry, trust_domain));
    if (std::any_of(config.issuers.begin(), config.issuers.end(),
                    [&issuer](const JwtIssuer& other) { return other.name == issuer.name; })) {
      return entry.Error("the issuer is there twice; put its \"identities\" into one list");
    }
    config.issuers.push_back(std::move(issuer));
  }
  config.digest = Sha256FingerprintHex(text);
  return config;
}

}  // namespace byrnie
