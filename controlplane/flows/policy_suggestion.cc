#include "controlplane/flows/policy_suggestion.h"

#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/flow/source_network.h"

namespace byrnie {
namespace {

using istio::security::Authorization;
using istio::security::Rule;

// Who reaches a destination, each with the ports.
struct Clients {
  std::map<std::string, std::set<uint16_t>> principals;
  std::map<std::string, std::set<uint16_t>> networks;  // By "address/length".
  std::set<IpAddress> addresses;                       // Of the destination.
};

// The names a list has, by the ports they share: fewer and shorter matches.
std::map<std::set<uint16_t>, std::vector<std::string>> ByPorts(
    const std::map<std::string, std::set<uint16_t>>& clients) {
  std::map<std::set<uint16_t>, std::vector<std::string>> by_ports;
  for (const auto& [name, ports] : clients) by_ports[ports].push_back(name);
  return by_ports;
}

void Fill(const IpAddress& ip, uint32_t length, istio::security::Address* out) {
  out->set_address(ip.ToBytes());
  out->set_length(length);
}

Rule RuleFor(const Clients& clients) {
  Rule rule;
  auto* const destination = rule.add_clauses()->add_matches();
  for (const IpAddress& ip : clients.addresses) {
    Fill(ip, ip.is_v4() ? 32 : 128, destination->add_destination_ips());
  }
  auto* const who = rule.add_clauses();
  for (const auto& [ports, names] : ByPorts(clients.principals)) {
    auto* const match = who->add_matches();
    for (const std::string& name : names) match->add_principals()->set_exact(name);
    for (const uint16_t port : ports) match->add_destination_ports(port);
  }
  for (const auto& [ports, names] : ByPorts(clients.networks)) {
    auto* const match = who->add_matches();
    for (const std::string& name : names) {
      const size_t slash = name.find('/');
      const IpAddress ip = IpAddress::Parse(name.substr(0, slash)).value_or(IpAddress());
      Fill(ip, SourceNetworkOf(ip).length, match->add_source_ips());
    }
    for (const uint16_t port : ports) match->add_destination_ports(port);
  }
  return rule;
}

}  // namespace

absl::Status CheckSuggestion(const Authorization& policy, absl::string_view ns) {
  const bool rules = absl::c_all_of(policy.rules(), [](const Rule& rule) {
    return rule.clauses_size() == 2 && rule.clauses(0).matches_size() == 1 &&
           !rule.clauses(0).matches(0).destination_ips().empty();
  });
  if (rules && policy.name() == kSuggestedName && policy.namespace_() == ns &&
      policy.scope() == istio::security::NAMESPACE && policy.action() == istio::security::ALLOW &&
      !policy.dry_run()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("is not a policy \"", ns, "/", kSuggestedName, "\" that was suggested"));
}

PolicySuggestion SuggestPolicy(absl::string_view ns, const std::vector<ReplayableFlow>& flows,
                               const WorkloadIndex& index, const PolicySet& present,
                               const Authorization* base) {
  PolicySuggestion suggestion;
  std::map<std::string, Clients> by_identity;
  const std::vector<WorkloadIndex::Workload> workloads = index.InNamespace(ns);
  for (const ReplayableFlow& flow : flows) {
    const ReportedFlow& seen = flow.entry->flow;
    // Whom a policy lets in is not for him to say.
    if (seen.side != ReportedFlow::Side::kDestination) continue;
    if (flow.workload.ns != ns || !Authorize(&present, flow.workload, flow.facts).allowed) continue;
    Clients& clients = by_identity[flow.entry->reporter.id.text()];
    clients.addresses.insert(seen.destination.ip());
    if (flow.facts.peer.has_value()) {
      clients.principals[std::string(absl::StripPrefix(flow.facts.peer->text(), "spiffe://"))]
          .insert(seen.destination.port());
    } else if (!seen.SourceNetwork().empty()) {
      clients.networks[seen.SourceNetwork()].insert(seen.destination.port());
    }
    suggestion.scope.Add(seen);
  }
  // Others of the same identity are as good a destination, whether they were reached yet or not.
  for (const WorkloadIndex::Workload& workload : workloads) {
    const auto found = workload.identity.has_value() ? by_identity.find(workload.identity->text())
                                                     : by_identity.end();
    if (found == by_identity.end()) continue;
    found->second.addresses.insert(workload.addresses.begin(), workload.addresses.end());
  }
  Authorization policy;
  policy.set_name(std::string(kSuggestedName));
  policy.set_namespace_(std::string(ns));
  policy.set_scope(istio::security::NAMESPACE);
  policy.set_action(istio::security::ALLOW);
  std::set<std::string> known;
  const auto add = [&policy, &known](const Rule& rule) {
    if (known.insert(rule.SerializeAsString()).second) *policy.add_rules() = rule;
  };
  for (const auto& [identity, clients] : by_identity) {
    const Rule rule = RuleFor(clients);
    if (rule.clauses(1).matches_size() > 0) add(rule);
  }
  if (base != nullptr) {
    for (const Rule& rule : base->rules()) add(rule);
  }
  absl::flat_hash_set<std::string> open;
  for (const Rule& rule : policy.rules()) {
    for (const auto& block : rule.clauses(0).matches(0).destination_ips()) {
      open.insert(block.address());
    }
  }
  for (const WorkloadIndex::Workload& workload : workloads) {
    const bool reached = absl::c_any_of(workload.addresses, [&open](const IpAddress& address) {
      return open.contains(address.ToBytes());
    });
    if (!reached) suggestion.unreached.push_back(workload.name);
  }
  if (policy.rules_size() > 0) suggestion.policy = std::move(policy);
  return suggestion;
}

}  // namespace byrnie
