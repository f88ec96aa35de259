#include "common/net/host_port.h"

#include <net/if.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/net/socket_address.h"

namespace byrnie {
namespace {

constexpr size_t kMaxName = 253;  // RFC 1035 section 2.3.4, as text.
constexpr size_t kMaxLabel = 63;

bool IsPort(absl::string_view text) {
  uint32_t port = 0;
  return std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, &port) && port > 0 && port <= 65535;
}

// A name of DNS, and what local ones have beside: an underscore.
bool IsName(absl::string_view text) {
  absl::ConsumeSuffix(&text, ".");
  if (text.empty() || text.size() > kMaxName) return false;
  const std::vector<absl::string_view> labels = absl::StrSplit(text, '.');
  return std::all_of(labels.begin(), labels.end(), [](absl::string_view label) {
    return !label.empty() && label.size() <= kMaxLabel && label.front() != '-' &&
           label.back() != '-' && std::all_of(label.begin(), label.end(), [](char c) {
             return absl::ascii_isalnum(c) || c == '-' || c == '_';
           });
  });
}

// An interface, by its name or number (RFC 4007 section 11).
bool IsZone(absl::string_view text) {
  return !text.empty() && text.size() < IFNAMSIZ &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isgraph(c) && c != '%' && c != '[' && c != ']' && c != '/';
         });
}

bool IsHost(absl::string_view text) {
  if (absl::ConsumePrefix(&text, "[")) {
    if (!absl::ConsumeSuffix(&text, "]")) return false;
    const size_t percent = text.find('%');
    const absl::StatusOr<IpAddress> ip = IpAddress::Parse(text.substr(0, percent));
    // As text: IpAddress has an IPv4 address for one that is mapped.
    if (!absl::StrContains(text, ':') || !ip.ok()) return false;
    return percent == absl::string_view::npos ||
           (ip->IsLinkLocal() && IsZone(text.substr(percent + 1)));
  }
  return IsName(text);
}

}  // namespace

absl::Status CheckHostPort(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon != absl::string_view::npos && IsHost(text.substr(0, colon)) &&
      IsPort(text.substr(colon + 1))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not HOST:PORT"));
}

}  // namespace byrnie
