#include "controlplane/kubernetes/http_proxy.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/net/socket_address.h"

namespace byrnie {
namespace {

absl::Status ParsePort(absl::string_view text, uint16_t* port) {
  uint32_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < 1 || number > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no port"));
  }
  *port = static_cast<uint16_t>(number);
  return absl::OkStatus();
}

// Nothing that would be another part of an address, or end a line of a request.
bool IsHost(absl::string_view text) {
  return absl::c_all_of(text, [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c)) &&
           !absl::StrContains("/?#@[]", absl::string_view(&c, 1));
  });
}

// "%40" is "@" there. False: it is none.
bool DecodePercents(absl::string_view text, std::string* decoded) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded->push_back(text[i]);
      continue;
    }
    const absl::string_view digits = text.substr(i + 1, 2);
    if (digits.size() != 2 || !absl::ascii_isxdigit(static_cast<unsigned char>(digits[0])) ||
        !absl::ascii_isxdigit(static_cast<unsigned char>(digits[1]))) {
      return false;
    }
    decoded->append(absl::HexStringToBytes(digits));
    i += 2;
  }
  return true;
}

// Of "10.0.0.0/8" and "fd00::/8".
bool IsWithin(absl::string_view network, const IpAddress& address) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(network, absl::MaxSplits('/', 1));
  const absl::StatusOr<IpAddress> base = IpAddress::Parse(parts.first);
  uint32_t bits = 0;
  if (!base.ok() || base->is_v4() != address.is_v4() || !absl::SimpleAtoi(parts.second, &bits)) {
    return false;
  }
  const std::string a = base->ToBytes(), b = address.ToBytes();
  if (bits > a.size() * 8) return false;
  for (uint32_t i = 0; i < bits; ++i) {
    const int mask = 0x80 >> (i % 8);
    if ((a[i / 8] & mask) != (b[i / 8] & mask)) return false;
  }
  return true;
}

// Go's httpproxy, which is kubectl's: an address, a network, "host[:port]" with all below it,
// ".host" or "*.host" for what is below alone, or "*".
bool Excepts(absl::string_view entry, absl::string_view host, uint16_t port) {
  if (entry == "*") return true;
  const absl::StatusOr<IpAddress> address = IpAddress::Parse(host);
  if (absl::StrContains(entry, '/')) {
    return address.ok() && IsWithin(entry, *address);
  }
  const absl::StatusOr<IpAddress> one = IpAddress::Parse(entry);
  if (one.ok()) return address.ok() && *address == *one;
  std::string name;
  uint16_t only_port = 0;
  absl::ConsumePrefix(&entry, "*");
  const bool below_alone = absl::StartsWith(entry, ".");
  if (!ParseHostAndPort(entry, &name, &only_port).ok()) return false;
  if (only_port != 0 && only_port != port) return false;
  const absl::StatusOr<IpAddress> with_port = IpAddress::Parse(name);
  if (with_port.ok()) return address.ok() && *address == *with_port;
  if (below_alone) return absl::EndsWithIgnoreCase(host, name);
  return absl::EqualsIgnoreCase(host, name) ||
         absl::EndsWithIgnoreCase(host, absl::StrCat(".", name));
}

bool IsThisMachine(absl::string_view host) {
  const absl::StatusOr<IpAddress> address = IpAddress::Parse(host);
  return host == "localhost" || (address.ok() && address->IsLoopback());
}

}  // namespace

std::string JoinHostAndPort(absl::string_view host, uint16_t port) {
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]:", port)
                                      : absl::StrCat(host, ":", port);
}

std::string HttpProxy::Authority() const { return JoinHostAndPort(host, port); }

absl::Status ParseHostAndPort(absl::string_view text, std::string* host, uint16_t* port) {
  absl::string_view rest = text, port_text;
  if (absl::ConsumePrefix(&rest, "[")) {
    const size_t end = rest.find(']');
    if (end == absl::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" has a [ without ]"));
    }
    port_text = rest.substr(end + 1);
    rest = rest.substr(0, end);
    if (!port_text.empty() && !absl::ConsumePrefix(&port_text, ":")) port_text = "?";
  } else {
    const size_t colon = rest.find(':');
    if (colon != absl::string_view::npos) {
      port_text = rest.substr(colon + 1);
      rest = rest.substr(0, colon);
    }
  }
  if (rest.empty() || !IsHost(rest)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not HOST[:PORT]"));
  }
  *host = std::string(rest);
  return port_text.empty() ? absl::OkStatus() : ParsePort(port_text, port);
}

absl::StatusOr<HttpProxy> ParseProxyUrl(absl::string_view url) {
  const size_t scheme_end = url.find("://");
  const absl::string_view scheme =
      scheme_end == absl::string_view::npos ? "" : url.substr(0, scheme_end);
  if (!absl::EqualsIgnoreCase(scheme, "http")) {
    return absl::InvalidArgumentError(
        absl::EqualsIgnoreCase(scheme, "https") || absl::StartsWithIgnoreCase(scheme, "socks5")
            ? absl::StrCat("a proxy that is asked by ", scheme,
                           " is not taken: one of http://HOST:PORT is, by CONNECT")
            : std::string("it is not http://HOST:PORT"));
  }
  absl::string_view rest = url.substr(scheme_end + 3);
  absl::ConsumeSuffix(&rest, "/");
  HttpProxy proxy;
  const size_t at = rest.rfind('@');
  if (at != absl::string_view::npos) {
    std::string credentials;
    if (!DecodePercents(rest.substr(0, at), &credentials)) {
      return absl::InvalidArgumentError("its user or password has a % that says nothing");
    }
    if (!absl::StrContains(credentials, ':')) credentials.push_back(':');
    proxy.credentials = SecretBytes::TakeFrom(&credentials);
    rest = rest.substr(at + 1);
  }
  RETURN_IF_ERROR(ParseHostAndPort(rest, &proxy.host, &proxy.port));
  return proxy;
}

absl::StatusOr<absl::optional<HttpProxy>> ProxyOfEnvironment(
    const std::function<std::string(absl::string_view name)>& get_environment,
    absl::string_view host, uint16_t port) {
  const auto either = [&get_environment](const char* large, const char* small) {
    const std::string value = get_environment(large);
    return value.empty() ? get_environment(small) : value;
  };
  std::string url = either("HTTPS_PROXY", "https_proxy");
  if (url.empty() || IsThisMachine(host)) return absl::optional<HttpProxy>();
  const std::string exceptions = either("NO_PROXY", "no_proxy");
  for (absl::string_view entry : absl::StrSplit(exceptions, ',')) {
    entry = absl::StripAsciiWhitespace(entry);
    if (!entry.empty() && Excepts(entry, host, port)) return absl::optional<HttpProxy>();
  }
  if (!absl::StrContains(url, "://")) url = absl::StrCat("http://", url);
  absl::StatusOr<HttpProxy> proxy = ParseProxyUrl(url);
  WipeString(&url);
  if (proxy.ok()) return absl::optional<HttpProxy>(*std::move(proxy));
  return absl::InvalidArgumentError(absl::StrCat("HTTPS_PROXY: ", proxy.status().message()));
}

}  // namespace byrnie
