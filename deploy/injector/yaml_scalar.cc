#include "deploy/injector/yaml_scalar.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"

namespace byrnie {
namespace {

// Words are taken as they are written, Like, or LIKE this.
bool IsWord(absl::string_view text, std::initializer_list<absl::string_view> words) {
  const std::string lower = absl::AsciiStrToLower(text);
  if (text != lower && text != absl::AsciiStrToUpper(text) &&
      text.substr(1) != absl::string_view(lower).substr(1)) {
    return false;
  }
  return std::find(words.begin(), words.end(), lower) != words.end();
}

bool AllIn(absl::string_view text, absl::string_view characters) {
  return !text.empty() && text.find_first_not_of(characters) == absl::string_view::npos;
}

absl::optional<Json> ResolveInteger(absl::string_view text) {
  std::string digits = absl::StrReplaceAll(text, {{"_", ""}});
  absl::string_view rest = digits;
  const bool negative = absl::ConsumePrefix(&rest, "-");
  if (!negative) absl::ConsumePrefix(&rest, "+");
  int base = 10;
  if (absl::ConsumePrefix(&rest, "0x") || absl::ConsumePrefix(&rest, "0X")) {
    base = 16;
  } else if (absl::ConsumePrefix(&rest, "0b") || absl::ConsumePrefix(&rest, "0B")) {
    base = 2;
  } else if (absl::ConsumePrefix(&rest, "0o") || absl::ConsumePrefix(&rest, "0O")) {
    base = 8;
  } else if (rest.size() > 1 && rest.front() == '0') {
    base = 8;
  }
  if (!AllIn(rest, base == 16   ? "0123456789abcdefABCDEF"
                   : base == 10 ? "0123456789"
                   : base == 8  ? "01234567"
                                : "01")) {
    return absl::nullopt;
  }
  errno = 0;
  const uint64_t value = std::strtoull(std::string(rest).c_str(), nullptr, base);
  if (errno != 0) return absl::nullopt;
  constexpr uint64_t kLeast = uint64_t{1} << 63;
  if (!negative) return Json(value);
  if (value > kLeast) return absl::nullopt;
  return Json(static_cast<int64_t>(~value + 1));
}

absl::optional<Json> ResolveFloat(absl::string_view text) {
  if (!AllIn(text, "0123456789+-.eE")) return absl::nullopt;
  if (!absl::ascii_isdigit(text.back()) && text.back() != '.') return absl::nullopt;
  double value = 0;
  if (!absl::SimpleAtod(text, &value)) return absl::nullopt;
  // 1e999: nothing that JSON has.
  if (value > 1e308 || value < -1e308) return absl::nullopt;
  return Json(value);
}

}  // namespace

Json ResolveYamlScalar(absl::string_view text) {
  if (text.empty() || text == "~" || IsWord(text, {"null"})) return Json(nullptr);
  if (IsWord(text, {"true", "yes", "y", "on"})) return Json(true);
  if (IsWord(text, {"false", "no", "n", "off"})) return Json(false);
  const bool numeric =
      absl::ascii_isdigit(text.front()) || absl::StrContains("+-.", text.substr(0, 1));
  if (!numeric) return Json(std::string(text));
  absl::optional<Json> number = ResolveInteger(text);
  if (!number.has_value()) number = ResolveFloat(text);
  return number.has_value() ? *std::move(number) : Json(std::string(text));
}

bool IsPlainYamlString(absl::string_view text) {
  if (text.empty() || !ResolveYamlScalar(text).is_string()) return false;
  const char first = text.front();
  const bool flag = absl::StartsWith(text, "--") && text.size() > 2 && text != "---";
  if (!absl::ascii_isalpha(first) && first != '/' && !flag) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) {
                       return absl::ascii_isalnum(c) ||
                              absl::StrContains("./:=,$()@%+_-", absl::string_view(&c, 1));
                     }) &&
         text.back() != ':';
}

}  // namespace byrnie
