#include "common/flow/flow_groups.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/flow/destination_refusal.h"

namespace byrnie {
namespace {

using byrnie::operator_::v1::Flow;

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

uint32_t PortOf(const Flow& flow) {
  const std::string& address = flow.destination_address();
  uint32_t port = 0;
  if (!absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port)) return 0;
  return port;
}

std::string HostOf(const Flow& flow) {
  return flow.destination_address().substr(0, flow.destination_address().rfind(':'));
}

// The two ends of a connection, whoever reports it. Whose the address is the source does not know
// of one that was refused.
using Ends = std::pair<std::string, std::string>;
Ends EndsOf(const Flow& flow) { return {flow.source_spiffe_id(), flow.destination_address()}; }

// What the destination has to say of it, too, if it reports at all.
bool ReachedDestination(const Flow& flow) {
  return flow.verdict() == Flow::VERDICT_ALLOWED ||
         (flow.verdict() == Flow::VERDICT_DENIED && IsDestinationRefusal(flow.reason()));
}

void Add(const Flow& flow, FlowGroup* group) {
  group->connections += flow.connections();
  group->open += flow.open();
  group->bytes_sent += flow.bytes_sent();
  group->bytes_received += flow.bytes_received();
  group->first_seen = std::min(group->first_seen, TimeOf(flow.first_seen()));
  if (TimeOf(flow.last_seen()) < group->last_seen) return;
  group->last_seen = TimeOf(flow.last_seen());
  group->reason = flow.reason();
}

// The identity of who reports it, by which agents are let in: of the own mesh.
const std::string& ReporterOf(const Flow& flow) {
  return flow.side() == Flow::SIDE_SOURCE ? flow.source_spiffe_id() : flow.destination_spiffe_id();
}

}  // namespace

std::string ShortIdentity(absl::string_view spiffe_id, absl::string_view own) {
  const std::vector<absl::string_view> parts = absl::StrSplit(spiffe_id, '/');
  // "spiffe:", "", trust domain, "ns", NAMESPACE, "sa", ACCOUNT.
  if (parts.size() != 7 || parts[3] != "ns" || parts[5] != "sa") return std::string(spiffe_id);
  const std::vector<absl::string_view> own_parts = absl::StrSplit(own, '/');
  const bool is_own = own_parts.size() > 2 && own_parts[2] == parts[2];
  return absl::StrCat(is_own ? "" : parts[2], is_own ? "" : "/", parts[4], "/", parts[6]);
}

std::string SourceLabel(const Flow& flow) {
  if (!flow.source_spiffe_id().empty()) {
    return ShortIdentity(flow.source_spiffe_id(), ReporterOf(flow));
  }
  return flow.source_network().empty() ? flow.source_address() : flow.source_network();
}

std::string DestinationLabel(const Flow& flow) {
  if (!flow.destination_spiffe_id().empty()) {
    return ShortIdentity(flow.destination_spiffe_id(), ReporterOf(flow));
  }
  return flow.destination_workload().empty() ? HostOf(flow) : flow.destination_workload();
}

absl::string_view VerdictText(Flow::Verdict verdict) {
  switch (verdict) {
    case Flow::VERDICT_ALLOWED:
      return "allowed";
    case Flow::VERDICT_DENIED:
      return "denied";
    case Flow::VERDICT_FAILED:
      return "failed";
    default:
      return "unknown";
  }
}

std::vector<Flow> MergeFlows(std::vector<Flow> flows) {
  std::stable_sort(flows.begin(), flows.end(), [](const Flow& a, const Flow& b) {
    if (a.id() != b.id()) return a.id() < b.id();
    return TimeOf(a.last_seen()) > TimeOf(b.last_seen());
  });
  flows.erase(std::unique(flows.begin(), flows.end(),
                          [](const Flow& a, const Flow& b) { return a.id() == b.id(); }),
              flows.end());
  return flows;
}

std::vector<FlowGroup> GroupFlows(const std::vector<Flow>& flows) {
  std::map<Ends, std::string> services;
  std::set<Ends> told;
  for (const Flow& flow : flows) {
    if (flow.source_spiffe_id().empty()) continue;
    if (flow.side() == Flow::SIDE_DESTINATION) {
      told.insert(EndsOf(flow));
    } else if (!flow.service().empty()) {
      services[EndsOf(flow)] = flow.service();
    }
  }
  std::map<std::tuple<std::string, std::string, uint32_t, std::string, int, bool>, FlowGroup>
      groups;
  for (const Flow& flow : flows) {
    const bool is_the_sources = flow.side() == Flow::SIDE_SOURCE && ReachedDestination(flow);
    if (is_the_sources && told.count(EndsOf(flow)) > 0) continue;
    const std::string source = SourceLabel(flow), destination = DestinationLabel(flow);
    // Plaintext that left the mesh is nobody's to report but its source's.
    const bool alone = is_the_sources && !flow.destination_spiffe_id().empty();
    FlowGroup& group =
        groups[{source, destination, PortOf(flow), flow.path(), flow.verdict(), alone}];
    group.says_source_alone = alone;
    group.source = source;
    group.destination = destination;
    group.port = PortOf(flow);
    group.source_spiffe_id = flow.source_spiffe_id();
    group.destination_spiffe_id = flow.destination_spiffe_id();
    group.path = flow.path();
    group.verdict = flow.verdict();
    const auto service = services.find(EndsOf(flow));
    if (!flow.service().empty()) {
      group.service = flow.service();
    } else if (service != services.end()) {
      group.service = service->second;
    }
    Add(flow, &group);
  }
  std::vector<FlowGroup> sorted;
  for (auto& entry : groups) sorted.push_back(std::move(entry.second));
  std::stable_sort(sorted.begin(), sorted.end(), [](const FlowGroup& a, const FlowGroup& b) {
    return a.last_seen > b.last_seen;
  });
  return sorted;
}

}  // namespace byrnie
