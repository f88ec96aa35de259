#include "deploy/redirect/guard_chains.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "deploy/redirect/nft_text.h"

namespace byrnie {
namespace {

constexpr absl::string_view kSynAck = "tcp flags syn,ack / syn,ack";

// A socket that is closed, not accepted yet or in TIME_WAIT has no owner any more, or none yet;
// then the mark of its connection says who owned it. One bit is the proxy's. Twelve are a user's or
// group's that is let out, drawn from the match that lets it out, so that a mark is worth nothing
// once that match is gone.
constexpr absl::string_view kMarkProxy = "ct mark set ct mark | 0x00010000 accept";
constexpr absl::string_view kIsProxy = "ct mark & 0x00010000 == 0x00010000";
constexpr absl::string_view kWasProxy = "ct mark & 0x00010000 == 0x00010000 accept";
constexpr uint32_t kUserBits = 0x3ffc0000;
constexpr int kUserShift = 18;

// Connection tracking forgets a connection that is silent for long, when it is half closed after a
// minute, and takes what comes next for the opening packet of another one. This bit says that the
// connection began like that, with no SYN: which end opened it is not known.
constexpr absl::string_view kMarkForgotten = "ct state new ct mark set ct mark | 0x40000000";
constexpr absl::string_view kWasForgotten = "ct mark & 0x40000000 == 0x40000000";

uint32_t UserMark(absl::string_view match) {
  uint32_t hash = 2166136261u;  // FNV-1a.
  for (const char c : match) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return (1 + hash % (kUserBits >> kUserShift)) << kUserShift;
}

std::string Hex(uint32_t value) { return absl::StrCat("0x", absl::Hex(value, absl::kZeroPad8)); }

std::string MarkUser(absl::string_view match) {
  const uint32_t mark = UserMark(match);
  return absl::StrCat(match, " ct mark set ct mark & ", Hex(~kUserBits | mark), " | ", Hex(mark),
                      " accept");
}

std::string WasUser(absl::string_view match) {
  return absl::StrCat("ct mark & ", Hex(kUserBits), " == ", Hex(UserMark(match)), " accept");
}

// Where the proxy alone listens; whoever else does so answers in its name.
std::string OwnPorts(const RedirectMatches& m) {
  NumberRanges own;
  for (uint16_t port : kProxyPorts) own.Add(port);
  own.Add(m.outbound_port);
  own.Add(m.inbound_port);
  return own.ToNft();
}

// Those of the proxy's ports whose connections have another address for their other end.
std::string Translated(const RedirectMatches& m) {
  NumberRanges ports;
  ports.Add(m.outbound_port);
  if (!m.tproxy) ports.Add(m.inbound_port);
  return ports.ToNft();
}

std::string NotTheProxys(const RedirectMatches& m) {
  return absl::StrCat("meta skuid != ", m.proxy_uid);
}

// What comes back from what the pod has opened; `refuse` gets what is not let out. By the rules
// that are there now, not by what was once let out: a list that has become narrower cuts what it
// does not name any more.
Rules Answers(const RedirectMatches& m, absl::string_view refuse) {
  Rules answer = m.exclude_users;
  if (!m.exclude_outbound_ports.empty()) {
    answer.push_back(absl::StrCat("tcp sport ", m.exclude_outbound_ports.ToNft()));
  }
  for (const std::string& match : m.exclude_cidrs) answer.push_back(AsSource(match));
  for (std::string& rule : answer) rule += " accept";
  std::vector<std::string> included;
  for (const std::string& match : m.include_outbound) included.push_back(AsSource(match));
  Goto(answer, "iifname", m.include_interfaces, included, refuse);
  if (!m.include_interfaces.empty() || !included.empty()) answer.push_back("accept");
  return answer;
}

std::string InboundAnswers(const RedirectMatches& m) {
  Rules refuse = {absl::StrCat(NotTheProxys(m), " goto inbound_refuse"), std::string(kWasProxy)};
  for (const std::string& match : m.exclude_users) refuse.push_back(WasUser(match));
  refuse.push_back("goto inbound_refuse");
  return absl::StrCat(Chain("inbound_answer", Answers(m, "inbound_refuse_answer")), "\n",
                      Chain("inbound_refuse_answer", refuse));
}

bool LetsConnectionsOut(const RedirectMatches& m) {
  return !m.exclude_users.empty() || !m.exclude_outbound_ports.empty() ||
         !m.exclude_cidrs.empty() || !m.include_outbound.empty();
}

// Answers to a connection that was let out and that connection tracking has forgotten. None of them
// can open a connection.
std::string InboundForgotten(const RedirectMatches& m) {
  const Rules forgotten = {
      absl::StrCat("tcp dport ", OwnPorts(m), " goto inbound_refuse"),
      "tcp flags syn / syn,ack goto inbound_refuse",
      absl::StrCat(kMarkForgotten, " goto inbound_answer"),
      absl::StrCat(kWasForgotten, " goto inbound_answer"),
      "goto inbound_refuse",
  };
  return absl::StrCat(Chain("inbound_forgotten", forgotten), "\n",
                      Chain("inbound_invalid", Answers(m, "inbound_ignore")), "\n",
                      Chain("inbound_ignore", {"drop"}));
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
      absl::StrCat(kIsProxy, " return"),
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
                   std::string(kWasProxy),
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
  };
  if (m.tproxy) {
    // The client has itself chosen the port that the proxy has borrowed. Whatever it was answered
    // would be of the borrowed connection, which a reset would end.
    guard.push_back(absl::StrCat("ct direction original ", ToProxy("ct mark"), " drop"));
  }
  guard.push_back(absl::StrCat("tcp dport ", OwnPorts(m), " jump inbound_own"));
  for (const std::string& name : m.exclude_interfaces) {
    guard.push_back(absl::StrCat("iifname \"", name, "\" accept"));
  }
  guard.push_back(absl::StrCat("tcp dport ", m.open_ports.ToNft(), " accept"));
  // Of a connection older than these rules or than connection tracking. Nobody translates its
  // addresses, so that even a packet that is called invalid is at the right place here.
  guard.push_back(absl::StrCat("meta skuid ", m.proxy_uid, " accept"));
  const bool lets_out = LetsConnectionsOut(m);
  if (lets_out) {
    // The end of a forgotten connection. It has a socket at these addresses, which nothing that is
    // taken has.
    guard.push_back(
        absl::StrCat("ct state invalid ", NotTheProxys(m), " ", kNoSyn, " goto inbound_invalid"));
  }
  guard.push_back("ct state invalid drop");
  guard.push_back(m.tproxy ? absl::StrCat(ToProxy("meta mark"), " accept")
                           : absl::StrCat("tcp dport ", m.inbound_port, " ct status dnat accept"));
  guard.push_back("ct direction reply goto inbound_answer");

  std::vector<std::string> refused;
  if (!m.include_inbound_ports.empty()) {
    NumberRanges own;
    own.Add(m.outbound_port);
    own.Add(m.inbound_port);
    refused = {absl::StrCat("tcp dport ", m.include_inbound_ports.ToNft()),
               absl::StrCat("tcp dport ", own.ToNft())};
  }
  Goto(guard, "iifname", m.include_interfaces, refused,
       lets_out ? "inbound_forgotten" : "inbound_refuse");
  if (!refused.empty() || !m.include_interfaces.empty()) guard.push_back("accept");
  return absl::StrCat(BaseChain("inbound_guard", "filter hook input priority 0", "drop", guard),
                      "\n", InboundOwnPorts(m), "\n", InboundAnswers(m), "\n",
                      lets_out ? absl::StrCat(InboundForgotten(m), "\n") : "",
                      // Older than the rules, or untranslated: for all we know plaintext to the
                      // application.
                      Chain("inbound_refuse", {std::string(kReset)}));
}

std::string OutboundGuard(const RedirectMatches& m) {
  Rules guard = {
      absl::StrCat(kNotTcp, " accept"),
      // Connection tracking has lost the connection, so that nobody translates the proxy's address
      // back, and who gets this would answer with a reset. It is sent again; the next packet from
      // the other end brings the translation back.
      absl::StrCat("tcp sport ", Translated(m), " ct state new ", kNoSyn, " drop"),
      // The proxy's own, led back to it by an entry of connection tracking or by somebody else's
      // rules: it would carry its own bytes once more.
      absl::StrCat("meta skuid ", m.proxy_uid, " ct direction original ct status dnat tcp dport ",
                   Translated(m), " reject with tcp reset"),
      absl::StrCat("meta skuid ", m.proxy_uid, " ", kMarkProxy),
      absl::StrCat("tcp sport ", OwnPorts(m), " goto outbound_own"),
  };
  for (const std::string& match : m.exclude_users) guard.push_back(MarkUser(match));
  // Redirected connections are local by now.
  guard.push_back("fib daddr type local accept");
  // To a client's address that the proxy has borrowed: it stays in the pod, see returning_guard.
  if (m.tproxy) guard.push_back(absl::StrCat("ct direction reply ", ToProxy("ct mark"), " accept"));
  // Answers from ports that are open to others.
  if (!m.exclude_inbound_ports.empty()) {
    const std::string ports = m.exclude_inbound_ports.ToNft();
    const std::string forgotten = absl::StrCat("tcp sport ", ports, " ", kNoSyn, " ");
    guard.push_back(absl::StrCat("tcp sport ", ports, " ct direction reply accept"));
    guard.push_back(absl::StrCat(forgotten, "ct state invalid accept"));
    guard.push_back(absl::StrCat(forgotten, kMarkForgotten, " accept"));
    guard.push_back(absl::StrCat(forgotten, kWasForgotten, " accept"));
  }
  if (!m.include_inbound_ports.empty()) {
    const std::string ports = m.include_inbound_ports.ToNft();
    guard.push_back(absl::StrCat("tcp sport != ", ports, " ct direction reply accept"));
  }
  for (const std::string& name : m.exclude_interfaces) {
    guard.push_back(absl::StrCat("oifname \"", name, "\" accept"));
  }
  if (!m.exclude_outbound_ports.empty()) {
    guard.push_back(absl::StrCat("tcp dport ", m.exclude_outbound_ports.ToNft(), " accept"));
  }
  for (const std::string& match : m.exclude_cidrs) guard.push_back(absl::StrCat(match, " accept"));
  Goto(guard, "oifname", m.include_interfaces, m.include_outbound, "outbound_refuse");
  if (!m.include_interfaces.empty() || !m.include_outbound.empty()) guard.push_back("accept");

  Rules refuse = {
      // A reset by the kernel itself, for a socket that is no more. If it was the proxy's, its
      // connection is in a zone that only a socket's priority leads to. It holds nobody's bytes.
      absl::StrCat("ct state invalid ", NotTheProxys(m), " drop"),
      absl::StrCat("ct state invalid ", kResetPasses),
      // A packet that has lost its owner and its connection: nobody can say whose bytes it holds.
      "ct state invalid drop",
      // An application's connection that escaped translation, for example one older than the rules.
      absl::StrCat("meta l4proto tcp ", NotTheProxys(m), " reject with tcp reset"),
      // What is left has no owner.
      std::string(kWasProxy),
  };
  for (const std::string& match : m.exclude_users) refuse.push_back(WasUser(match));
  refuse.emplace_back(kResetPasses);
  refuse.emplace_back(kReset);
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
      std::string(kWasProxy),
      std::string(kResetPasses),
      std::string(kReset),
  };
  const Rules outbound = {
      absl::StrCat(kNotTcp, " accept"),
      absl::StrCat("meta skuid ", m.proxy_uid, " ", kMarkProxy),
      // For whoever has come into the pod to see what is wrong.
      absl::StrCat("fib daddr type local tcp dport ", own.ToNft(), " accept"),
      absl::StrCat("meta l4proto tcp ", NotTheProxys(m), " reject with tcp reset"),
      std::string(kWasProxy),
      std::string(kResetPasses),
      std::string(kReset),
  };
  // Who asks whether the pod is ready asks the port of the metrics, where the proxy says that it is
  // not, and why. So the rules themselves tell it: nothing can be out of date or in the way.
  Rules unready;
  for (absl::string_view family : {"ip", "ip6"}) {
    unready.push_back(absl::StrCat("fib daddr type local tcp dport ", kReadinessPort, " dnat ",
                                   family, " to ", family, " daddr:", kMetricsPort));
  }
  // Before anybody translates it: the proxy knows that the rules are not in force.
  const Rules unproven = {
      absl::StrCat("fib daddr type local tcp dport ", kCheckPort, " reject with tcp reset")};
  return absl::StrCat(
      BaseChain("unproven", "filter hook output priority -150", "accept", unproven), "\n",
      BaseChain("inbound", "filter hook input priority -1", "drop", inbound), "\n",
      BaseChain("outbound", "filter hook output priority -1", "drop", outbound), "\n",
      BaseChain("unready", "nat hook prerouting priority -100", "accept", unready), "\n",
      BaseChain("unready_within", "nat hook output priority -100", "accept", unready));
}

}  // namespace byrnie
