#include "deploy/redirect/guard_chains.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "deploy/redirect/nft_text.h"

namespace byrnie {
namespace {

// What connection tracking says of a connection that may leave without the proxy, once one packet
// of it was seen to be allowed to. It tells its answers from what others open towards the pod.
constexpr absl::string_view kLetOut = "ct mark set ct mark | 0x00010000 accept";
constexpr absl::string_view kWasLetOut = "ct mark & 0x00010000 == 0x00010000 accept";

}  // namespace

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
                      Chain("inbound_refuse", {std::string(kReset)}));
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
                      "\n", Chain("outbound_refuse", refuse));
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

}  // namespace byrnie
