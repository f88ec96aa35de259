#include "deploy/redirect/guard_chains.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "deploy/redirect/nft_text.h"

namespace byrnie {
namespace {

constexpr absl::string_view kSynAck = "tcp flags syn,ack / syn,ack";

// What connection tracking says of a connection that may leave without the proxy, once one packet
// of it was seen to be allowed to. It tells its answers from what others open towards the pod.
constexpr absl::string_view kLetOut = "ct mark set ct mark | 0x00010000 accept";
constexpr absl::string_view kIsLetOut = "ct mark & 0x00010000 == 0x00010000";
constexpr absl::string_view kWasLetOut = "ct mark & 0x00010000 == 0x00010000 accept";

// Where the proxy alone listens; whoever else does so answers in its name.
std::string OwnPorts(const RedirectMatches& m) {
  NumberRanges own;
  for (uint16_t port : kProxyPorts) own.Add(port);
  own.Add(m.outbound_port);
  own.Add(m.inbound_port);
  return own.ToNft();
}

std::string NotTheProxys(const RedirectMatches& m) {
  return absl::StrCat("meta skuid != ", m.proxy_uid);
}

// What comes to the proxy's ports from outside; what returns may come in if the guard lets it.
std::string InboundOwnPorts(const RedirectMatches& m) {
  Rules own = {
      absl::StrCat(NotTheProxys(m), " goto inbound_refuse"),
      absl::StrCat("meta skuid ", m.proxy_uid, " accept"),
      // From here on nobody has accepted it. Of no connection: the kernel refuses it at once.
      "tcp flags syn,rst return",
      "ct state new return",
      // The proxy has answered the SYN.
      absl::StrCat(kIsLetOut, " return"),
  };
  // The kernel has, with a SYN cookie, whoever listens. The connection may open, by an empty
  // segment without options or with a timestamp, but not a byte comes in before the proxy accepts
  // it.
  for (absl::string_view empty : {"ip length 40 tcp doff 5", "ip length 52 tcp doff 8",
                                  "ip6 length 20 tcp doff 5", "ip6 length 32 tcp doff 8"}) {
    own.push_back(absl::StrCat(empty, " return"));
  }
  // It is sent again; a reset would end it.
  own.push_back("drop");
  return Chain("inbound_own", own);
}

// Answers from the proxy's ports that have not been seen to be the proxy's.
std::string OutboundOwnPorts(const RedirectMatches& m) {
  return Chain("outbound_own",
               {
                   // Somebody else listens there: the client is told at once that nobody does. The
                   // second rule is for where these rules are installed twice.
                   absl::StrCat(NotTheProxys(m), " ", kSynAck, " tcp flags set rst | ack accept"),
                   absl::StrCat(NotTheProxys(m), " ", kResetPasses),
                   absl::StrCat("meta l4proto tcp ", NotTheProxys(m), " reject with tcp reset"),
                   // From here on without an owner.
                   "fib daddr type local tcp flags != syn,ack / syn,ack accept",
                   "ct state invalid drop",
                   std::string(kWasLetOut),
                   // Nobody listens there.
                   std::string(kResetPasses),
                   // A SYN cookie. Within the pod nothing calls for one but somebody who wants it,
                   // and there inbound_own does not look at what follows.
                   absl::StrCat("fib daddr type != local ", kSynAck, " accept"),
                   "drop",
               });
}

}  // namespace

std::string InboundGuard(const RedirectMatches& m) {
  Rules guard = {
      absl::StrCat(kNotTcp, " accept"),
      "iifname \"lo\" accept",
      absl::StrCat("tcp dport ", OwnPorts(m), " jump inbound_own"),
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
                      "\n", InboundOwnPorts(m), "\n",
                      // Older than the rules, or untranslated: for all we know plaintext to the
                      // application.
                      Chain("inbound_refuse", {std::string(kReset)}));
}

std::string OutboundGuard(const RedirectMatches& m) {
  Rules guard = {absl::StrCat(kNotTcp, " accept"),
                 absl::StrCat("meta skuid ", m.proxy_uid, " ", kLetOut),
                 absl::StrCat("tcp sport ", OwnPorts(m), " goto outbound_own")};
  for (const std::string& match : m.exclude_users) {
    guard.push_back(absl::StrCat(match, " ", kLetOut));
  }
  // Redirected connections are local by now.
  guard.push_back("fib daddr type local accept");
  // To a client's address that the proxy has borrowed: it stays in the pod, see returning_guard.
  if (m.tproxy) guard.push_back(absl::StrCat("ct direction reply ", ToProxy("ct mark"), " accept"));
  // Answers from ports that are open to others.
  if (!m.exclude_inbound_ports.empty()) {
    const std::string ports = m.exclude_inbound_ports.ToNft();
    guard.push_back(absl::StrCat("tcp sport ", ports, " ct direction reply accept"));
  }
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
                      "\n", OutboundOwnPorts(m), "\n", Chain("outbound_refuse", refuse));
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
