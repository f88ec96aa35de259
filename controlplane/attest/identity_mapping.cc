#include "controlplane/attest/identity_mapping.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/base/status_macros.h"
#include "controlplane/ca/authority.h"

namespace byrnie {
namespace {

constexpr size_t kMaxQuoted = 128;

bool IsSegmentChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
}

bool IsPlaceholderName(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_';
  });
}

std::string Quote(absl::string_view text) {
  return absl::StrCat("\"", absl::CEscape(text.substr(0, kMaxQuoted)), "\"",
                      text.size() > kMaxQuoted ? "..." : "");
}

std::vector<std::string> SplitPath(absl::string_view claim) {
  std::vector<std::string> path = absl::StrSplit(claim, '/');
  // "~01" is "~1": in this order.
  for (std::string& name : path) {
    name = absl::StrReplaceAll(absl::StrReplaceAll(name, {{"~1", "/"}}), {{"~0", "~"}});
  }
  return path;
}

// What is at `path`, as text; absent when there is nothing, or it is no text, number or boolean.
absl::optional<std::string> FindText(const JsonObject& claims,
                                     const std::vector<std::string>& path) {
  JsonObject object = claims;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    const absl::optional<JsonValue> value = object.Find(path[i]);
    absl::StatusOr<JsonObject> inner =
        value.has_value() ? value->AsObject() : absl::NotFoundError("");
    if (!inner.ok()) return absl::nullopt;
    object = *std::move(inner);
  }
  const absl::optional<JsonValue> value = object.Find(path.back());
  if (!value.has_value()) return absl::nullopt;
  switch (value->type()) {
    case JsonValue::Type::kString:
      return *value->AsString();
    case JsonValue::Type::kBool:
      return std::string(*value->AsBool() ? "true" : "false");
    case JsonValue::Type::kNumber: {
      const absl::StatusOr<int64_t> number =
          value->AsInt(std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
      if (!number.ok()) return absl::nullopt;
      return absl::StrCat(*number);
    }
    default:
      return absl::nullopt;
  }
}

}  // namespace

absl::StatusOr<IdentityMapping::Pieces> IdentityMapping::ParsePieces(absl::string_view text) {
  Pieces pieces;
  while (!text.empty()) {
    const size_t brace = text.find_first_of("{}");
    if (brace != 0) pieces.push_back({false, std::string(text.substr(0, brace))});
    if (brace == absl::string_view::npos) break;
    text.remove_prefix(brace);
    const size_t end = text.find('}');
    if (text.front() == '}' || end == absl::string_view::npos ||
        !IsPlaceholderName(text.substr(1, end - 1))) {
      return absl::InvalidArgumentError(
          "braces are for placeholders such as {name}, whose names are [a-z0-9_]+");
    }
    pieces.push_back({true, std::string(text.substr(1, end - 1))});
    text.remove_prefix(end + 1);
  }
  return pieces;
}

absl::Status IdentityMapping::CheckPattern(const Pieces& pattern, Parts* known) {
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (!pattern[i].is_placeholder) continue;
    if (!known->emplace(pattern[i].text, "x").second) {
      return absl::InvalidArgumentError(
          absl::StrCat("the placeholder {", pattern[i].text, "} is there twice"));
    }
    if (i + 1 == pattern.size()) continue;
    const Piece& next = pattern[i + 1];
    if (next.is_placeholder || IsSegmentChar(next.text.front())) {
      return absl::InvalidArgumentError(absl::StrCat(
          "it is not clear where {", pattern[i].text,
          "} ends; let it be followed by a character that is not [a-zA-Z0-9._-], or by nothing"));
    }
  }
  return absl::OkStatus();
}

absl::Status IdentityMapping::CheckIdentity(absl::string_view text, absl::string_view trust_domain,
                                            const Parts& known) const {
  absl::string_view path = text;
  if (!absl::ConsumePrefix(&path, absl::StrCat("spiffe://", trust_domain, "/"))) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quote(text), " does not begin with \"spiffe://", trust_domain,
                     "/\": it is no identity of the own trust domain"));
  }
  const std::vector<absl::string_view> segments = absl::StrSplit(path, '/');
  if (absl::StrContains(segments.front(), '{')) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quote(text),
                     " begins with a placeholder; let its first segment be literal, so that no "
                     "token can choose a reserved one"));
  }
  if (IsReservedPath(absl::StrCat("/", segments.front()))) {
    return absl::InvalidArgumentError(absl::StrCat(
        Quote(text), " is reserved for the mesh itself; choose a path outside /byrnie"));
  }
  for (absl::string_view segment : segments) {
    if (std::count(segment.begin(), segment.end(), '{') > 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(Quote(text),
                       " has two placeholders in one segment, so that different tokens could give "
                       "one identity; put a slash between them"));
    }
  }
  for (const Piece& piece : identity_) {
    if (piece.is_placeholder && known.count(piece.text) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("no claim's pattern has the placeholder {", piece.text, "}"));
    }
  }
  return Fill(known).status();
}

absl::StatusOr<IdentityMapping> IdentityMapping::Create(const ClaimPatterns& claims,
                                                        absl::string_view spiffe_id,
                                                        absl::string_view trust_domain) {
  if (claims.empty()) {
    return absl::InvalidArgumentError(
        "no claims: whoever gets a token of the issuer would get the identity; say which claims a "
        "token must have");
  }
  IdentityMapping mapping;
  Parts known;
  for (const auto& [claim, pattern] : claims) {
    const auto in_claim = [&claim = claim](const absl::Status& status) {
      return absl::InvalidArgumentError(
          absl::StrCat("claim ", Quote(claim), ": ", status.message()));
    };
    Rule rule{claim, SplitPath(claim), {}};
    if (std::any_of(rule.path.begin(), rule.path.end(),
                    [](const std::string& name) { return name.empty(); })) {
      return in_claim(absl::InvalidArgumentError("a name is empty"));
    }
    absl::StatusOr<Pieces> pieces = ParsePieces(pattern);
    if (!pieces.ok()) return in_claim(pieces.status());
    const absl::Status checked = CheckPattern(*pieces, &known);
    if (!checked.ok()) return in_claim(checked);
    rule.pattern = *std::move(pieces);
    mapping.rules_.push_back(std::move(rule));
  }
  ASSIGN_OR_RETURN(mapping.identity_, ParsePieces(spiffe_id));
  RETURN_IF_ERROR(mapping.CheckIdentity(spiffe_id, trust_domain, known));
  return mapping;
}

bool IdentityMapping::Match(const Pieces& pattern, absl::string_view value, Parts* parts) {
  for (const Piece& piece : pattern) {
    if (!piece.is_placeholder) {
      if (!absl::ConsumePrefix(&value, piece.text)) return false;
      continue;
    }
    const size_t size = std::find_if_not(value.begin(), value.end(), IsSegmentChar) - value.begin();
    if (size == 0) return false;
    (*parts)[piece.text] = std::string(value.substr(0, size));
    value.remove_prefix(size);
  }
  return value.empty();
}

absl::StatusOr<SpiffeId> IdentityMapping::Fill(const Parts& parts) const {
  std::string text;
  for (const Piece& piece : identity_) {
    absl::StrAppend(&text, piece.is_placeholder ? parts.at(piece.text) : piece.text);
  }
  return SpiffeId::Parse(text);
}

absl::StatusOr<SpiffeId> IdentityMapping::Map(const JsonObject& claims) const {
  Parts parts;
  for (const Rule& rule : rules_) {
    const absl::optional<std::string> value = FindText(claims, rule.path);
    if (!value.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("it has no claim ", Quote(rule.claim), " that is text"));
    }
    if (!Match(rule.pattern, *value, &parts)) {
      return absl::InvalidArgumentError(
          absl::StrCat("its claim ", Quote(rule.claim), " is ", Quote(*value)));
    }
  }
  return Fill(parts);
}

}  // namespace byrnie
