#include "deploy/injector/image_reference.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace byrnie {
namespace {

// Of host and path together, and of a tag.
constexpr size_t kMaxName = 255;
constexpr size_t kMaxTag = 128;
constexpr size_t kFewestHexDigits = 32;
// What could be the number of an image instead.
constexpr size_t kIdentifier = 64;

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

bool IsLowerOrDigit(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }

bool IsHex(char c) { return absl::ascii_isxdigit(c); }

template <typename Allowed>
bool AllAre(absl::string_view text, Allowed allowed) {
  return std::all_of(text.begin(), text.end(), allowed);
}

bool IsLabel(absl::string_view text) {
  return !text.empty() && absl::ascii_isalnum(text.front()) && absl::ascii_isalnum(text.back()) &&
         AllAre(text, [](char c) { return absl::ascii_isalnum(c) || c == '-'; });
}

bool IsPort(absl::string_view text) {
  uint32_t port = 0;
  return AllAre(text, absl::ascii_isdigit) && absl::SimpleAtoi(text, &port) && port > 0 &&
         port <= 65535;
}

bool IsHost(absl::string_view text) {
  if (absl::ConsumePrefix(&text, "[")) {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos || end == 0) return false;
    const absl::string_view after = text.substr(end + 1);
    return AllAre(text.substr(0, end), [](char c) { return IsHex(c) || c == ':'; }) &&
           (after.empty() || (after.front() == ':' && IsPort(after.substr(1))));
  }
  const size_t colon = text.find(':');
  if (colon != absl::string_view::npos) {
    if (!IsPort(text.substr(colon + 1))) return false;
    text = text.substr(0, colon);
  }
  const std::vector<absl::string_view> labels = absl::StrSplit(text, '.');
  return std::all_of(labels.begin(), labels.end(), IsLabel);
}

// Letters and digits, with one point, one or two underscores or any number of dashes between them.
bool IsPathComponent(absl::string_view text) {
  if (text.empty() || !IsLowerOrDigit(text.front()) || !IsLowerOrDigit(text.back())) return false;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    while (at < text.size() && !IsLowerOrDigit(text[at])) ++at;
    const absl::string_view between = text.substr(begin, at - begin);
    if (!between.empty() && between != "." && between != "_" && between != "__" &&
        !AllAre(between, [](char c) { return c == '-'; })) {
      return false;
    }
    ++at;
  }
  return true;
}

bool IsTag(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxTag && text.front() != '.' && text.front() != '-' &&
         AllAre(text,
                [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-'; });
}

// ALGORITHM:HEX, where the algorithm is words that begin with a letter.
bool IsDigest(absl::string_view text) {
  const size_t colon = text.find(':');
  if (colon == absl::string_view::npos) return false;
  const absl::string_view hex = text.substr(colon + 1);
  if (hex.size() < kFewestHexDigits || !AllAre(hex, IsHex)) return false;
  // What is known by its name has one length.
  if (text.substr(0, colon) == "sha256" && hex.size() != 64) return false;
  if (text.substr(0, colon) == "sha512" && hex.size() != 128) return false;
  const std::vector<absl::string_view> words =
      absl::StrSplit(text.substr(0, colon), absl::ByAnyChar("-_+."));
  return std::all_of(words.begin(), words.end(), [](absl::string_view word) {
    return !word.empty() && absl::ascii_isalpha(word.front()) && AllAre(word, absl::ascii_isalnum);
  });
}

// Whether what is before the first slash is a registry, and no part of the path.
bool NamesHost(absl::string_view text) {
  return text == "localhost" || text.find_first_of(".:[") != absl::string_view::npos ||
         std::any_of(text.begin(), text.end(), absl::ascii_isupper);
}

}  // namespace

absl::Status CheckImageReference(absl::string_view text) {
  if (text.empty()) return Wrong("is empty");
  absl::string_view name = text;
  const size_t at = name.find('@');
  if (at != absl::string_view::npos) {
    if (!IsDigest(name.substr(at + 1))) return Wrong("has no digest after its @");
    name = name.substr(0, at);
  }
  // A colon before the last slash is that of a port.
  const size_t slash = name.rfind('/');
  const size_t colon = name.find(':', slash == absl::string_view::npos ? 0 : slash);
  if (colon != absl::string_view::npos) {
    if (!IsTag(name.substr(colon + 1))) return Wrong("has no tag after its colon");
    name = name.substr(0, colon);
  }
  if (name.size() > kMaxName) return Wrong(absl::StrCat("has more than ", kMaxName, " bytes"));
  absl::string_view path = name;
  const size_t first = name.find('/');
  if (first != absl::string_view::npos && NamesHost(name.substr(0, first))) {
    if (!IsHost(name.substr(0, first))) return Wrong("names no registry before its first slash");
    path = name.substr(first + 1);
  } else if (text.size() == kIdentifier && AllAre(text, IsHex)) {
    return Wrong("could be the number of an image");
  }
  const std::vector<absl::string_view> components = absl::StrSplit(path, '/');
  if (!std::all_of(components.begin(), components.end(), IsPathComponent)) {
    return Wrong(
        "is no name of an image: lower case letters and digits, with single . _ / or - between");
  }
  return absl::OkStatus();
}

}  // namespace byrnie
