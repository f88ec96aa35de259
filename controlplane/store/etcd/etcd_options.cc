#include "controlplane/store/etcd/etcd_options.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/net/socket_address.h"

namespace byrnie {
namespace {

constexpr int kDefaultPort = 2379;
// Leaves room for the keys themselves.
constexpr size_t kMaxPrefix = 256;

absl::Status Wrong(absl::string_view url, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", url, "\" ", what, "; give for example https://10.0.0.1:2379"));
}

// "HOST:PORT" of "HOST", "HOST:PORT", "[IPv6]" or "[IPv6]:PORT".
absl::StatusOr<std::string> ReadEndpoint(absl::string_view url, absl::string_view authority) {
  absl::string_view host = authority;
  absl::string_view port;
  const size_t colon = authority.rfind(':');
  if (colon != absl::string_view::npos && !absl::EndsWith(authority, "]")) {
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
    uint32_t number;
    if (!absl::SimpleAtoi(port, &number) || number < 1 || number > 65535) {
      return Wrong(url, "has a port that is none");
    }
  }
  const bool bracketed = absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
  const bool clean = std::all_of(host.begin(), host.end(), [bracketed](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' ||
           (bracketed && (c == ':' || c == '[' || c == ']'));
  });
  if (host.empty() || !clean) return Wrong(url, "has no host");
  return absl::StrCat(host, ":", port.empty() ? absl::StrCat(kDefaultPort) : std::string(port));
}

}  // namespace

absl::StatusOr<EtcdOptions> ParseEtcdUrls(absl::string_view text) {
  EtcdOptions options;
  options.prefix = "byrnie";
  const std::vector<absl::string_view> urls = absl::StrSplit(text, ',');
  for (const absl::string_view& url : urls) {
    absl::string_view rest = url;
    const bool tls = absl::ConsumePrefix(&rest, "https://");
    if (!tls && !absl::ConsumePrefix(&rest, "http://")) {
      return Wrong(url, "begins with neither http:// nor https://");
    }
    if (!options.endpoints.empty() && tls != options.tls) {
      return Wrong(url, "does not go with the others: all are http or all are https");
    }
    options.tls = tls;
    const size_t slash = rest.find('/');
    const absl::string_view path =
        slash == absl::string_view::npos
            ? absl::string_view()
            : absl::StripSuffix(absl::StripPrefix(rest.substr(slash), "/"), "/");
    if (!path.empty()) {
      if (&url != &urls.back()) return Wrong(url, "has a path; only the last URL may have one");
      const bool clean = std::all_of(path.begin(), path.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' ||
               c == '_' || c == '/';
      });
      if (!clean || path.size() > kMaxPrefix) {
        return Wrong(url, "has a path that is no prefix (letters, digits, \"._-/\")");
      }
      options.prefix = std::string(path);
    }
    ASSIGN_OR_RETURN(std::string endpoint, ReadEndpoint(url, rest.substr(0, slash)));
    options.endpoints.push_back(std::move(endpoint));
  }
  options.prefix.push_back('/');
  return options;
}

bool SendsInTheClear(const EtcdOptions& options) {
  if (options.tls) return false;
  return std::any_of(options.endpoints.begin(), options.endpoints.end(),
                     [](const std::string& endpoint) {
                       const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(endpoint);
                       return address.ok() ? !address->ip().IsLoopback()
                                           : !absl::StartsWith(endpoint, "localhost:");
                     });
}

}  // namespace byrnie
