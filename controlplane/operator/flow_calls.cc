#include "controlplane/operator/flow_calls.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/grpc/error_details.h"
#include "common/policy/authorizer.h"
#include "controlplane/explain/mesh_view.h"
#include "controlplane/explain/policy_step.h"
#include "controlplane/flows/policy_replay.h"
#include "controlplane/flows/policy_suggestion.h"
#include "controlplane/flows/workload_index.h"
#include "controlplane/operator/page.h"
#include "controlplane/operator/read_mask.h"
#include "controlplane/policy/policy_document.h"
#include "controlplane/proto/time_conversion.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

using istio::security::Authorization;

constexpr size_t kMaxChanges = 5000;
// Messages may not be larger than 4 MiB.
constexpr size_t kMaxBytes = 2 * 1024 * 1024;

FlowReporters ConnectedAgents(const AgentTable& agents) {
  FlowReporters connected;
  for (const AgentTable::Agent& agent : agents.List()) {
    const absl::optional<IpAddress> host = MeshView::HostOf(agent);
    if (host.has_value()) connected.insert({agent.id.text(), host->ToString()});
  }
  return connected;
}

// Fills messages with flows of one moment.
class Filler {
 public:
  Filler(const WorkloadIndex* index, FlowReporters connected)
      : index_(*index), connected_(std::move(connected)) {}

  void Fill(const FlowLedger::Entry& entry, v1::Flow* out) const {
    const ReportedFlow& flow = entry.flow;
    const bool destination = flow.side == ReportedFlow::Side::kDestination;
    const std::string& reporter = entry.reporter.id.text();
    const std::string peer = flow.peer.has_value() ? flow.peer->text() : "";
    out->set_id(entry.id);
    out->set_side(destination ? v1::Flow::SIDE_DESTINATION : v1::Flow::SIDE_SOURCE);
    out->set_source_spiffe_id(destination ? peer : reporter);
    out->set_destination_spiffe_id(destination ? reporter : peer);
    if (!destination) {
      out->set_source_address(entry.reporter.host);
    } else if (flow.source.has_value()) {
      out->set_source_address(flow.source->ToString());
    }
    out->set_source_network(flow.SourceNetwork());
    out->set_destination_address(flow.destination.ToString());
    if (const WorkloadIndex::Workload* workload = index_.Find(flow.destination.ip())) {
      out->set_destination_uid(workload->uid);
      out->set_destination_workload(workload->name);
    }
    out->set_service(flow.service);
    out->set_path(std::string(NameOf(flow.path)));
    out->set_verdict(VerdictOf(flow.verdict));
    out->set_reason(flow.reason);
    out->set_connections(flow.opened);
    const bool there = !entry.ended && connected_.count({reporter, entry.reporter.host}) > 0;
    if (there && flow.opened > flow.closed) out->set_open(flow.opened - flow.closed);
    out->set_bytes_sent(flow.bytes_sent);
    out->set_bytes_received(flow.bytes_received);
    ToProto(flow.first_seen, out->mutable_first_seen());
    ToProto(flow.last_seen, out->mutable_last_seen());
  }

 private:
  static v1::Flow::Verdict VerdictOf(ReportedFlow::Verdict verdict) {
    switch (verdict) {
      case ReportedFlow::Verdict::kAllowed:
        return v1::Flow::VERDICT_ALLOWED;
      case ReportedFlow::Verdict::kDenied:
        return v1::Flow::VERDICT_DENIED;
      case ReportedFlow::Verdict::kFailed:
        return v1::Flow::VERDICT_FAILED;
    }
    return v1::Flow::VERDICT_UNSPECIFIED;
  }

  const WorkloadIndex& index_;
  const FlowReporters connected_;
};

bool IsInNamespace(const v1::Flow& flow, const std::string& ns) {
  if (!flow.destination_workload().empty()) {
    return absl::StartsWith(flow.destination_workload(), absl::StrCat(ns, "/"));
  }
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(flow.destination_spiffe_id());
  return id.ok() && id->k8s_namespace() == ns;
}

// What in a field is not accepted, instead of in "document".
absl::Status InField(absl::string_view field, const absl::Status& status) {
  return absl::IsInvalidArgument(status) ? InvalidField(field, status.message()) : status;
}

v1::PolicyChange::Kind KindOf(ReplayChange::Kind kind) {
  switch (kind) {
    case ReplayChange::Kind::kNewlyDenied:
      return v1::PolicyChange::KIND_NEWLY_DENIED;
    case ReplayChange::Kind::kNewlyAllowed:
      return v1::PolicyChange::KIND_NEWLY_ALLOWED;
    case ReplayChange::Kind::kAuditDeny:
      return v1::PolicyChange::KIND_AUDIT_DENY;
    case ReplayChange::Kind::kAuditAllow:
      return v1::PolicyChange::KIND_AUDIT_ALLOW;
  }
  return v1::PolicyChange::KIND_UNSPECIFIED;
}

template <typename Response>
void FillScope(const ReplayScope& scope, Response* response) {
  response->set_flows(scope.flows);
  response->set_connections(scope.connections);
  if (scope.flows == 0) return;
  ToProto(scope.since, response->mutable_since());
  ToProto(scope.until, response->mutable_until());
}

// What proxies would do with policies they do not understand, they do already.
absl::Status NoPolicies() {
  return PreconditionFailed(
      "POLICIES", "policies",
      "proxies do not understand the policies in force, so that they deny everything; see the "
      "control plane's log for what agents rejected");
}

// The policies that would be in force.
struct Proposal {
  std::shared_ptr<const PolicySet> policies;
  std::set<std::string> dry_runs;
  // What is different of them is about source addresses, too.
  bool of_source_addresses = false;
};

bool NamesSourceAddresses(const Authorization& policy) {
  for (const auto& rule : policy.rules()) {
    for (const auto& clause : rule.clauses()) {
      for (const auto& match : clause.matches()) {
        if (!match.source_ips().empty() || !match.not_source_ips().empty()) return true;
      }
    }
  }
  return false;
}

absl::StatusOr<Proposal> ReadProposal(const v1::DiffPoliciesRequest& request,
                                      const RegistrySnapshot& registry) {
  Proposal proposal;
  std::map<std::string, Authorization> policies;
  for (const auto& entry : registry.resources(ResourceType::kAuthorization)) {
    policies[entry.first].ParseFromString(entry.second.payload);
  }
  std::set<std::string> named;
  for (int i = 0; i < request.removals_size(); ++i) {
    const std::string& name = request.removals(i);
    if (!named.insert(name).second) {
      return InvalidField(absl::StrCat("removals[", i, "]"), "is there twice");
    }
    const auto gone = policies.find(name);
    if (gone == policies.end()) {
      return ResourceNotFound("policy", name, absl::StrCat("there is no policy \"", name, "\""));
    }
    proposal.of_source_addresses |= NamesSourceAddresses(gone->second);
    policies.erase(gone);
  }
  for (int i = 0; i < request.documents_size(); ++i) {
    const std::string place = absl::StrCat("documents[", i, "]");
    absl::StatusOr<Authorization> policy = ParsePolicyDocument(request.documents(i));
    if (!policy.ok()) return InField(place, policy.status());
    const std::string name = absl::StrCat(policy->namespace_(), "/", policy->name());
    if (!named.insert(name).second) {
      return InvalidField(place, absl::StrCat("names \"", name, "\", which is there twice"));
    }
    if (policy->dry_run()) proposal.dry_runs.insert(name);
    Authorization& place_of = policies[name];
    if (place_of.SerializeAsString() != policy->SerializeAsString()) {
      proposal.of_source_addresses |=
          NamesSourceAddresses(place_of) || NamesSourceAddresses(*policy);
    }
    place_of = *std::move(policy);
  }
  google::protobuf::RepeatedPtrField<Authorization> all;
  for (auto& entry : policies) *all.Add() = std::move(entry.second);
  ASSIGN_OR_RETURN(proposal.policies, PolicySet::Create(2, all));
  return proposal;
}

}  // namespace

std::vector<v1::Flow> FlowCalls::All() const {
  const RegistrySnapshotPtr registry = registry_->snapshot();
  const WorkloadIndex index(registry.get());
  const Filler filler(&index, ConnectedAgents(*agents_));
  std::vector<v1::Flow> flows;
  for (const FlowLedger::Entry& entry : ledger_->List()) {
    flows.emplace_back();
    filler.Fill(entry, &flows.back());
  }
  return flows;
}

absl::Status FlowCalls::ListFlows(const v1::ListFlowsRequest& request,
                                  v1::ListFlowsResponse* response) const {
  RETURN_IF_ERROR(CheckReadMask<v1::Flow>(request.read_mask()));
  for (const int verdict : request.verdicts()) {
    if (verdict == v1::Flow::VERDICT_UNSPECIFIED || !v1::Flow::Verdict_IsValid(verdict)) {
      return InvalidField("verdicts", absl::StrCat(verdict, " is no verdict"));
    }
  }
  const std::string list = absl::StrCat("flows ", request.spiffe_id(), " ", request.namespace_(),
                                        " ", absl::StrJoin(request.verdicts(), ","));
  ASSIGN_OR_RETURN(Page page, Page::Create(request.page_size(), request.page_token(), list));
  const RegistrySnapshotPtr registry = registry_->snapshot();
  const WorkloadIndex index(registry.get());
  const Filler filler(&index, ConnectedAgents(*agents_));
  size_t bytes = 0;
  std::string last;
  for (const FlowLedger::Entry& entry : ledger_->List()) {
    if (entry.id <= page.after()) continue;
    v1::Flow flow;
    filler.Fill(entry, &flow);
    if (!request.spiffe_id().empty() && flow.source_spiffe_id() != request.spiffe_id() &&
        flow.destination_spiffe_id() != request.spiffe_id()) {
      continue;
    }
    if (!request.namespace_().empty() && !IsInNamespace(flow, request.namespace_())) continue;
    if (!request.verdicts().empty() && !absl::c_linear_search(request.verdicts(), flow.verdict())) {
      continue;
    }
    if (static_cast<size_t>(response->flows_size()) == page.size() || bytes > kMaxBytes) {
      response->set_next_page_token(page.TokenAfter(last));
      break;
    }
    last = entry.id;
    ApplyReadMask(request.read_mask(), &flow);
    bytes += flow.ByteSizeLong();
    *response->add_flows() = std::move(flow);
  }
  return absl::OkStatus();
}

absl::Status FlowCalls::DiffPolicies(const v1::DiffPoliciesRequest& request,
                                     v1::DiffPoliciesResponse* response) const {
  if (request.documents().empty() && request.removals().empty()) {
    return InvalidField("documents", "is empty, and so is removals: there is nothing to compare");
  }
  const RegistrySnapshotPtr registry = registry_->snapshot();
  ASSIGN_OR_RETURN(const Proposal proposal, ReadProposal(request, *registry));
  const std::shared_ptr<const PolicySet> present = PoliciesOf(*registry);
  if (present == nullptr) return NoPolicies();
  const WorkloadIndex index(registry.get());
  const std::vector<FlowLedger::Entry> flows = ledger_->List();
  const FlowReporters connected = ConnectedAgents(*agents_);
  const ReplayResult result =
      ReplayPolicies(FlowsToReplay(flows, index, connected), *present, *proposal.policies,
                     proposal.dry_runs, proposal.of_source_addresses ? &index : nullptr);
  const Filler filler(&index, connected);
  size_t bytes = 0;
  for (const ReplayChange& change : result.changes) {
    if (static_cast<size_t>(response->changes_size()) == kMaxChanges || bytes > kMaxBytes) {
      response->set_more(result.changes.size() - static_cast<size_t>(response->changes_size()));
      break;
    }
    v1::PolicyChange* const out = response->add_changes();
    out->set_kind(KindOf(change.kind));
    filler.Fill(*change.entry, out->mutable_flow());
    out->set_reason_before(change.before);
    out->set_reason_after(change.after);
    out->set_policy(change.policy);
    if (change.source.has_value()) out->set_source_address(change.source->ToString());
    bytes += out->ByteSizeLong();
  }
  FillScope(result.scope, response);
  response->set_partly(result.partly);
  return absl::OkStatus();
}

absl::Status FlowCalls::SuggestPolicies(const v1::SuggestPoliciesRequest& request,
                                        v1::SuggestPoliciesResponse* response) const {
  if (request.namespace_().empty()) return InvalidField("namespace", "is empty");
  absl::optional<Authorization> base;
  if (!request.document().empty()) {
    ASSIGN_OR_RETURN(base, ParsePolicyDocument(request.document()));
    const absl::Status checked = CheckSuggestion(*base, request.namespace_());
    if (!checked.ok()) return InField("document", checked);
  }
  const RegistrySnapshotPtr registry = registry_->snapshot();
  const std::shared_ptr<const PolicySet> present = PoliciesOf(*registry);
  if (present == nullptr) return NoPolicies();
  const WorkloadIndex index(registry.get());
  const std::vector<FlowLedger::Entry> flows = ledger_->List();
  const PolicySuggestion suggestion =
      SuggestPolicy(request.namespace_(), FlowsToReplay(flows, index, {}), index, *present,
                    base.has_value() ? &*base : nullptr);
  if (suggestion.policy.has_value()) {
    response->set_document(WritePolicyDocument(*suggestion.policy));
  }
  FillScope(suggestion.scope, response);
  for (const std::string& name : suggestion.unreached) response->add_unreached(name);
  return absl::OkStatus();
}

}  // namespace byrnie
