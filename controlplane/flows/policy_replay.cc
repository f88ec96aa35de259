#include "controlplane/flows/policy_replay.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"

namespace byrnie {
namespace {

using Side = ReportedFlow::Side;
using Path = ReportedFlow::Path;
using Verdict = ReportedFlow::Verdict;

// Reasons of Authorize() for keeping somebody out.
bool IsPolicyReason(absl::string_view reason) {
  const absl::string_view word = reason.substr(0, reason.find(' '));
  constexpr absl::string_view kReasons[] = {
      decision_reason::kPolicyDeny,       decision_reason::kPolicyMissing,
      decision_reason::kNoAllowMatch,     decision_reason::kNoPolicySnapshot,
      decision_reason::kPlaintextRefused, decision_reason::kForeignTrustDomain,
  };
  return absl::c_linear_search(kReasons, word);
}

bool IsTheDestinations(const ReportedFlow& flow) {
  return flow.side == Side::kDestination && flow.path != Path::kProbe &&
         (flow.verdict == Verdict::kAllowed ||
          (flow.verdict == Verdict::kDenied && IsPolicyReason(flow.reason)));
}

WorkloadSelector SelectorOf(const SpiffeId& identity, const WorkloadIndex::Workload* workload) {
  WorkloadSelector selector;
  selector.trust_domain = std::string(identity.trust_domain());
  selector.ns = workload != nullptr ? workload->ns : std::string(identity.k8s_namespace());
  if (workload != nullptr) selector.policies = workload->policies;
  return selector;
}

// Of all other source addresses together: a few seconds' worth.
constexpr size_t kMostTried = 1000000;

// Which kinds of difference a flow has shown, each once: of audit lines, once for each policy.
using Shown = std::set<std::pair<ReplayChange::Kind, std::string>>;

// Adds what is different for the flow and not shown yet, from `source` where given.
void Replay(const ReplayableFlow& flow, const absl::optional<IpAddress>& source,
            const PolicySet& before, const PolicySet& after, const std::set<std::string>& audited,
            Shown* shown, ReplayResult* result) {
  using Kind = ReplayChange::Kind;
  ConnectionFacts facts = flow.facts;
  if (source.has_value()) facts.source = *source;
  Decision old = Authorize(&before, flow.workload, facts);
  Decision now = Authorize(&after, flow.workload, facts);
  for (const DryRunResult& said : now.dry_run) {
    if (audited.count(said.policy) == 0) continue;
    const bool denies = said.effect == DryRunResult::Effect::kWouldDeny && now.allowed;
    const bool allows = said.effect == DryRunResult::Effect::kWouldAllow && !now.allowed;
    if (!denies && !allows) continue;
    const Kind kind = denies ? Kind::kAuditDeny : Kind::kAuditAllow;
    if (!shown->insert({kind, said.policy}).second) continue;
    result->changes.push_back({kind, flow.entry, old.reason, now.reason, said.policy, source});
  }
  if (old.allowed == now.allowed) return;
  const Kind kind = now.allowed ? Kind::kNewlyAllowed : Kind::kNewlyDenied;
  if (!shown->insert({kind, ""}).second) return;
  result->changes.push_back(
      {kind, flow.entry, std::move(old.reason), std::move(now.reason), "", source});
}

}  // namespace

std::vector<ReplayableFlow> FlowsToReplay(const std::vector<FlowLedger::Entry>& flows,
                                          const WorkloadIndex& index,
                                          const FlowReporters& reporters) {
  FlowReporters telling = reporters;
  std::vector<ReplayableFlow> replayable;
  for (const FlowLedger::Entry& entry : flows) {
    const ReportedFlow& flow = entry.flow;
    telling.insert({entry.reporter.id.text(), entry.reporter.host});
    // A pod has addresses that it does not connect from.
    if (flow.side == Side::kDestination) {
      telling.insert({entry.reporter.id.text(), flow.destination.ip().ToString()});
    }
    if (!IsTheDestinations(flow)) continue;
    const WorkloadIndex::Workload* const workload = index.Find(flow.destination.ip());
    ReplayableFlow one{&entry, SelectorOf(entry.reporter.id, workload), {}, workload};
    one.facts.peer = flow.peer;
    one.facts.source = flow.source.value_or(IpAddress());
    one.facts.destination = flow.destination;
    // Whether plaintext is taken at all is the proxy's mode: as it was.
    one.facts.plaintext_admitted =
        flow.path == Path::kPlaintext &&
        (flow.verdict == Verdict::kAllowed || flow.reason != decision_reason::kPlaintextRefused);
    replayable.push_back(std::move(one));
  }
  for (const FlowLedger::Entry& entry : flows) {
    const ReportedFlow& flow = entry.flow;
    const bool carried = flow.side == Side::kSource && flow.verdict == Verdict::kAllowed &&
                         (flow.path == Path::kHbone || flow.path == Path::kDirect);
    if (!carried || !flow.peer.has_value() ||
        telling.count({flow.peer->text(), flow.destination.ip().ToString()}) > 0) {
      continue;
    }
    const WorkloadIndex::Workload* const workload = index.Find(flow.destination.ip());
    ReplayableFlow one{&entry, SelectorOf(*flow.peer, workload), {}, workload};
    one.facts.peer = entry.reporter.id;
    one.facts.source = IpAddress::Parse(entry.reporter.host).value_or(IpAddress());
    one.facts.destination = flow.destination;
    replayable.push_back(std::move(one));
  }
  return replayable;
}

void ReplayScope::Add(const ReportedFlow& flow) {
  ++flows;
  connections += flow.opened;
  since = std::min(since, flow.first_seen);
  until = std::max(until, flow.last_seen);
}

ReplayResult ReplayPolicies(const std::vector<ReplayableFlow>& flows, const PolicySet& before,
                            const PolicySet& after, const std::set<std::string>& audited,
                            const WorkloadIndex* others) {
  ReplayResult result;
  size_t tried = 0;
  for (const ReplayableFlow& flow : flows) {
    result.scope.Add(flow.entry->flow);
    Shown shown;
    Replay(flow, absl::nullopt, before, after, audited, &shown, &result);
    if (others == nullptr) continue;
    const std::vector<IpAddress>* const sources =
        flow.facts.peer.has_value() ? others->AddressesOf(*flow.facts.peer) : nullptr;
    if (sources == nullptr) {
      ++result.partly;
      continue;
    }
    for (const IpAddress& source : *sources) {
      if (source == flow.facts.source) continue;
      if (++tried > kMostTried) {
        ++result.partly;
        break;
      }
      Replay(flow, source, before, after, audited, &shown, &result);
    }
  }
  std::stable_sort(result.changes.begin(), result.changes.end(),
                   [](const ReplayChange& a, const ReplayChange& b) { return a.kind < b.kind; });
  return result;
}

}  // namespace byrnie
