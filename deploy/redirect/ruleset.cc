#include "deploy/redirect/ruleset.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/net/own_priority.h"
#include "deploy/redirect/guard_chains.h"
#include "deploy/redirect/nft_text.h"

namespace byrnie {
namespace {

constexpr absl::string_view kTable = "inet byrnie";
constexpr absl::string_view kClosedTable = "inet byrnie_closed";
constexpr absl::string_view kHeldTable = "inet byrnie_held";
constexpr absl::string_view kTrialTable = "inet byrnie_trial";
// Of connection tracking, for what the proxy opens. Any other than 0 that nobody uses in a pod.
constexpr int kOwnZone = 15001;

std::string Table(absl::string_view name, absl::string_view chains) {
  return absl::StrCat("table ", name, " {\n", chains, "}\n");
}

// "delete" fails where there is no table, so one is added first.
std::string RemoveTable(absl::string_view name) {
  return absl::StrCat("add table ", name, "\ndelete table ", name, "\n");
}

// What comes, without a SYN, from where the pod's connections are let out to. Connection tracking
// has forgotten the connection, or it would not ask: it is an answer of a server that was silent
// for long. Whoever is to be taken begins with a SYN. Empty where there is no such list.
std::string ForgottenAnswers(const RedirectMatches& m) {
  Rules answer;
  if (!m.exclude_outbound_ports.empty()) {
    answer.push_back(absl::StrCat("tcp sport ", m.exclude_outbound_ports.ToNft(), " accept"));
  }
  for (const std::string& match : m.exclude_cidrs) {
    answer.push_back(absl::StrCat(AsSource(match), " accept"));
  }
  std::vector<std::string> included;
  for (const std::string& match : m.include_outbound) included.push_back(AsSource(match));
  if (answer.empty() && included.empty()) return "";
  Goto(answer, "iifname", m.include_interfaces, included, "inbound_take");
  if (!m.include_interfaces.empty() || !included.empty()) answer.push_back("accept");
  return absl::StrCat(Chain("inbound_late", answer), "\n");
}

// Connection tracking keeps a connection for a while after its end, and takes a new one between the
// same two ends for the old one; of the application's and the proxy's, one is translated and the
// other is not. So the opening direction of what the proxy opens is in a zone of its own. The
// priority tells, for it outlives the socket's owner. Answers are in the zone of everything else:
// those from outside bear no sign of the proxy's, and SO_ORIGINAL_DST looks nowhere else.
std::string ApartChain() {
  return BaseChain("apart", "filter hook output priority -300", "accept",
                   {absl::StrCat("meta l4proto tcp meta priority 0:", kOwnPriority,
                                 " ct original zone set ", kOwnZone)});
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
  // In tproxy mode the socket at these addresses, where there is one, gets the packet anyway.
  if (!m.tproxy) {
    // An answer of another proxy in a tunnel that connection tracking has lost. Taken, it would
    // draw a reset, which ends the tunnel and all that it carries.
    exempt.push_back(absl::StrCat("tcp sport ", kTunnelPort, " ", kNoSyn, " return"));
  }
  const std::string answers = m.tproxy ? "" : ForgottenAnswers(m);
  if (!answers.empty()) exempt.push_back(absl::StrCat(kNoSyn, " goto inbound_late"));
  Goto(exempt, "iifname", m.include_interfaces, {}, "inbound_take");

  const std::string ports = m.include_inbound_ports.empty()
                                ? "meta l4proto tcp"
                                : absl::StrCat("tcp dport ", m.include_inbound_ports.ToNft());
  const std::string local = absl::StrCat("fib daddr type local ", ports, " ");
  Rules taken;
  if (m.tproxy) {
    // Taken, it would arrive with the proxy's socket, which the guard lets in; as it is, it is
    // refused.
    taken.push_back(absl::StrCat("tcp dport ", m.inbound_port, " return"));
    // Where nobody listens on the proxy's port the statement does nothing, nor is the mark set.
    taken.push_back(absl::StrCat(local, "tproxy to :", m.inbound_port, " ", SetToProxy("meta mark"),
                                 " accept"));
  } else {
    // Another port of the same address. "redirect" goes to the first address of the interface that
    // the packet came by, and drops the packet where that has none of its family.
    for (absl::string_view family : {"ip", "ip6"}) {
      taken.push_back(
          absl::StrCat(local, "dnat ", family, " to ", family, " daddr:", m.inbound_port));
    }
  }
  return absl::StrCat(BaseChain("inbound",
                                m.tproxy ? "filter hook prerouting priority -150"
                                         : "nat hook prerouting priority -100",
                                "accept", exempt),
                      "\n", answers, Chain("inbound_take", taken));
}

std::string OutboundChains(const RedirectMatches& m) {
  Rules exempt = {
      absl::StrCat(kNotTcp, " return"),
      // How the proxy knows that these rules are here.
      absl::StrCat("meta skuid ", m.proxy_uid, " fib daddr type local tcp dport ", kCheckPort,
                   " dnat ip to ip daddr:", kReadinessPort),
      absl::StrCat("meta skuid ", m.proxy_uid, " return"),
  };
  for (const std::string& match : m.exclude_users) exempt.push_back(absl::StrCat(match, " return"));
  exempt.push_back("fib daddr type local return");
  for (const std::string& name : m.exclude_interfaces) {
    exempt.push_back(absl::StrCat("oifname \"", name, "\" return"));
  }
  if (!m.exclude_outbound_ports.empty()) {
    exempt.push_back(absl::StrCat("tcp dport ", m.exclude_outbound_ports.ToNft(), " return"));
  }
  for (const std::string& match : m.exclude_cidrs) exempt.push_back(absl::StrCat(match, " return"));
  if (!m.exclude_inbound_ports.empty()) {
    // An answer of a server on an open port that was silent for so long that connection tracking
    // has forgotten the connection. What is to be taken begins with a SYN.
    exempt.push_back(
        absl::StrCat("tcp sport ", m.exclude_inbound_ports.ToNft(), " ", kNoSyn, " return"));
  }
  Goto(exempt, "oifname", m.include_interfaces, m.include_outbound, "outbound_take");
  // To the connection's own address: that is where its socket can reach, whatever it is bound to.
  // From an interface, which a socket may be bound to and one with a link-local peer is, there is
  // no way to 127.0.0.1 and ::1, where "redirect" sends it. A source that is not this pod's is left
  // to the guard, which refuses it: its connection would go to whoever has that address.
  Rules taken;
  for (absl::string_view family : {"ip", "ip6"}) {
    taken.push_back(absl::StrCat("fib saddr type local meta l4proto tcp dnat ", family, " to ",
                                 family, " saddr:", m.outbound_port));
  }
  return absl::StrCat(BaseChain("outbound", "nat hook output priority -100", "accept", exempt),
                      "\n", Chain("outbound_take", taken));
}

// tproxy mode: the application answers to the address of its client, which the proxy has borrowed
// for its own connection. Those packets must come to the proxy and never leave the pod.
std::string ReturningChains(const RedirectMatches& m) {
  // Looks up two routes, so that what is cheap to see stands before it.
  const std::string borrowed = absl::StrCat("ct direction original meta skuid ", m.proxy_uid,
                                            " fib saddr type != local fib daddr type local ");
  const Rules mark = {
      absl::StrCat(kNotTcp, " return"),
      absl::StrCat("ct state new ", borrowed, SetToProxy("ct mark")),
      // The client has a connection of its own from that port. Marked, that one's answers would not
      // reach it any more; as it is, the proxy hears nothing and borrows another port.
      absl::StrCat(NotToProxy("ct mark"), " ", borrowed, "drop"),
      absl::StrCat("ct direction reply ", ToProxy("ct mark"), " ", SetToProxy("meta mark")),
  };
  return absl::StrCat(
      BaseChain("returning", "route hook output priority -150", "accept", mark), "\n",
      BaseChain("returning_guard", "filter hook postrouting priority 0", "accept",
                {absl::StrCat("oifname != \"lo\" ", ToProxy("meta mark"), " drop")}));
}

}  // namespace

absl::StatusOr<Ruleset> Ruleset::Create(const RedirectOptions& options) {
  ASSIGN_OR_RETURN(const RedirectMatches matches, CheckOptions(options));
  std::vector<std::string> chains = {ApartChain(), InboundChains(matches), OutboundChains(matches),
                                     InboundGuard(matches), OutboundGuard(matches)};
  if (matches.tproxy) chains.push_back(ReturningChains(matches));
  Ruleset ruleset;
  ruleset.tproxy_ = matches.tproxy;
  ruleset.SetChains(absl::StrJoin(chains, "\n"));
  ruleset.closed_listing_ = Table(kClosedTable, ClosedChains(matches));
  return ruleset;
}

void Ruleset::SetChains(std::string chains) {
  chains_ = std::move(chains);
  listing_ = Table(kTable, chains_);
}

Ruleset Ruleset::WithoutZones() const {
  Ruleset without = *this;
  without.SetChains(std::string(absl::StripPrefix(chains_, absl::StrCat(ApartChain(), "\n"))));
  return without;
}

std::string Ruleset::ZoneCommands() { return Table(kTrialTable, ApartChain()); }

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
