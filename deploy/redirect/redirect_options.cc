#include "deploy/redirect/redirect_options.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "deploy/redirect/network_set.h"

namespace byrnie {
namespace {

constexpr uint32_t kLastPort = 65535;
// The number above it means "no user".
constexpr uint32_t kLastUser = 4294967294;

// What Istio's annotations write for everything.
constexpr char kEverything[] = "*";

// ::ffff:0.0.0.0/96, IPv4 addresses as a socket for both families knows them.
bool IsMapped(const unsigned char* bytes) {
  return std::all_of(bytes, bytes + 10, [](unsigned char b) { return b == 0; }) &&
         bytes[10] == 0xff && bytes[11] == 0xff;
}

struct Destinations {
  // Each by itself as its list names it: "ip 10.0.0.0/8"; sorted and each once.
  std::vector<std::string> named;
  NetworkSet set;
};

// Adds a destination, and returns its name.
absl::StatusOr<std::string> AddDestination(absl::string_view flag, const std::string& cidr,
                                           NetworkSet* set) {
  const std::vector<std::string> parts = absl::StrSplit(cidr, absl::MaxSplits('/', 1));
  unsigned char bytes[16] = {};
  int family = AF_INET;
  int bits = 32;
  if (inet_pton(AF_INET, parts[0].c_str(), bytes) != 1) {
    family = AF_INET6;
    bits = 128;
    if (inet_pton(AF_INET6, parts[0].c_str(), bytes) != 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--", flag, ": \"", cidr, "\" is no network; write it like 10.0.0.0/8 or fd00::/8"));
    }
  }
  int prefix = bits;
  if (parts.size() == 2 && (!absl::SimpleAtoi(parts[1], &prefix) || prefix < 0 || prefix > bits)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, ": the prefix length of \"", cidr, "\" must be 0 to ", bits));
  }
  for (int bit = prefix; bit < bits; ++bit) {
    if (bytes[bit / 8] & (0x80 >> (bit % 8))) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag, ": \"", cidr, "\" has bits set beyond its prefix of ", prefix,
                       "; write the network's first address"));
    }
  }
  char text[INET6_ADDRSTRLEN];
  if (family == AF_INET6 && IsMapped(bytes)) {
    inet_ntop(AF_INET, bytes + 12, text, sizeof(text));
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, ": \"", cidr, "\" is in no packet; write ", text, "/", prefix - 96,
                     ", the IPv4 network that it means"));
  }
  set->Add(family == AF_INET6, bytes, prefix);
  inet_ntop(family, bytes, text, sizeof(text));
  return absl::StrCat(family == AF_INET ? "ip " : "ip6 ", text,
                      prefix == bits ? std::string() : absl::StrCat("/", prefix));
}

absl::StatusOr<Destinations> ParseDestinations(absl::string_view flag,
                                               const std::vector<std::string>& cidrs) {
  Destinations destinations;
  std::set<std::string> named;
  for (const std::string& cidr : cidrs) {
    ASSIGN_OR_RETURN(std::string name, AddDestination(flag, cidr, &destinations.set));
    named.insert(std::move(name));
  }
  destinations.named.assign(named.begin(), named.end());
  return destinations;
}

absl::StatusOr<std::vector<std::string>> InterfaceNames(absl::string_view flag,
                                                        const std::vector<std::string>& names) {
  std::set<std::string> known;
  for (const std::string& name : names) {
    const bool fits =
        !name.empty() && name.size() < IFNAMSIZ &&
        std::all_of(name.begin(), name.end(), [](char c) {
          return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.' || c == '@' || c == ':';
        });
    if (!fits || name == "lo") {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag, ": \"", absl::CHexEscape(name),
                       "\" is no interface that can be named here; write it like eth0"));
    }
    known.insert(name);
  }
  return std::vector<std::string>(known.begin(), known.end());
}

absl::StatusOr<NumberRanges> Ports(absl::string_view flag, const std::vector<std::string>& items) {
  return NumberRanges::Parse(flag, items, 1, kLastPort);
}

// Takes "*" out of an include list, which then is one that names nothing: everything. Whether it
// was there.
absl::StatusOr<bool> TakeEverything(absl::string_view flag, std::vector<std::string>* items) {
  if (std::find(items->begin(), items->end(), kEverything) == items->end()) return false;
  if (items->size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, ": * is everything; give it alone, or leave it out"));
  }
  items->clear();
  return true;
}

// An exclude list that lets everything out is more likely one in the wrong place.
absl::Status LetsEverythingOut(absl::string_view flag, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": ", what,
                   " would let everything out; name less, or do not apply the redirect to this "
                   "pod"));
}

absl::Status LetsEverythingOut(absl::string_view flag, const std::vector<std::string>& items) {
  return LetsEverythingOut(flag, items.size() == 1 ? items[0] : "all of these together");
}

absl::Status CheckNotEverything(absl::string_view flag, const std::vector<std::string>& items) {
  for (const std::string& item : items) {
    if (item == kEverything || absl::EndsWith(item, "/0")) return LetsEverythingOut(flag, item);
  }
  return absl::OkStatus();
}

NumberRanges From(uint32_t first, uint32_t last) {
  NumberRanges ranges;
  ranges.Add(first, last);
  return ranges;
}

// What no redirect takes, of one family: what a pod sends to itself, and where no TCP goes.
NetworkSet NeverTaken(bool ipv6) {
  NetworkSet networks;
  const unsigned char loopback[16] = {127},
                      ipv6_loopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  const unsigned char multicast[16] = {224}, ipv6_multicast[16] = {0xff}, any[16] = {};
  networks.Add(ipv6, ipv6 ? ipv6_loopback : loopback, ipv6 ? 128 : 8);
  networks.Add(ipv6, ipv6 ? ipv6_multicast : multicast, ipv6 ? 8 : 4);
  networks.Add(ipv6, any, ipv6 ? 128 : 32);
  return networks;
}

// All of one family.
NetworkSet Family(bool ipv6) {
  NetworkSet networks;
  const unsigned char first[16] = {};
  networks.Add(ipv6, first, 0);
  return networks;
}

// As CheckNotEverything, of the parsed list: its items may be everything together.
absl::Status CheckNotEverywhere(const std::vector<std::string>& items, const NetworkSet& excluded) {
  for (const bool ipv6 : {false, true}) {
    NetworkSet out = excluded;
    out.Add(NeverTaken(ipv6));
    if (out.Covers(Family(ipv6))) return LetsEverythingOut("exclude_outbound_cidrs", items);
  }
  return absl::OkStatus();
}

// `own`: who is outside anyhow.
absl::Status CheckNotEverybody(absl::string_view flag, const std::vector<std::string>& items,
                               NumberRanges excluded, uint32_t own) {
  excluded.Add(own);
  if (!excluded.Covers(From(0, kLastUser))) return absl::OkStatus();
  return LetsEverythingOut(flag, items);
}

absl::Status TakesNothing(absl::string_view flag, const std::vector<std::string>& items,
                          absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "--", flag, ": ", items.size() == 1 ? items[0] : "all of these",
      " would lead nothing to the proxy, because ", why, "; name what shall go through it"));
}

absl::Status CheckApart(absl::string_view include, const NumberRanges& included,
                        absl::string_view exclude, const NumberRanges& excluded) {
  uint32_t common = 0;
  if (!included.Overlaps(excluded, &common)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", include, " and --", exclude, " both name ",
                                                 common, "; take it out of one of them"));
}

// Of sorted lists.
absl::Status CheckApart(absl::string_view include, const std::vector<std::string>& included,
                        absl::string_view exclude, const std::vector<std::string>& excluded) {
  for (const std::string& item : included) {
    if (!std::binary_search(excluded.begin(), excluded.end(), item)) continue;
    const std::vector<std::string> words = absl::StrSplit(item, ' ');
    return absl::InvalidArgumentError(absl::StrCat("--", include, " and --", exclude, " both name ",
                                                   words.back(), "; take it out of one of them"));
  }
  return absl::OkStatus();
}

absl::Status CheckProxy(const RedirectOptions& options) {
  if (options.mode != "redirect" && options.mode != "tproxy") {
    return absl::InvalidArgumentError(
        absl::StrCat("--mode=", options.mode, ": not known; give redirect or tproxy"));
  }
  if (options.outbound_port == 0 || options.inbound_port == 0) {
    return absl::InvalidArgumentError("--outbound_port and --inbound_port must be 1 to 65535");
  }
  if (options.outbound_port == options.inbound_port) {
    return absl::InvalidArgumentError(absl::StrCat("--outbound_port and --inbound_port are both ",
                                                   options.outbound_port,
                                                   "; give the proxy two ports"));
  }
  for (uint16_t port : {options.outbound_port, options.inbound_port}) {
    if (port == kCheckPort ||
        std::find(std::begin(kProxyPorts), std::end(kProxyPorts), port) != std::end(kProxyPorts)) {
      return absl::InvalidArgumentError(
          absl::StrCat("port ", port, " is the proxy's own; redirect to another one"));
    }
  }
  if (options.proxy_uid == 0) {
    return absl::InvalidArgumentError(
        "--proxy_uid must not be 0: everything root sends would bypass the proxy");
  }
  if (options.proxy_uid > kLastUser) {
    return absl::InvalidArgumentError(
        absl::StrCat("--proxy_uid=", options.proxy_uid,
                     " is the kernel's word for no user; give the uid that the proxy runs as"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RedirectMatches> CheckOptions(const RedirectOptions& options) {
  RETURN_IF_ERROR(CheckProxy(options));
  RedirectMatches matches;
  matches.tproxy = options.mode == "tproxy";
  matches.outbound_port = options.outbound_port;
  matches.inbound_port = options.inbound_port;
  matches.proxy_uid = options.proxy_uid;

  RETURN_IF_ERROR(CheckNotEverything("exclude_inbound_ports", options.exclude_inbound_ports));
  RETURN_IF_ERROR(CheckNotEverything("exclude_outbound_ports", options.exclude_outbound_ports));
  RETURN_IF_ERROR(CheckNotEverything("exclude_outbound_cidrs", options.exclude_outbound_cidrs));
  ASSIGN_OR_RETURN(matches.exclude_inbound_ports,
                   Ports("exclude_inbound_ports", options.exclude_inbound_ports));
  for (uint16_t port : {options.outbound_port, options.inbound_port}) {
    if (matches.exclude_inbound_ports.Contains(port)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--exclude_inbound_ports: ", port,
                       " cannot be open to others; name ports of the application"));
    }
  }
  NumberRanges sidecar = From(options.outbound_port, options.outbound_port);
  sidecar.Add(options.inbound_port);
  sidecar.Add(kCheckPort);
  for (uint16_t port : kProxyPorts) sidecar.Add(port);
  for (uint16_t port : kAdminPorts) sidecar.Add(port);
  NumberRanges open_or_own = sidecar;
  for (const auto& [first, last] : matches.exclude_inbound_ports.ranges()) {
    open_or_own.Add(first, last);
  }
  if (open_or_own.Covers(From(1, kLastPort))) {
    return LetsEverythingOut("exclude_inbound_ports", options.exclude_inbound_ports);
  }
  std::vector<std::string> include_inbound = options.include_inbound_ports;
  RETURN_IF_ERROR(TakeEverything("include_inbound_ports", &include_inbound).status());
  ASSIGN_OR_RETURN(matches.include_inbound_ports, Ports("include_inbound_ports", include_inbound));
  if (!matches.include_inbound_ports.empty() && sidecar.Covers(matches.include_inbound_ports)) {
    return TakesNothing("include_inbound_ports", include_inbound, "those ports are the sidecar's");
  }
  RETURN_IF_ERROR(CheckApart("include_inbound_ports", matches.include_inbound_ports,
                             "exclude_inbound_ports", matches.exclude_inbound_ports));
  matches.open_ports = matches.exclude_inbound_ports;
  for (uint16_t port : kProxyPorts) matches.open_ports.Add(port);

  std::vector<std::string> included_ports = options.include_outbound_ports;
  std::vector<std::string> included_cidrs = options.include_outbound_cidrs;
  ASSIGN_OR_RETURN(const bool every_port,
                   TakeEverything("include_outbound_ports", &included_ports));
  ASSIGN_OR_RETURN(const bool everywhere,
                   TakeEverything("include_outbound_cidrs", &included_cidrs));
  ASSIGN_OR_RETURN(const NumberRanges include_ports,
                   Ports("include_outbound_ports", included_ports));
  ASSIGN_OR_RETURN(matches.exclude_outbound_ports,
                   Ports("exclude_outbound_ports", options.exclude_outbound_ports));
  if (matches.exclude_outbound_ports.Covers(From(1, kLastPort))) {
    return LetsEverythingOut("exclude_outbound_ports", options.exclude_outbound_ports);
  }
  RETURN_IF_ERROR(CheckApart("include_outbound_ports", include_ports, "exclude_outbound_ports",
                             matches.exclude_outbound_ports));
  ASSIGN_OR_RETURN(const Destinations include_cidrs,
                   ParseDestinations("include_outbound_cidrs", included_cidrs));
  ASSIGN_OR_RETURN(const Destinations exclude_cidrs,
                   ParseDestinations("exclude_outbound_cidrs", options.exclude_outbound_cidrs));
  RETURN_IF_ERROR(CheckApart("include_outbound_cidrs", include_cidrs.named,
                             "exclude_outbound_cidrs", exclude_cidrs.named));
  RETURN_IF_ERROR(CheckNotEverywhere(options.exclude_outbound_cidrs, exclude_cidrs.set));
  if (!include_cidrs.named.empty() && include_ports.empty() && !every_port) {
    NetworkSet out = exclude_cidrs.set;
    for (const bool ipv6 : {false, true}) out.Add(NeverTaken(ipv6));
    if (out.Covers(include_cidrs.set)) {
      return TakesNothing(
          "include_outbound_cidrs", options.include_outbound_cidrs,
          "loopback and multicast never go there, nor what --exclude_outbound_cidrs names");
    }
  }
  matches.exclude_cidrs = exclude_cidrs.set.Matches();
  // What is in either list: everything, when one of them says so.
  if (!every_port && !everywhere) {
    if (!include_ports.empty()) {
      matches.include_outbound.push_back(absl::StrCat("tcp dport ", include_ports.ToNft()));
    }
    const std::vector<std::string> networks = include_cidrs.set.Matches();
    matches.include_outbound.insert(matches.include_outbound.end(), networks.begin(),
                                    networks.end());
  }

  ASSIGN_OR_RETURN(const NumberRanges uids,
                   NumberRanges::Parse("exclude_uids", options.exclude_uids, 0, kLastUser));
  ASSIGN_OR_RETURN(const NumberRanges gids,
                   NumberRanges::Parse("exclude_gids", options.exclude_gids, 0, kLastUser));
  RETURN_IF_ERROR(CheckNotEverybody("exclude_uids", options.exclude_uids, uids, options.proxy_uid));
  RETURN_IF_ERROR(CheckNotEverybody("exclude_gids", options.exclude_gids, gids, options.proxy_uid));
  for (const std::string& range : uids.Items()) {
    if (range == absl::StrCat(options.proxy_uid)) {
      matches.warnings.push_back(absl::StrCat("--exclude_uids: ", range,
                                              " is the proxy's own user, which is never "
                                              "redirected; an application must not run as it"));
    }
    matches.exclude_users.push_back(absl::StrCat("meta skuid ", range));
  }
  for (const std::string& range : gids.Items()) {
    matches.exclude_users.push_back(absl::StrCat("meta skgid ", range));
  }

  ASSIGN_OR_RETURN(matches.include_interfaces,
                   InterfaceNames("include_interfaces", options.include_interfaces));
  ASSIGN_OR_RETURN(matches.exclude_interfaces,
                   InterfaceNames("exclude_interfaces", options.exclude_interfaces));
  RETURN_IF_ERROR(CheckApart("include_interfaces", matches.include_interfaces, "exclude_interfaces",
                             matches.exclude_interfaces));
  return matches;
}

absl::Status CheckInterfacesThatAreUp(const RedirectMatches& matches,
                                      const std::vector<std::string>& up) {
  if (up.empty()) return absl::OkStatus();
  const auto among = [](const std::vector<std::string>& names) {
    return [&names](const std::string& name) { return absl::c_linear_search(names, name); };
  };
  if (absl::c_all_of(up, among(matches.exclude_interfaces))) {
    return LetsEverythingOut(
        "exclude_interfaces",
        absl::StrCat(absl::StrJoin(up, ","), ", where no other interface of the pod is up,"));
  }
  if (!matches.include_interfaces.empty() &&
      absl::c_none_of(up, among(matches.include_interfaces))) {
    return TakesNothing("include_interfaces", matches.include_interfaces,
                        absl::StrCat("what is up in the pod is ", absl::StrJoin(up, ",")));
  }
  return absl::OkStatus();
}

}  // namespace byrnie
