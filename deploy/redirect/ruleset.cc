#include "deploy/redirect/ruleset.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace byrnie {
namespace {

constexpr absl::string_view kTable = "inet byrnie";
// The bit of a connection's mark that says: its packets may leave without the proxy.
constexpr absl::string_view kLetOut = "0x00010000";

// A destination in the spelling nft lists: "ip daddr 10.0.0.0/8". A full-length prefix is listed as
// an address.
absl::StatusOr<std::string> DestinationMatch(const std::string& cidr) {
  const std::vector<std::string> parts = absl::StrSplit(cidr, absl::MaxSplits('/', 1));
  unsigned char bytes[16] = {};
  int family = AF_INET;
  int bits = 32;
  if (inet_pton(AF_INET, parts[0].c_str(), bytes) != 1) {
    family = AF_INET6;
    bits = 128;
    if (inet_pton(AF_INET6, parts[0].c_str(), bytes) != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("--exclude_outbound_cidrs: \"", cidr,
                       "\" is no network; write it like 10.0.0.0/8 or fd00::/8"));
    }
  }
  int prefix = bits;
  if (parts.size() == 2 && (!absl::SimpleAtoi(parts[1], &prefix) || prefix < 1 || prefix > bits)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--exclude_outbound_cidrs: the prefix length of \"", cidr, "\" must be 1 to ", bits));
  }
  for (int bit = prefix; bit < bits; ++bit) {
    if (bytes[bit / 8] & (0x80 >> (bit % 8))) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--exclude_outbound_cidrs: \"", cidr, "\" has bits set beyond its prefix of ", prefix,
          "; write the network's first address"));
    }
  }
  char text[INET6_ADDRSTRLEN];
  inet_ntop(family, bytes, text, sizeof(text));
  return absl::StrCat(family == AF_INET ? "ip" : "ip6", " daddr ", text,
                      prefix == bits ? std::string() : absl::StrCat("/", prefix));
}

std::string Chain(absl::string_view name, absl::string_view hook,
                  const std::vector<std::string>& rules) {
  return absl::StrCat("\tchain ", name, " {\n\t\ttype ", hook, "; policy accept;\n\t\t",
                      absl::StrJoin(rules, "\n\t\t"), "\n\t}\n");
}

// Lines without indentation or empty ones; a rule is prefixed with the name of its chain so that
// equal rules of different chains are told apart.
std::vector<std::string> NormalizedLines(absl::string_view listing) {
  std::vector<std::string> lines;
  std::string chain;
  for (absl::string_view raw : absl::StrSplit(listing, '\n')) {
    std::string line(raw);
    absl::RemoveExtraAsciiWhitespace(&line);
    if (line.empty() || line == "}") continue;
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.back() == "{") {
      chain = words[0] == "table"
                  ? ""
                  : absl::StrCat(words[0], " ", words.size() > 2 ? words[1] : "", ": ");
      lines.push_back(line);
    } else {
      lines.push_back(absl::StrCat(chain, line));
    }
  }
  return lines;
}

}  // namespace

absl::StatusOr<Ruleset> Ruleset::Create(const RedirectOptions& options) {
  if (options.outbound_port == 0 || options.inbound_port == 0) {
    return absl::InvalidArgumentError("--outbound_port and --inbound_port must be 1 to 65535");
  }
  if (options.outbound_port == options.inbound_port) {
    return absl::InvalidArgumentError(absl::StrCat("--outbound_port and --inbound_port are both ",
                                                   options.outbound_port,
                                                   "; give the proxy two ports"));
  }
  if (options.proxy_uid == 0) {
    return absl::InvalidArgumentError(
        "--proxy_uid must not be 0: everything root sends would bypass the proxy");
  }
  std::set<uint16_t> open_ports(std::begin(kProxyPorts), std::end(kProxyPorts));
  for (uint16_t port : {options.outbound_port, options.inbound_port}) {
    if (open_ports.count(port) != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("port ", port, " is the proxy's own; redirect to another one"));
    }
  }
  for (uint16_t port : options.exclude_inbound_ports) {
    if (port == 0 || port == options.outbound_port || port == options.inbound_port) {
      return absl::InvalidArgumentError(
          absl::StrCat("--exclude_inbound_ports: ", port,
                       " cannot be open to others; name ports of the application"));
    }
    open_ports.insert(port);
  }
  std::set<std::string> direct;
  for (const std::string& cidr : options.exclude_outbound_cidrs) {
    absl::StatusOr<std::string> match = DestinationMatch(cidr);
    if (!match.ok()) return match.status();
    direct.insert(*std::move(match));
  }

  const std::string from_proxy = absl::StrCat("meta skuid ", options.proxy_uid);
  const std::string open_set = absl::StrCat("{ ", absl::StrJoin(open_ports, ", "), " }");
  const std::string to_open_port = absl::StrCat("tcp dport ", open_set);

  std::vector<std::string> inbound = {
      "meta l4proto != tcp return",
      // The proxy's connections to the application, and the application's to itself.
      "iifname \"lo\" return",
      absl::StrCat(to_open_port, " return"),
      absl::StrCat("fib daddr type local meta l4proto tcp redirect to :", options.inbound_port),
  };
  std::vector<std::string> outbound = {
      "meta l4proto != tcp return",
      absl::StrCat(from_proxy, " return"),
      "fib daddr type local return",
  };
  // Each packet of a connection that may leave as it is says so to connection tracking, which tells
  // its answers from what others open towards the pod.
  const std::string let_out = absl::StrCat("ct mark set ct mark | ", kLetOut, " accept");
  const std::string was_let_out = absl::StrCat("ct mark & ", kLetOut, " == ", kLetOut, " accept");

  std::vector<std::string> inbound_guard = {
      "meta l4proto != tcp accept",
      "iifname \"lo\" accept",
      absl::StrCat(to_open_port, " accept"),
      // Of a connection older than these rules or than connection tracking. Nobody translates its
      // addresses, so that even a packet that is called invalid is at the right place here.
      absl::StrCat(from_proxy, " accept"),
      "ct state invalid drop",
      absl::StrCat("tcp dport ", options.inbound_port, " ct status dnat accept"),
      absl::StrCat("ct direction reply ", was_let_out),
      // Older than the rules, and for all we know plaintext to the application.
      "meta l4proto tcp reject with tcp reset",
  };
  std::vector<std::string> outbound_guard = {
      "meta l4proto != tcp accept",
      absl::StrCat(from_proxy, " ", let_out),
      // Redirected connections are local by now.
      "fib daddr type local accept",
      absl::StrCat("tcp sport ", open_set, " ct direction reply accept"),
  };
  for (const std::string& match : direct) {
    outbound.push_back(absl::StrCat(match, " return"));
    outbound_guard.push_back(absl::StrCat(match, " ", let_out));
  }
  outbound.push_back(absl::StrCat("meta l4proto tcp redirect to :", options.outbound_port));
  // A packet that has lost its owner and its connection: nobody can say whose bytes it holds.
  outbound_guard.push_back("ct state invalid drop");
  // An application's connection that escaped translation, for example one older than these rules.
  outbound_guard.push_back(
      absl::StrCat("meta l4proto tcp meta skuid != ", options.proxy_uid, " reject with tcp reset"));
  // What is left has no owner: its socket was closed with bytes still to send, is in TIME_WAIT, or
  // has not been accepted yet.
  outbound_guard.push_back(was_let_out);
  outbound_guard.push_back("tcp flags & rst == rst accept");
  outbound_guard.push_back("meta l4proto tcp reject with tcp reset");

  return Ruleset(absl::StrCat(
      "table ", kTable, " {\n",
      absl::StrJoin({Chain("inbound", "nat hook prerouting priority -100", inbound),
                     Chain("outbound", "nat hook output priority -100", outbound),
                     Chain("inbound_guard", "filter hook input priority 0", inbound_guard),
                     Chain("outbound_guard", "filter hook output priority 0", outbound_guard)},
                    "\n"),
      "}\n"));
}

std::string Ruleset::ApplyCommands() const { return absl::StrCat(RemoveCommands(), listing_); }

std::string Ruleset::RemoveCommands() {
  // "delete" fails where there is no table, so one is added first.
  return absl::StrCat("add table ", kTable, "\ndelete table ", kTable, "\n");
}

std::string CompareListings(absl::string_view expected, absl::string_view found) {
  const std::vector<std::string> a = NormalizedLines(expected);
  const std::vector<std::string> b = NormalizedLines(found);
  // Longest common subsequence, from the back; both sides have some dozens of lines.
  std::vector<std::vector<size_t>> common(a.size() + 1, std::vector<size_t>(b.size() + 1, 0));
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      common[i][j] =
          a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::string difference;
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      ++i;
      ++j;
    } else if (j == b.size() || (i < a.size() && common[i + 1][j] >= common[i][j + 1])) {
      absl::StrAppend(&difference, "- ", a[i++], "\n");
    } else {
      absl::StrAppend(&difference, "+ ", b[j++], "\n");
    }
  }
  return difference;
}

}  // namespace byrnie
