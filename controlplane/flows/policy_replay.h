#ifndef BYRNIE_CONTROLPLANE_FLOWS_POLICY_REPLAY_H_
#define BYRNIE_CONTROLPLANE_FLOWS_POLICY_REPLAY_H_

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/policy/authorizer.h"
#include "controlplane/flows/flow_ledger.h"
#include "controlplane/flows/workload_index.h"

namespace byrnie {

// A flow that policies decide about, and what they are asked.
struct ReplayableFlow {
  const FlowLedger::Entry* entry;
  WorkloadSelector workload;
  ConnectionFacts facts;
  // What the destination is; null: no workload of the registry.
  const WorkloadIndex::Workload* destination = nullptr;
};

// Who reports, by identity and host, of those that may have nothing to report.
using FlowReporters = std::set<std::pair<std::string, std::string>>;

// Which of `flows` policies decide about: what their destinations reported and was let in, or kept
// out by a policy; and what only the source reported, of destinations that report to nobody here:
// neither in `flows` nor as one of `reporters`. Where they report, what a source says and they do
// not is its own tale. Health probes, and what failed otherwise, are none. Pure; points into its
// arguments.
std::vector<ReplayableFlow> FlowsToReplay(const std::vector<FlowLedger::Entry>& flows,
                                          const WorkloadIndex& index,
                                          const FlowReporters& reporters);

// How many flows and connections something was said about, and when they were.
struct ReplayScope {
  uint64_t flows = 0;
  uint64_t connections = 0;
  absl::Time since = absl::InfiniteFuture();
  absl::Time until = absl::InfinitePast();

  void Add(const ReportedFlow& flow);
};

// A flow about which the one set of policies decides otherwise than the other.
struct ReplayChange {
  enum class Kind {
    kNewlyDenied,
    kNewlyAllowed,
    // What a dry-run policy says.
    kAuditDeny,
    kAuditAllow,
  };
  Kind kind;
  const FlowLedger::Entry* entry;
  std::string before;
  std::string after;
  // The dry-run policy.
  std::string policy;
  // The source address of which this is so, where the flow was seen from another one.
  absl::optional<IpAddress> source = absl::nullopt;
};

struct ReplayResult {
  // By kind, then in the order of the flows.
  std::vector<ReplayChange> changes;
  ReplayScope scope;
  // Flows of which not all source addresses were replayed that `others` is there for: those of
  // somebody without an identity or of one that the registry has no address for, and what is beyond
  // a bound.
  uint64_t partly = 0;
};

// Replays `flows` against both sets, by the very function the proxies decide with. `audited` are
// the dry-run policies of `after` whose word is asked for, by key. A flow has one source address,
// the last; where the sets differ in what they say of source addresses, `others` gives those that
// the source's identity has, which are all replayed; else null. A flow shows a kind of change once
// (what dry-run policies say, once for each), whatever the number of addresses. Pure.
ReplayResult ReplayPolicies(const std::vector<ReplayableFlow>& flows, const PolicySet& before,
                            const PolicySet& after, const std::set<std::string>& audited,
                            const WorkloadIndex* others = nullptr);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_FLOWS_POLICY_REPLAY_H_
