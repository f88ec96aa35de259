#include "common/probe/probe_url.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

bool MayBeInTarget(absl::string_view text, size_t at) {
  const char c = text[at];
  if (c == '%') {
    return at + 2 < text.size() && absl::ascii_isxdigit(text[at + 1]) &&
           absl::ascii_isxdigit(text[at + 2]);
  }
  // RFC 3986's unreserved, sub-delims, and what else a path or query has.
  return absl::ascii_isalnum(c) ||
         absl::StrContains("-._~!$&'()*+,;=:@/?[]", absl::string_view(&c, 1));
}

std::string Encode(absl::string_view text) {
  std::string encoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (MayBeInTarget(text, i)) {
      encoded.push_back(text[i]);
    } else {
      constexpr char kDigits[] = "0123456789ABCDEF";
      const auto byte = static_cast<unsigned char>(text[i]);
      encoded.append({'%', kDigits[byte >> 4], kDigits[byte & 15]});
    }
  }
  return encoded;
}

// RFC 3986 section 5.2.4, of a path that begins with a slash.
std::string RemoveDotSegments(absl::string_view path) {
  std::string result;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/', 1), path.size());
    const absl::string_view segment = path.substr(0, end);
    path.remove_prefix(end);
    if (segment == "/.") {
      if (path.empty()) result += '/';
    } else if (segment == "/..") {
      const size_t last = result.rfind('/');
      if (last != std::string::npos) result.resize(last);
      if (path.empty()) result += '/';
    } else {
      absl::StrAppend(&result, segment);
    }
  }
  return result.empty() ? "/" : result;
}

bool IsScheme(absl::string_view text) {
  return !text.empty() && absl::ascii_isalpha(text[0]) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '+' || c == '-' || c == '.';
         });
}

// "host", "host:80", "[fd00::1]:80", with or without "user@"; false when that is none.
bool ParseAuthority(absl::string_view text, std::string* host, uint16_t* port) {
  const size_t user = text.rfind('@');
  if (user != absl::string_view::npos) text.remove_prefix(user + 1);
  absl::string_view rest;
  if (absl::StartsWith(text, "[")) {
    const size_t close = text.find(']');
    if (close == absl::string_view::npos) return false;
    *host = std::string(text.substr(1, close - 1));
    rest = text.substr(close + 1);
  } else {
    const size_t colon = std::min(text.find(':'), text.size());
    *host = std::string(text.substr(0, colon));
    rest = text.substr(colon);
  }
  if (rest.empty() || rest == ":") return true;
  uint32_t number = 0;
  if (rest[0] != ':' || !std::all_of(rest.begin() + 1, rest.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(rest.substr(1), &number) || number == 0 || number > 65535) {
    return false;
  }
  *port = static_cast<uint16_t>(number);
  return true;
}

// Takes the path and the query of a target apart; the query begins with its mark.
void SplitQuery(absl::string_view target, absl::string_view* path, absl::string_view* query) {
  const size_t mark = std::min(target.find('?'), target.size());
  *path = target.substr(0, mark);
  *query = target.substr(mark);
}

}  // namespace

std::string ProbeTarget(absl::string_view path) {
  path = path.substr(0, path.find('#'));
  return absl::StrCat(absl::StartsWith(path, "/") ? "" : "/", Encode(path));
}

absl::StatusOr<absl::optional<ProbeUrl>> FollowRedirect(const ProbeUrl& from, const IpAddress& host,
                                                        absl::string_view location) {
  ProbeUrl to = from;
  location = location.substr(0, location.find('#'));
  const size_t colon = location.find(':');
  bool known = true;
  if (colon != absl::string_view::npos && colon < location.find_first_of("/?")) {
    if (!IsScheme(location.substr(0, colon))) {
      return absl::InvalidArgumentError("a redirect to what is no URL");
    }
    to.https = absl::EqualsIgnoreCase(location.substr(0, colon), "https");
    known = to.https || absl::EqualsIgnoreCase(location.substr(0, colon), "http");
    location.remove_prefix(colon + 1);
    if (!absl::StartsWith(location, "//")) {
      if (!known) return absl::optional<ProbeUrl>();  // "mailto:me": it has no host.
      return absl::InvalidArgumentError("a redirect to what is no URL");
    }
  }
  if (absl::StartsWith(location, "//")) {
    location.remove_prefix(2);
    const size_t end = std::min(location.find_first_of("/?"), location.size());
    std::string name;
    to.port = to.https ? 443 : 80;
    if (!ParseAuthority(location.substr(0, end), &name, &to.port)) {
      return absl::InvalidArgumentError("a redirect to what is no URL");
    }
    const absl::StatusOr<IpAddress> address = IpAddress::Parse(name);
    if (!address.ok() || *address != host) return absl::optional<ProbeUrl>();
    if (!known) return absl::InvalidArgumentError("a redirect to what is not HTTP");
    location.remove_prefix(end);
    to.target = "/";
  }
  absl::string_view path, query, old_path, old_query;
  SplitQuery(location, &path, &query);
  SplitQuery(to.target, &old_path, &old_query);
  std::string merged;
  if (path.empty()) {
    merged = std::string(old_path);
    if (query.empty()) query = old_query;
  } else if (path[0] == '/') {
    merged = RemoveDotSegments(path);
  } else {
    merged = RemoveDotSegments(absl::StrCat(old_path.substr(0, old_path.rfind('/') + 1), path));
  }
  to.target = ProbeTarget(absl::StrCat(merged, query));
  return absl::optional<ProbeUrl>(std::move(to));
}

}  // namespace byrnie
