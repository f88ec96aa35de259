#include "common/crypto/token/compact_jwt.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/crypto/token/base64url.h"

namespace byrnie {
namespace {

constexpr size_t kMaxHeaderSize = 1024;
// Year 9999: what lies beyond is no date.
constexpr double kLastDate = 253402300799;

absl::StatusOr<std::string> DecodePart(absl::string_view name, absl::string_view text) {
  absl::optional<std::string> bytes = DecodeBase64Url(text);
  if (!bytes.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("its ", name, " is not base64url"));
  }
  return *std::move(bytes);
}

absl::StatusOr<JsonObject> ParsePart(absl::string_view name, absl::string_view json,
                                     size_t max_size) {
  absl::StatusOr<JsonValue> value = JsonValue::Parse(json, max_size);
  absl::StatusOr<JsonObject> object = value.ok() ? value->AsObject() : value.status();
  // The parser's message quotes the text.
  if (!object.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("its ", name, " is not a strict JSON object"));
  }
  return object;
}

}  // namespace

absl::StatusOr<CompactJwt> ParseCompactJwt(absl::string_view token, size_t max_size) {
  if (token.size() > max_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has ", token.size(), " bytes, more than ", max_size));
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(token, absl::MaxSplits('.', 3));
  if (parts.size() != 3) return absl::InvalidArgumentError("it does not have three parts");
  ASSIGN_OR_RETURN(std::string header_json, DecodePart("header", parts[0]));
  ASSIGN_OR_RETURN(std::string claims_json, DecodePart("claims", parts[1]));
  ASSIGN_OR_RETURN(std::string signature, DecodePart("signature", parts[2]));
  ASSIGN_OR_RETURN(JsonObject header, ParsePart("header", header_json, kMaxHeaderSize));
  ASSIGN_OR_RETURN(JsonObject claims, ParsePart("claims", claims_json, max_size));
  return CompactJwt{std::move(header), std::move(claims), std::move(claims_json),
                    std::move(signature), token.substr(0, parts[0].size() + 1 + parts[1].size())};
}

bool LooksLikeJwt(absl::string_view credential) {
  const std::vector<absl::string_view> parts = absl::StrSplit(credential, absl::MaxSplits('.', 3));
  return parts.size() == 3 && std::all_of(parts.begin(), parts.end(), [](absl::string_view part) {
           return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
             return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
           });
         });
}

absl::StatusOr<absl::optional<absl::Time>> FindJwtDate(const JsonObject& claims,
                                                       absl::string_view name) {
  absl::optional<JsonValue> value = claims.Find(name);
  if (!value.has_value()) return absl::optional<absl::Time>();
  absl::StatusOr<double> seconds = value->AsDouble();
  if (!seconds.ok() || !(*seconds >= 0 && *seconds <= kLastDate)) {
    return absl::InvalidArgumentError(absl::StrCat("its ", name, " is no date"));
  }
  return absl::optional<absl::Time>(absl::UnixEpoch() + absl::Seconds(*seconds));
}

absl::StatusOr<std::vector<std::string>> GetJwtAudience(const JsonObject& claims) {
  absl::optional<JsonValue> value = claims.Find("aud");
  if (!value.has_value()) return absl::InvalidArgumentError("it has no aud");
  if (value->type() == JsonValue::Type::kString) {
    return std::vector<std::string>{*value->AsString()};
  }
  absl::StatusOr<std::vector<std::string>> list = value->AsStringArray();
  if (!list.ok()) {
    return absl::InvalidArgumentError("its aud is neither a string nor a list of strings");
  }
  return list;
}

}  // namespace byrnie
