#include "certagent/token_file.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"

namespace byrnie {
namespace {

// In messages.
constexpr size_t kMaxShown = 128;

absl::Status Refuse(absl::string_view why) { return absl::UnauthenticatedError(why); }

std::string Shown(const std::vector<std::string>& names) {
  return absl::CHexEscape(absl::StrJoin(names, ", ").substr(0, kMaxShown));
}

// What the parser says of a text may quote it.
absl::StatusOr<JsonObject> ParsePart(absl::string_view part, absl::string_view name) {
  std::string text;
  if (!absl::WebSafeBase64Unescape(part, &text)) {
    return Refuse(absl::StrCat("is malformed: its ", name, " is not base64url"));
  }
  absl::StatusOr<JsonValue> value = JsonValue::Parse(text, TokenFile::kMaxSize);
  absl::StatusOr<JsonObject> object =
      value.ok() ? value->AsObject() : absl::StatusOr<JsonObject>(value.status());
  if (!object.ok()) {
    return Refuse(absl::StrCat("is malformed: its ", name, " is not a JSON object"));
  }
  return object;
}

absl::Status CheckExpiry(const JsonObject& claims, absl::Time now) {
  const absl::optional<JsonValue> claim = claims.Find("exp");
  if (!claim.has_value()) return Refuse("is malformed: it does not say when it expires");
  const absl::StatusOr<double> seconds = claim->AsDouble();
  if (!seconds.ok()) return Refuse("is malformed: when it expires is not a number");
  const absl::Time expires = absl::UnixEpoch() + absl::Seconds(*seconds);
  if (now < expires) return absl::OkStatus();
  return Refuse(absl::StrCat("expired ",
                             absl::FormatDuration(absl::Trunc(now - expires, absl::Seconds(1))),
                             " ago, at ", UtcText(expires)));
}

absl::Status CheckAudience(const JsonObject& claims, absl::string_view audience) {
  const absl::optional<JsonValue> claim = claims.Find("aud");
  if (!claim.has_value()) {
    return Refuse(absl::StrCat("is for no audience, not for ", audience));
  }
  // RFC 7519 section 4.1.3: one string, or an array of them.
  absl::StatusOr<std::vector<std::string>> audiences = claim->AsStringArray();
  if (claim->type() == JsonValue::Type::kString) {
    audiences = std::vector<std::string>{*claim->AsString()};
  }
  if (!audiences.ok()) return Refuse("is malformed: its audience is not text");
  if (std::find(audiences->begin(), audiences->end(), audience) != audiences->end()) {
    return absl::OkStatus();
  }
  return Refuse(absl::StrCat("is for the audience ", Shown(*audiences), ", not for ", audience));
}

}  // namespace

absl::Status CheckToken(absl::string_view token, absl::string_view audience, absl::Time now) {
  const std::vector<absl::string_view> parts = absl::StrSplit(token, '.');
  // "eyJ" is how '{"' begins in base64url.
  if (parts.size() != 3 && !absl::StartsWith(token, "eyJ")) {
    if (audience.empty()) return absl::OkStatus();
    return Refuse(absl::StrCat("is not a JSON Web Token, so it cannot be for ", audience));
  }
  if (parts.size() != 3) {
    return Refuse(
        absl::StrCat("is malformed: a JSON Web Token has 3 parts, this one has ", parts.size()));
  }
  RETURN_IF_ERROR(ParsePart(parts[0], "header").status());
  ASSIGN_OR_RETURN(JsonObject claims, ParsePart(parts[1], "payload"));
  if (parts[2].empty()) return Refuse("is malformed: it is not signed");
  RETURN_IF_ERROR(CheckExpiry(claims, now));
  return audience.empty() ? absl::OkStatus() : CheckAudience(claims, audience);
}

absl::StatusOr<SecretBytes> TokenFile::Read(absl::Time now) const {
  ASSIGN_OR_RETURN(SecretBytes content, ReadSecretFile(path_, kMaxSize));
  const absl::string_view token = absl::StripAsciiWhitespace(content.view());
  if (token.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "the token file ", path_, " is empty; write one there that byrniectl token create made"));
  }
  // What is no visible ASCII would be refused by the library with a message that quotes it.
  if (!std::all_of(token.begin(), token.end(), absl::ascii_isgraph)) {
    return Refuse(
        absl::StrCat("the token file ", path_, " holds more than one line of visible ASCII"));
  }
  const absl::Status usable = CheckToken(token, audience_, now);
  if (!usable.ok()) {
    return absl::Status(usable.code(), absl::StrCat("the token in ", path_, " ", usable.message()));
  }
  return SecretBytes(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(token.data()), token.size()));
}

}  // namespace byrnie
