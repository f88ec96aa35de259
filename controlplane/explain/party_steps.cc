#include "controlplane/explain/party_steps.h"

#include <algorithm>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"

namespace byrnie {
namespace {

using Outcome = ExplainStep::Outcome;

// Certificates are dated back by a minute: smaller differences hurt nobody.
constexpr absl::Duration kMaxClockOffset = absl::Seconds(60);

// By then every agent that is there has come back to a control plane that was started again: it
// tries again after 15 s at the latest.
constexpr absl::Duration kAgentsReturn = absl::Seconds(30);

std::string Ago(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Seconds(1)));
}

// The agent that speaks for a party: the one at its address, else one of its identity that is not
// another workload's, as behind an address translation. Other pods of the identity do not count.
absl::optional<AgentTable::Agent> AgentFor(const MeshView& view, const Party& party) {
  absl::optional<AgentTable::Agent> elsewhere;
  for (const AgentTable::Agent& agent : view.AgentsOf(*party.proven)) {
    const absl::optional<IpAddress> host = MeshView::HostOf(agent);
    if (!host.has_value()) continue;
    const bool here =
        std::find(party.addresses.begin(), party.addresses.end(), *host) != party.addresses.end();
    if (here) return agent;
    if (!elsewhere.has_value() && !view.FindWorkload(host->ToString()).has_value()) {
      elsewhere = agent;
    }
  }
  return elsewhere;
}

// Whether that agent comes from none of the party's addresses, so that nobody knows whether it is
// the party's.
bool IsElsewhere(const Party& party, const AgentTable::Agent& agent) {
  const absl::optional<IpAddress> host = MeshView::HostOf(agent);
  return !party.addresses.empty() &&
         (!host.has_value() || std::find(party.addresses.begin(), party.addresses.end(), *host) ==
                                   party.addresses.end());
}

std::string AddressesText(const Party& party) {
  return absl::StrJoin(party.addresses, ", ", [](std::string* out, const IpAddress& address) {
    absl::StrAppend(out, address.ToString());
  });
}

// "b, c", where else an agent may be.
std::string OthersOf(const MeshView& view) {
  return absl::StrJoin(view.facts().other_control_planes, ", ");
}

// The certificate a party has: what its agent shows, or, where that is not connected here, what any
// control plane issued last. Errors as the log.
absl::StatusOr<absl::optional<IssuedCertificate>> NewestOf(
    const MeshView& view, const Party& party, const absl::optional<AgentTable::Agent>& agent) {
  absl::optional<IssuedCertificate> shown;
  if (agent.has_value() && agent->certificate_not_after.has_value()) {
    shown = IssuedCertificate{agent->certificate_serial, *agent->certificate_not_after};
    if (agent->connected) return shown;
  }
  if (view.facts().newest_issued == nullptr) return shown;
  ASSIGN_OR_RETURN(absl::optional<IssuedCertificate> issued,
                   view.facts().newest_issued(*party.proven));
  return issued.has_value() ? issued : shown;
}

// What to do about a certificate that has ended: it depends on what its holder proves itself with.
// Of one that was renewed ("svid") nobody tells by what its first one was proven.
std::string RenewalRemedy(const absl::optional<AgentTable::Agent>& agent) {
  const std::string proof = agent.has_value() ? agent->certificate_proof : "";
  const bool token = absl::StartsWith(proof, "jwt:") || absl::StartsWith(proof, "kubernetes");
  return absl::StrCat(
      "see why the agent does not renew it (curl 127.0.0.1:15010/certs in the pod)",
      proof == "join_token" ? "; after its end only a new join token helps"
      : token ? ": it proves itself anew with its token once it reaches the control plane"
              : "; if it joined with a join token, it needs a new one now");
}

ExplainStep CertificateStep(const MeshView& view, const Party& party,
                            const absl::optional<AgentTable::Agent>& agent) {
  ExplainStep step;
  step.name = absl::StrCat(party.role, "-certificate");
  const absl::Time now = view.facts().now;
  const absl::StatusOr<absl::optional<IssuedCertificate>> known = NewestOf(view, party, agent);
  if (!known.ok()) {
    step.outcome = Outcome::kUnknown;
    step.reason =
        absl::StrCat("the log of what was issued cannot be read: ", known.status().message());
    return step;
  }
  const absl::optional<IssuedCertificate>& certificate = *known;
  if (!certificate.has_value()) {
    step.outcome = Outcome::kFailed;
    step.reason = absl::StrCat("no certificate of ", party.proven->text(),
                               " was issued or shown since the control plane started");
    if (view.facts().newest_issued != nullptr) {
      absl::StrAppend(&step.reason, ", and the log has none of late");
    }
    step.remedy =
        "start the pod's agent with a join token for that identity (byrniectl token create); its "
        "log says why it has none";
  } else if (certificate->not_after <= now) {
    step.outcome = Outcome::kFailed;
    step.reason = absl::StrCat("the certificate of ", party.proven->text(), " ended ",
                               Ago(now - certificate->not_after), " ago, at ",
                               UtcText(certificate->not_after));
    step.remedy = RenewalRemedy(agent);
  } else if (view.facts().revoked.count(certificate->serial) > 0) {
    step.outcome = Outcome::kFailed;
    step.reason = absl::StrCat("certificate ", certificate->serial, " of ", party.proven->text(),
                               " is revoked: nobody who has the list takes it");
    step.remedy =
        "byrniectl issuances says who revoked it and why; a pod that is to be trusted again needs "
        "a new certificate: start its agent anew, where it joins with a join token with a new one";
  } else {
    step.outcome = Outcome::kOk;
    step.reason = absl::StrCat("certificate ", certificate->serial, " of ", party.proven->text(),
                               " is valid for another ", Ago(certificate->not_after - now));
  }
  return step;
}

// It was asked, and has not answered.
bool Hangs(const MeshView& view, const AgentTable::Agent& agent) {
  const auto found = view.facts().answers.find(agent.address);
  return found != view.facts().answers.end() && !found->second.has_value();
}

// What the agent says of the pod's proxy, where it says anything.
absl::optional<ExplainStep> ProxyStep(const MeshView& view, const Party& party,
                                      const absl::optional<AgentTable::Agent>& agent) {
  if (!agent.has_value() || !agent->connected) return absl::nullopt;
  const auto found = view.facts().answers.find(agent->address);
  if (found == view.facts().answers.end() || !found->second.has_value()) return absl::nullopt;
  ExplainStep step;
  step.name = absl::StrCat(party.role, "-proxy");
  if (IsElsewhere(party, *agent)) {
    step.reason = absl::StrCat("nobody has asked the proxy at ", AddressesText(party),
                               "; the agent that may be its own comes from ", agent->address);
    return step;
  }
  if (found->second->proxy_answers) {
    step.outcome = Outcome::kOk;
    step.reason = "its proxy answers its agent";
    return step;
  }
  if (found->second->has_proxy) {
    step.outcome = Outcome::kFailed;
    step.reason = "its agent says that its proxy does not answer: it hangs";
    step.remedy =
        "see whether byrnie-proxy is stopped or gets no CPU in the pod; restart it where it "
        "stays so";
    return step;
  }
  step.outcome = Outcome::kFailed;
  step.reason =
      "its agent says that no proxy is connected to it: it does not run, or cannot reach "
      "the agent's socket";
  step.remedy =
      "see whether byrnie-proxy runs in the pod, and its log; the rules let nothing past it "
      "meanwhile";
  return step;
}

ExplainStep AgentStep(const MeshView& view, const Party& party,
                      const absl::optional<AgentTable::Agent>& agent) {
  ExplainStep step;
  step.name = absl::StrCat(party.role, "-agent");
  if (agent.has_value() && agent->connected && IsElsewhere(party, *agent)) {
    step.reason = absl::StrCat(
        "an agent of ", party.proven->text(), " is connected, but from ", agent->address,
        ", and the registry has ", AddressesText(party), " of ", party.name,
        ": it is behind a translation of addresses, or the registry is wrong");
    step.remedy =
        "compare the address in the registry with the pod's; connections go to the registry's";
    return step;
  }
  if (agent.has_value() && agent->connected && Hangs(view, *agent)) {
    step.outcome = Outcome::kFailed;
    step.reason =
        absl::StrCat("its agent is connected from ", agent->address,
                     ", but has not answered within ", absl::FormatDuration(view.facts().patience),
                     ": it hangs, and then the proxy begins no TLS, or it is cut off from the "
                     "control plane, and then it hears of no change");
    step.remedy =
        "see whether byrnie-certagent is stopped or gets no CPU in the pod, and whether packets "
        "between it and the control plane get through; restart it where it hangs";
    return step;
  }
  if (agent.has_value() && agent->connected) {
    step.outcome = Outcome::kOk;
    step.reason = absl::StrCat("its agent is connected from ", agent->address);
    return step;
  }
  if (!view.facts().other_control_planes.empty()) {
    step.outcome = Outcome::kUnknown;
    step.reason = absl::StrCat("no agent of ", party.proven->text(),
                               " is connected to this control plane; it is connected to another (",
                               OthersOf(view), "), or not at all");
    step.remedy =
        "ask the others, too (--control_plane); where none has it, see whether byrnie-certagent "
        "runs in the pod";
    return step;
  }
  if (!agent.has_value() && view.facts().running < kAgentsReturn) {
    step.reason = absl::StrCat("the control plane was started ", Ago(view.facts().running),
                               " ago, and the agent of ", party.proven->text(),
                               " has not come back yet, or is not there");
    step.remedy = "ask again in half a minute";
    return step;
  }
  step.outcome = Outcome::kFailed;
  step.reason = absl::StrCat("no agent of ", party.proven->text(), " is connected",
                             agent.has_value()
                                 ? absl::StrCat(", the last one was seen ",
                                                Ago(view.facts().now - agent->last_seen), " ago")
                                 : "",
                             ": it does not run, and then the proxy begins no TLS, or it is cut "
                             "off from the control plane, and then it hears of no change");
  step.remedy =
      "see whether byrnie-certagent runs in the pod and reaches the control plane; its log "
      "says what it tries";
  return step;
}

ExplainStep IdentityStep(const Party& party, const absl::optional<AgentTable::Agent>& agent) {
  ExplainStep step;
  step.name = absl::StrCat(party.role, "-identity");
  if (!agent.has_value()) {
    step.reason = absl::StrCat("it is to prove ", party.proven->text(),
                               "; no agent of that identity is known here, so nobody has seen it");
    return step;
  }
  if (!party.expected.has_value() || *party.expected == *party.proven) {
    step.outcome = Outcome::kOk;
    step.reason = absl::StrCat("it proves ", party.proven->text());
    return step;
  }
  // A client may be whoever it is, and is judged as that; a server must be whom discovery names.
  step.outcome = party.role == "destination" ? Outcome::kFailed : Outcome::kOk;
  step.reason = absl::StrCat("the registry expects ", party.expected->text(), " of ", party.name,
                             ", its agent proves ", party.proven->text());
  step.remedy =
      "correct the workload's namespace, service_account or trust_domain in the registry, "
      "or give the agent a join token for the identity expected";
  return step;
}

ExplainStep ClockStep(const Party& party, const absl::optional<AgentTable::Agent>& agent) {
  ExplainStep step;
  step.name = absl::StrCat(party.role, "-clock");
  if (!agent.has_value() || !agent->clock_offset.has_value()) {
    step.reason = "its agent has not said what time it is there";
    return step;
  }
  const absl::Duration offset = *agent->clock_offset;
  const absl::Duration size = absl::AbsDuration(offset);
  if (size < absl::Seconds(1)) {
    step.outcome = Outcome::kOk;
    step.reason = "its clock agrees with the control plane's";
    return step;
  }
  step.reason =
      absl::StrCat("its clock is ", Ago(size),
                   offset > absl::ZeroDuration() ? " ahead of" : " behind", " the control plane's");
  step.outcome = size > kMaxClockOffset ? Outcome::kFailed : Outcome::kOk;
  if (step.outcome == Outcome::kFailed) {
    absl::StrAppend(
        &step.reason,
        ": certificates are not valid there when they are here, or the other way round");
    step.remedy = "set the clock of its machine (NTP)";
  }
  return step;
}

}  // namespace

void LookForAgent(const MeshView& view, Party* party) {
  party->proven = party->expected;
  for (const IpAddress& address : party->addresses) {
    const absl::optional<AgentTable::Agent> agent = view.AgentAt(address);
    if (!agent.has_value()) continue;
    party->proven = agent->id;
    return;
  }
}

std::string ConnectionOf(const MeshView& view, const Party& party) {
  if (!party.in_mesh()) return "";
  const absl::optional<AgentTable::Agent> agent = AgentFor(view, party);
  return agent.has_value() && agent->connected ? agent->address : "";
}

std::vector<ExplainStep> PartySteps(const MeshView& view, const Party& party) {
  if (party.proven->trust_domain() != view.facts().trust_domain) {
    return {ExplainStep{absl::StrCat(party.role, "-certificate"), Outcome::kUnknown,
                        absl::StrCat(party.proven->text(),
                                     " has its certificate from the control "
                                     "plane of its own trust domain"),
                        ""}};
  }
  const absl::optional<AgentTable::Agent> agent = AgentFor(view, party);
  std::vector<ExplainStep> steps = {CertificateStep(view, party, agent),
                                    AgentStep(view, party, agent), IdentityStep(party, agent),
                                    ClockStep(party, agent)};
  const absl::optional<ExplainStep> proxy = ProxyStep(view, party, agent);
  if (proxy.has_value()) steps.push_back(*proxy);
  return steps;
}

}  // namespace byrnie
