#include "deploy/redirect/ruleset.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

using Rules = std::vector<std::string>;

constexpr absl::string_view kTable = "inet byrnie";
constexpr absl::string_view kClosedTable = "inet byrnie_closed";
constexpr absl::string_view kHeldTable = "inet byrnie_held";

constexpr absl::string_view kNotTcp = "meta l4proto != tcp";
constexpr absl::string_view kReset = "meta l4proto tcp reject with tcp reset";
// A reset carries nothing, and whoever gets it is to know that the connection is over.
constexpr absl::string_view kResetPasses = "tcp flags & rst == rst accept";
// What connection tracking says of a connection that may leave without the proxy, once one packet
// of it was seen to be allowed to. It tells its answers from what others open towards the pod.
constexpr absl::string_view kLetOut = "ct mark set ct mark | 0x00010000 accept";
constexpr absl::string_view kWasLetOut = "ct mark & 0x00010000 == 0x00010000 accept";

std::string ToProxy(absl::string_view what) {
  const std::string bit = absl::StrCat("0x", absl::Hex(kToProxyMark, absl::kZeroPad8));
  return absl::StrCat(what, " & ", bit, " == ", bit);
}
std::string SetToProxy(absl::string_view what) {
  return absl::StrCat(what, " set ", what, " | 0x", absl::Hex(kToProxyMark, absl::kZeroPad8));
}

std::string Chain(absl::string_view name, absl::string_view head, const Rules& rules) {
  return absl::StrCat("\tchain ", name, " {\n\t\t", head, absl::StrJoin(rules, "\n\t\t"),
                      "\n\t}\n");
}

std::string BaseChain(absl::string_view name, absl::string_view hook, absl::string_view policy,
                      const Rules& rules) {
  return Chain(name, absl::StrCat("type ", hook, "; policy ", policy, ";\n\t\t"), rules);
}

std::string Table(absl::string_view name, absl::string_view chains) {
  return absl::StrCat("table ", name, " {\n", chains, "}\n");
}

// "delete" fails where there is no table, so one is added first.
std::string RemoveTable(absl::string_view name) {
  return absl::StrCat("add table ", name, "\ndelete table ", name, "\n");
}

// Goes to `chain` with what matches one of `interfaces` and one of `matches`; an empty list matches
// everything.
void Goto(Rules& rules, absl::string_view interface_match,
          const std::vector<std::string>& interfaces, const std::vector<std::string>& matches,
          absl::string_view chain) {
  std::vector<std::string> first;
  for (const std::string& name : interfaces) {
    first.push_back(absl::StrCat(interface_match, " \"", name, "\" "));
  }
  if (first.empty()) first.emplace_back();
  for (const std::string& prefix : first) {
    for (const std::string& match : matches) {
      rules.push_back(absl::StrCat(prefix, match, " goto ", chain));
    }
    if (matches.empty()) rules.push_back(absl::StrCat(prefix, "goto ", chain));
  }
}

std::string InboundChains(const RedirectMatches& m) {
  Rules exempt = {
      absl::StrCat(kNotTcp, " return"),
      // The proxy's connections to the application, and the application's to itself.
      "iifname \"lo\" return",
  };
  for (const std::string& name : m.exclude_interfaces) {
    exempt.push_back(absl::StrCat("iifname \"", name, "\" return"));
  }
  exempt.push_back(absl::StrCat("tcp dport ", m.open_ports.ToNft(), " return"));
  Goto(exempt, "iifname", m.include_interfaces, {}, "inbound_take");

  const std::string ports = m.include_inbound_ports.empty()
                                ? "meta l4proto tcp"
                                : absl::StrCat("tcp dport ", m.include_inbound_ports.ToNft());
  // Where nobody listens on the proxy's port the statement does nothing, nor is the mark set.
  const std::string take = m.tproxy ? absl::StrCat("tproxy to :", m.inbound_port, " ",
                                                   SetToProxy("meta mark"), " accept")
                                    : absl::StrCat("redirect to :", m.inbound_port);
  return absl::StrCat(
      BaseChain(
          "inbound",
          m.tproxy ? "filter hook prerouting priority -150" : "nat hook prerouting priority -100",
          "accept", exempt),
      "\n", Chain("inbound_take", "", {absl::StrCat("fib daddr type local ", ports, " ", take)}));
}

std::string InboundGuard(const RedirectMatches& m) {
  Rules guard = {
      absl::StrCat(kNotTcp, " accept"),
      "iifname \"lo\" accept",
  };
  for (const std::string& name : m.exclude_interfaces) {
    guard.push_back(absl::StrCat("iifname \"", name, "\" accept"));
  }
  guard.push_back(absl::StrCat("tcp dport ", m.open_ports.ToNft(), " accept"));
  // Of a connection older than these rules or than connection tracking. Nobody translates its
  // addresses, so that even a packet that is called invalid is at the right place here.
  guard.push_back(absl::StrCat("meta skuid ", m.proxy_uid, " accept"));
  guard.push_back("ct state invalid drop");
  guard.push_back(m.tproxy ? absl::StrCat(ToProxy("meta mark"), " accept")
                           : absl::StrCat("tcp dport ", m.inbound_port, " ct status dnat accept"));
  guard.push_back(absl::StrCat("ct direction reply ", kWasLetOut));

  std::vector<std::string> refused;
  if (!m.include_inbound_ports.empty()) {
    NumberRanges own;
    own.Add(m.outbound_port);
    own.Add(m.inbound_port);
    refused = {absl::StrCat("tcp dport ", m.include_inbound_ports.ToNft()),
               absl::StrCat("tcp dport ", own.ToNft())};
  }
  Goto(guard, "iifname", m.include_interfaces, refused, "inbound_refuse");
  if (!refused.empty() || !m.include_interfaces.empty()) guard.push_back("accept");
  return absl::StrCat(BaseChain("inbound_guard", "filter hook input priority 0", "drop", guard),
                      "\n",
                      // Older than the rules, or untranslated: for all we know plaintext to the
                      // application.
                      Chain("inbound_refuse", "", {std::string(kReset)}));
}

std::string OutboundChains(const RedirectMatches& m) {
  Rules exempt = {absl::StrCat(kNotTcp, " return"),
                  absl::StrCat("meta skuid ", m.proxy_uid, " return")};
  for (const std::string& match : m.exclude_users) exempt.push_back(absl::StrCat(match, " return"));
  exempt.push_back("fib daddr type local return");
  for (const std::string& name : m.exclude_interfaces) {
    exempt.push_back(absl::StrCat("oifname \"", name, "\" return"));
  }
  if (!m.exclude_outbound_ports.empty()) {
    exempt.push_back(absl::StrCat("tcp dport ", m.exclude_outbound_ports.ToNft(), " return"));
  }
  for (const std::string& match : m.exclude_cidrs) exempt.push_back(absl::StrCat(match, " return"));
  Goto(exempt, "oifname", m.include_interfaces, m.include_outbound, "outbound_take");
  return absl::StrCat(BaseChain("outbound", "nat hook output priority -100", "accept", exempt),
                      "\n",
                      Chain("outbound_take", "",
                            {absl::StrCat("meta l4proto tcp redirect to :", m.outbound_port)}));
}

std::string OutboundGuard(const RedirectMatches& m) {
  Rules guard = {absl::StrCat(kNotTcp, " accept"),
                 absl::StrCat("meta skuid ", m.proxy_uid, " ", kLetOut)};
  for (const std::string& match : m.exclude_users) {
    guard.push_back(absl::StrCat(match, " ", kLetOut));
  }
  // Redirected connections are local by now.
  guard.push_back("fib daddr type local accept");
  // To a client's address that the proxy has borrowed: it stays in the pod, see returning_guard.
  if (m.tproxy) guard.push_back(absl::StrCat("ct direction reply ", ToProxy("ct mark"), " accept"));
  // Answers from ports that are open to others.
  guard.push_back(absl::StrCat("tcp sport ", m.open_ports.ToNft(), " ct direction reply accept"));
  if (!m.include_inbound_ports.empty()) {
    const std::string ports = m.include_inbound_ports.ToNft();
    guard.push_back(absl::StrCat("tcp sport != ", ports, " ct direction reply accept"));
  }
  for (const std::string& name : m.exclude_interfaces) {
    guard.push_back(absl::StrCat("oifname \"", name, "\" ", kLetOut));
  }
  if (!m.exclude_outbound_ports.empty()) {
    guard.push_back(absl::StrCat("tcp dport ", m.exclude_outbound_ports.ToNft(), " ", kLetOut));
  }
  for (const std::string& match : m.exclude_cidrs) {
    guard.push_back(absl::StrCat(match, " ", kLetOut));
  }
  Goto(guard, "oifname", m.include_interfaces, m.include_outbound, "outbound_refuse");
  if (!m.include_interfaces.empty() || !m.include_outbound.empty()) {
    guard.emplace_back(kLetOut);
  }
  const Rules refuse = {
      // A packet that has lost its owner and its connection: nobody can say whose bytes it holds.
      "ct state invalid drop",
      // An application's connection that escaped translation, for example one older than the rules.
      absl::StrCat("meta l4proto tcp meta skuid != ", m.proxy_uid, " reject with tcp reset"),
      // What is left has no owner: its socket was closed with bytes still to send, is in TIME_WAIT,
      // or has not been accepted yet.
      std::string(kWasLetOut),
      std::string(kResetPasses),
      std::string(kReset),
  };
  return absl::StrCat(BaseChain("outbound_guard", "filter hook output priority 0", "drop", guard),
                      "\n", Chain("outbound_refuse", "", refuse));
}

// tproxy mode: the application answers to the address of its client, which the proxy has borrowed
// for its own connection. Those packets must come to the proxy and never leave the pod.
std::string ReturningChains(const RedirectMatches& m) {
  const Rules mark = {
      absl::StrCat(kNotTcp, " return"),
      absl::StrCat("ct direction original meta skuid ", m.proxy_uid,
                   " fib saddr type != local fib daddr type local ", SetToProxy("ct mark")),
      absl::StrCat("ct direction reply ", ToProxy("ct mark"), " ", SetToProxy("meta mark")),
  };
  return absl::StrCat(
      BaseChain("returning", "route hook output priority -150", "accept", mark), "\n",
      BaseChain("returning_guard", "filter hook postrouting priority 0", "accept",
                {absl::StrCat("oifname != \"lo\" ", ToProxy("meta mark"), " drop")}));
}

std::string ClosedChains(const RedirectMatches& m) {
  NumberRanges own;
  for (uint16_t port : kProxyPorts) own.Add(port);
  for (uint16_t port : kAdminPorts) own.Add(port);
  const Rules inbound = {
      absl::StrCat(kNotTcp, " accept"),
      absl::StrCat("tcp dport ", own.ToNft(), " accept"),
      absl::StrCat("meta skuid ", m.proxy_uid, " accept"),
      std::string(kWasLetOut),
      std::string(kResetPasses),
      std::string(kReset),
  };
  const Rules outbound = {
      absl::StrCat(kNotTcp, " accept"),
      absl::StrCat("meta skuid ", m.proxy_uid, " ", kLetOut),
      // For whoever has come into the pod to see what is wrong.
      absl::StrCat("fib daddr type local tcp dport ", own.ToNft(), " accept"),
      absl::StrCat("meta l4proto tcp meta skuid != ", m.proxy_uid, " reject with tcp reset"),
      std::string(kWasLetOut),
      std::string(kResetPasses),
      std::string(kReset),
  };
  return absl::StrCat(BaseChain("inbound", "filter hook input priority -1", "drop", inbound), "\n",
                      BaseChain("outbound", "filter hook output priority -1", "drop", outbound));
}

}  // namespace

absl::StatusOr<Ruleset> Ruleset::Create(const RedirectOptions& options) {
  ASSIGN_OR_RETURN(const RedirectMatches matches, CheckOptions(options));
  std::vector<std::string> chains = {InboundChains(matches), OutboundChains(matches),
                                     InboundGuard(matches), OutboundGuard(matches)};
  if (matches.tproxy) chains.push_back(ReturningChains(matches));
  Ruleset ruleset;
  ruleset.tproxy_ = matches.tproxy;
  ruleset.chains_ = absl::StrJoin(chains, "\n");
  ruleset.listing_ = Table(kTable, ruleset.chains_);
  ruleset.closed_listing_ = Table(kClosedTable, ClosedChains(matches));
  return ruleset;
}

std::string Ruleset::ApplyCommands() const { return absl::StrCat(RemoveCommands(), listing_); }

std::string Ruleset::RemoveCommands() {
  return absl::StrCat(RemoveTable(kTable), RemoveTable(kClosedTable));
}

std::string Ruleset::CloseCommands() const {
  return absl::StrCat(RemoveTable(kClosedTable), closed_listing_);
}

std::string Ruleset::HoldCommands() const {
  return Table(kHeldTable, absl::StrCat("\tflags owner;\n\n", chains_));
}

}  // namespace byrnie
