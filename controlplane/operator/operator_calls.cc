#include "controlplane/operator/operator_calls.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "common/grpc/error_details.h"
#include "controlplane/explain/explain.h"
#include "controlplane/explain/mesh_view.h"
#include "controlplane/operator/connected_agents.h"
#include "controlplane/operator/operator_views.h"
#include "controlplane/operator/page.h"
#include "controlplane/operator/read_mask.h"
#include "controlplane/policy/policy_document.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/registry/content_checker.h"
#include "controlplane/registry/entry_document.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

using Resources = RegistrySnapshot::Resources;

// Documents may be large, messages may not.
constexpr int kMaxTroubles = 100;
constexpr int kMaxStatusAgents = 1000;
constexpr size_t kMaxPageBytes = 2 * 1024 * 1024;
// An agent that is there answers within milliseconds, and somebody waits for the explanation.
constexpr absl::Duration kAgentPatience = absl::Milliseconds(700);

// Fills one page with elements of an ordered range and returns the token of the next. `fill` adds
// one to the answer and returns it, or null when it is none that is wanted; `key` names one.
template <typename Iterator, typename Key, typename Fill>
std::string FillPage(const Page& page, Iterator from, Iterator end, const Key& key,
                     const Fill& fill) {
  size_t filled = 0, bytes = 0;
  std::string last;
  for (; from != end; ++from) {
    if (filled == page.size() || bytes > kMaxPageBytes) return page.TokenAfter(last);
    const google::protobuf::Message* const element = fill(*from);
    if (element == nullptr) continue;
    last = key(*from);
    ++filled;
    bytes += element->ByteSizeLong();
  }
  return "";
}

Resources::const_iterator After(const Resources& resources, const Page& page) {
  return page.after().empty() ? resources.begin() : resources.upper_bound(page.after());
}

std::string KeyOf(const Resources::value_type& entry) { return entry.first; }

absl::Status RequireName(absl::string_view name) {
  if (!name.empty()) return absl::OkStatus();
  return InvalidField("name", "is empty");
}

absl::Status RequireTrust(const TrustCalls* trust) {
  if (trust != nullptr) return absl::OkStatus();
  return absl::UnimplementedError("this control plane has no authority of its own to ask");
}

// For the audit log: whoever accepts warnings answers for what they warned of.
std::string AppliedText(const PolicyAdmin::Applied& applied) {
  std::string text = absl::StrCat("version ", applied.entry.version);
  if (applied.unchanged) return absl::StrCat(text, ", unchanged");
  absl::string_view before = ", accepted: ";
  for (const PolicyFinding& finding : applied.review.findings) {
    if (finding.severity != PolicyFinding::Severity::kWarning) continue;
    absl::StrAppend(&text, before, finding.field, finding.field.empty() ? "" : ": ",
                    finding.message);
    before = "; ";
  }
  return text;
}

// What was revoked, for the audit log and for who watches.
std::string RevokedText(const v1::RevokeCertificateRequest& request,
                        const v1::RevokeCertificateResponse& response, const absl::Status& done) {
  std::string text = absl::StrCat(request.reason().empty() ? "no reason given" : request.reason(),
                                  "; ", response.renewed(), " renewed from it");
  if (response.ended()) absl::StrAppend(&text, ", it has ended itself");
  if (!response.warning().empty()) absl::StrAppend(&text, ", but ", response.warning());
  if (!done.ok()) absl::StrAppend(&text, ", but not all of it is done: ", done.message());
  return text;
}

// For the audit log: who was not waited for answers for what breaks then, and a dry run for
// nothing.
template <typename Request>
std::string RotationTarget(const std::string& move, const Request& request) {
  constexpr size_t kMaxTarget = 4096;
  std::string target = absl::StrCat(move.substr(0, 64), request.dry_run() ? ", dry run" : "");
  for (const std::string& agent : request.exclude()) absl::StrAppend(&target, ", without ", agent);
  if (target.size() <= kMaxTarget) return target;
  return absl::StrCat(target.substr(0, kMaxTarget), "... (", request.exclude_size(),
                      " are excluded)");
}

}  // namespace

AgentYardstick OperatorCalls::Yardstick() const {
  AgentYardstick yardstick;
  yardstick.now = s_.clock->WallNow();
  yardstick.control_plane = s_.name;
  yardstick.bundle_version = s_.bundles->current().version;
  if (s_.trust == nullptr) return yardstick;
  yardstick.workload_ttl = s_.trust->workload_ttl();
  yardstick.revoked = s_.trust->RevokedSerials();
  return yardstick;
}

// However many there are: the answer is one message.
void OperatorCalls::FillAgents(v1::GetStatusResponse* response) const {
  const AgentYardstick yardstick = Yardstick();
  const std::vector<AgentTable::Agent> agents = s_.agents->List();
  std::vector<const AgentTable::Agent*> order;
  std::map<v1::Agent::Trouble, uint64_t> counts;
  std::vector<const AgentTable::Agent*> well;
  for (const AgentTable::Agent& agent : agents) {
    const std::vector<v1::Agent::Trouble> troubles = TroublesOf(agent, yardstick);
    for (const v1::Agent::Trouble trouble : troubles) ++counts[trouble];
    (troubles.empty() ? well : order).push_back(&agent);
  }
  order.insert(order.end(), well.begin(), well.end());
  size_t bytes = 0;
  for (const AgentTable::Agent* agent : order) {
    if (response->agents_size() == kMaxStatusAgents || bytes > kMaxPageBytes) break;
    FillAgent(*agent, yardstick, response->add_agents());
    bytes += response->agents(response->agents_size() - 1).ByteSizeLong();
  }
  response->set_agents_connected(agents.size());
  for (const auto& [trouble, count] : counts) {
    v1::AgentTroubleCount* const added = response->add_agent_troubles();
    added->set_trouble(trouble);
    added->set_agents(count);
  }
}

absl::Status OperatorCalls::GetStatus(OperatorCall* call, const v1::GetStatusRequest&,
                                      v1::GetStatusResponse* response) const {
  const absl::Time now = s_.clock->WallNow();
  response->set_trust_domain(s_.authority->trust_domain());
  ToProto(s_.authority->root()->not_after(), response->mutable_root_not_after());
  response->set_root_fingerprint(s_.authority->root()->FingerprintHex());
  response->set_trust_bundle_version(s_.bundles->current().version);
  response->set_certificates_issued(s_.ca->certificates_issued());
  const RegistrySnapshotPtr registry = s_.registry->snapshot();
  response->set_workloads(registry->workload_count());
  response->set_services(registry->service_count());
  response->set_policies(registry->policy_count());
  if (s_.registry_sources != nullptr) {
    for (const StoredTrouble& trouble : s_.registry_sources->troubles()) {
      if (response->stored_troubles_size() == kMaxTroubles) break;
      response->add_stored_troubles(std::string(trouble.why.message()));
    }
  }
  if (s_.conditions != nullptr) {
    for (const Condition& condition : s_.conditions->Get()) {
      FillCondition(condition, response->add_conditions());
    }
    for (std::string& other : s_.conditions->others()) {
      response->add_other_control_planes(std::move(other));
    }
  }
  response->set_control_plane(s_.name);
  FillAgents(response);
  response->set_caller(call->caller.name);
  response->set_caller_role(ToProto(call->caller.role));
  response->set_release(kRelease);
  ToProto(now, response->mutable_time());
  return absl::OkStatus();
}

absl::Status OperatorCalls::ListAgents(OperatorCall*, const v1::ListAgentsRequest& request,
                                       v1::ListAgentsResponse* response) const {
  RETURN_IF_ERROR(CheckReadMask<v1::Agent>(request.read_mask()));
  ASSIGN_OR_RETURN(Page page, Page::Create(request.page_size(), request.page_token(),
                                           absl::StrCat("agents ", request.spiffe_id())));
  response->set_control_plane(s_.name);
  const AgentYardstick yardstick = Yardstick();
  // Neither part has a space, so that keys are ordered as the agents are.
  const auto key = [](const AgentTable::Agent& agent) {
    return absl::StrCat(agent.id.text(), " ", agent.address);
  };
  const std::vector<AgentTable::Agent> agents = s_.agents->ListAll();
  auto from = agents.begin();
  while (from != agents.end() && !page.after().empty() && key(*from) <= page.after()) ++from;
  response->set_next_page_token(FillPage(
      page, from, agents.end(), key, [&](const AgentTable::Agent& agent) -> const v1::Agent* {
        if (!request.spiffe_id().empty() && agent.id.text() != request.spiffe_id()) return nullptr;
        v1::Agent* const out = response->add_agents();
        FillAgent(agent, yardstick, out);
        ApplyReadMask(request.read_mask(), out);
        return out;
      }));
  return absl::OkStatus();
}

absl::Status OperatorCalls::ListWorkloads(OperatorCall*, const v1::ListWorkloadsRequest& request,
                                          v1::ListWorkloadsResponse* response) const {
  RETURN_IF_ERROR(CheckReadMask<v1::Workload>(request.read_mask()));
  ASSIGN_OR_RETURN(Page page, Page::Create(request.page_size(), request.page_token(),
                                           absl::StrCat("workloads ", request.namespace_())));
  const RegistrySnapshotPtr registry = s_.registry->snapshot();
  ConnectedAgents connected(s_.agents->ListAll(), registry.get());
  const Resources& all = registry->resources(ResourceType::kAddress);
  response->set_next_page_token(FillPage(
      page, After(all, page), all.end(), KeyOf,
      [&](const Resources::value_type& entry) -> const v1::Workload* {
        istio::workload::Address address;
        address.ParseFromString(entry.second.payload);
        const auto& workload = address.workload();
        if (!address.has_workload() ||
            (!request.namespace_().empty() && workload.namespace_() != request.namespace_())) {
          return nullptr;
        }
        v1::Workload* const out = response->add_workloads();
        FillWorkload(workload, connected.SpeakFor(workload), out);
        FillOrigin(entry.second, s_.entries->ApplicationOf(entry.second), out);
        ApplyReadMask(request.read_mask(), out);
        return out;
      }));
  return absl::OkStatus();
}

absl::Status OperatorCalls::GetWorkload(OperatorCall*, const v1::GetWorkloadRequest& request,
                                        v1::Workload* response) const {
  RETURN_IF_ERROR(CheckReadMask<v1::Workload>(request.read_mask()));
  RETURN_IF_ERROR(RequireName(request.name()));
  const RegistrySnapshotPtr registry = s_.registry->snapshot();
  MeshFacts facts;
  facts.registry = registry.get();
  const absl::optional<MeshView::Workload> workload = MeshView(&facts).FindWorkload(request.name());
  if (!workload.has_value()) {
    return ResourceNotFound("workload", request.name(),
                            absl::StrCat("there is no workload \"", request.name(), "\""));
  }
  FillWorkload(*workload, ConnectedAgents(s_.agents->ListAll(), registry.get()).SpeakFor(*workload),
               response);
  const Resource& resource = *registry->Find(ResourceType::kAddress, workload->uid());
  FillOrigin(resource, s_.entries->ApplicationOf(resource), response);
  response->set_document(WriteRegistryDocument(*workload));
  ApplyReadMask(request.read_mask(), response);
  return absl::OkStatus();
}

absl::Status OperatorCalls::ListServices(OperatorCall*, const v1::ListServicesRequest& request,
                                         v1::ListServicesResponse* response) const {
  RETURN_IF_ERROR(CheckReadMask<v1::Service>(request.read_mask()));
  ASSIGN_OR_RETURN(Page page, Page::Create(request.page_size(), request.page_token(),
                                           absl::StrCat("services ", request.namespace_())));
  const RegistrySnapshotPtr registry = s_.registry->snapshot();
  MeshFacts facts;
  facts.registry = registry.get();
  const MeshView view(&facts);
  const Resources& all = registry->resources(ResourceType::kAddress);
  response->set_next_page_token(FillPage(
      page, After(all, page), all.end(), KeyOf,
      [&](const Resources::value_type& entry) -> const v1::Service* {
        istio::workload::Address address;
        address.ParseFromString(entry.second.payload);
        const auto& service = address.service();
        if (!address.has_service() ||
            (!request.namespace_().empty() && service.namespace_() != request.namespace_())) {
          return nullptr;
        }
        v1::Service* const out = response->add_services();
        FillService(service, view.EndpointsOf(service), out);
        FillOrigin(entry.second, s_.entries->ApplicationOf(entry.second), out);
        ApplyReadMask(request.read_mask(), out);
        return out;
      }));
  return absl::OkStatus();
}

absl::Status OperatorCalls::ListPolicies(OperatorCall*, const v1::ListPoliciesRequest& request,
                                         v1::ListPoliciesResponse* response) const {
  RETURN_IF_ERROR(CheckReadMask<v1::Policy>(request.read_mask()));
  ASSIGN_OR_RETURN(Page page, Page::Create(request.page_size(), request.page_token(),
                                           absl::StrCat("policies ", request.namespace_())));
  const RegistrySnapshotPtr registry = s_.registry->snapshot();
  const Resources& all = registry->resources(ResourceType::kAuthorization);
  response->set_next_page_token(FillPage(
      page, After(all, page), all.end(), KeyOf,
      [&](const Resources::value_type& entry) -> const v1::Policy* {
        const PolicyAdmin::Entry policy = s_.policies->Describe(entry.second);
        if (!request.namespace_().empty() && policy.policy.namespace_() != request.namespace_()) {
          return nullptr;
        }
        v1::Policy* const out = response->add_policies();
        FillPolicy(policy, out);
        ApplyReadMask(request.read_mask(), out);
        return out;
      }));
  return absl::OkStatus();
}

absl::Status OperatorCalls::GetPolicy(OperatorCall*, const v1::GetPolicyRequest& request,
                                      v1::Policy* response) const {
  RETURN_IF_ERROR(CheckReadMask<v1::Policy>(request.read_mask()));
  RETURN_IF_ERROR(RequireName(request.name()));
  ASSIGN_OR_RETURN(PolicyAdmin::Entry entry, s_.policies->Get(request.name()));
  FillPolicy(entry, response);
  ApplyReadMask(request.read_mask(), response);
  return absl::OkStatus();
}

absl::Status OperatorCalls::ValidatePolicy(OperatorCall*, const v1::ValidatePolicyRequest& request,
                                           v1::ValidatePolicyResponse* response) const {
  ASSIGN_OR_RETURN(PolicyAdmin::Applied answer, s_.policies->Validate(request.document()));
  FillPolicy(answer.entry, response->mutable_policy());
  response->mutable_policy()->clear_origin();
  for (const PolicyFinding& finding : answer.review.findings) {
    FillFinding(finding, response->add_findings());
  }
  response->set_workloads_concerned(answer.review.workloads);
  response->set_replaces(answer.unchanged);
  return absl::OkStatus();
}

absl::Status OperatorCalls::ApplyPolicy(OperatorCall* call, const v1::ApplyPolicyRequest& request,
                                        v1::ApplyPolicyResponse* response) const {
  ASSIGN_OR_RETURN(const istio::security::Authorization policy,
                   ParsePolicyDocument(request.document()));
  call->target = PolicyKey(policy);
  ASSIGN_OR_RETURN(PolicyAdmin::Applied applied,
                   s_.policies->Apply(request.document(), request.expected_version(),
                                      request.accept_findings(), call->caller.name));
  FillPolicy(applied.entry, response->mutable_policy());
  for (const PolicyFinding& finding : applied.review.findings) {
    FillFinding(finding, response->add_findings());
  }
  response->set_unchanged(applied.unchanged);
  call->detail = AppliedText(applied);
  return absl::OkStatus();
}

absl::Status OperatorCalls::DeletePolicy(OperatorCall* call, const v1::DeletePolicyRequest& request,
                                         v1::DeletePolicyResponse*) const {
  RETURN_IF_ERROR(RequireName(request.name()));
  call->target = request.name();
  return s_.policies->Delete(request.name(), request.expected_version(), call->caller.name);
}

absl::Status OperatorCalls::ListFlows(OperatorCall*, const v1::ListFlowsRequest& request,
                                      v1::ListFlowsResponse* response) const {
  return s_.flows->ListFlows(request, response);
}

absl::Status OperatorCalls::DiffPolicies(OperatorCall*, const v1::DiffPoliciesRequest& request,
                                         v1::DiffPoliciesResponse* response) const {
  return s_.flows->DiffPolicies(request, response);
}

absl::Status OperatorCalls::SuggestPolicies(OperatorCall*,
                                            const v1::SuggestPoliciesRequest& request,
                                            v1::SuggestPoliciesResponse* response) const {
  return s_.flows->SuggestPolicies(request, response);
}

absl::Status OperatorCalls::ListJoinTokens(OperatorCall*, const v1::ListJoinTokensRequest& request,
                                           v1::ListJoinTokensResponse* response) const {
  RETURN_IF_ERROR(CheckReadMask<v1::JoinToken>(request.read_mask()));
  ASSIGN_OR_RETURN(Page page,
                   Page::Create(request.page_size(), request.page_token(), "join tokens"));
  ASSIGN_OR_RETURN(std::vector<JoinTokens::Listed> tokens,
                   s_.tokens->List(page.after(), static_cast<int>(page.size())));
  for (const JoinTokens::Listed& token : tokens) {
    v1::JoinToken* const out = response->add_join_tokens();
    out->set_id(token.id);
    out->set_spiffe_id(token.spiffe_id);
    ToProto(token.expires_at, out->mutable_expires_at());
    ApplyReadMask(request.read_mask(), out);
  }
  if (tokens.size() == page.size()) {
    response->set_next_page_token(page.TokenAfter(tokens.back().id));
  }
  return absl::OkStatus();
}

absl::Status OperatorCalls::ListOperatorTokens(OperatorCall*,
                                               const v1::ListOperatorTokensRequest& request,
                                               v1::ListOperatorTokensResponse* response) const {
  RETURN_IF_ERROR(CheckReadMask<v1::OperatorToken>(request.read_mask()));
  ASSIGN_OR_RETURN(Page page,
                   Page::Create(request.page_size(), request.page_token(), "operator tokens"));
  ASSIGN_OR_RETURN(std::vector<OperatorDirectory::Token> tokens, s_.operators->List());
  const auto key = [](const OperatorDirectory::Token& token) { return token.name; };
  auto from = tokens.begin();
  while (from != tokens.end() && from->name <= page.after()) ++from;
  response->set_next_page_token(
      FillPage(page, from, tokens.end(), key, [&](const OperatorDirectory::Token& token) {
        v1::OperatorToken* const out = response->add_operator_tokens();
        FillOperatorToken(token, out);
        ApplyReadMask(request.read_mask(), out);
        return out;
      }));
  return absl::OkStatus();
}

absl::Status OperatorCalls::GetTrust(OperatorCall*, const v1::GetTrustRequest& request,
                                     v1::Trust* response) const {
  RETURN_IF_ERROR(RequireTrust(s_.trust));
  return s_.trust->GetTrust(request, response);
}

absl::Status OperatorCalls::RotateTrust(OperatorCall* call, const v1::RotateTrustRequest& request,
                                        v1::Trust* response) const {
  RETURN_IF_ERROR(RequireTrust(s_.trust));
  call->target = RotationTarget(request.move().empty() ? "all" : request.move(), request);
  return s_.trust->RotateTrust(call->caller.name, request, response);
}

absl::Status OperatorCalls::RollbackTrust(OperatorCall* call,
                                          const v1::RollbackTrustRequest& request,
                                          v1::Trust* response) const {
  RETURN_IF_ERROR(RequireTrust(s_.trust));
  call->target = RotationTarget("rollback", request);
  return s_.trust->RollbackTrust(call->caller.name, request, response);
}

absl::Status OperatorCalls::ListIssuances(OperatorCall*, const v1::ListIssuancesRequest& request,
                                          v1::ListIssuancesResponse* response) const {
  RETURN_IF_ERROR(RequireTrust(s_.trust));
  return s_.trust->ListIssuances(request, response);
}

absl::Status OperatorCalls::ListRevocations(OperatorCall*,
                                            const v1::ListRevocationsRequest& request,
                                            v1::ListRevocationsResponse* response) const {
  RETURN_IF_ERROR(RequireTrust(s_.trust));
  return s_.trust->ListRevocations(request, response);
}

absl::Status OperatorCalls::RevokeCertificate(OperatorCall* call,
                                              const v1::RevokeCertificateRequest& request,
                                              v1::RevokeCertificateResponse* response) const {
  RETURN_IF_ERROR(RequireTrust(s_.trust));
  call->target = absl::AsciiStrToLower(request.serial().substr(0, 64));
  size_t revoked = 0;
  const absl::Status done =
      s_.trust->RevokeCertificate(call->caller.name, request, response, &revoked);
  if (done.ok() || revoked > 0) call->detail = RevokedText(request, *response, done);
  // Asked once more, as byrniectl does, it mostly finds all of them revoked.
  if (revoked == 0) return done;
  s_.events->Add(
      EventKind::kTrustChanged, call->target,
      absl::StrCat("certificate of ",
                   response->spiffe_id().empty() ? "nobody the log knows" : response->spiffe_id(),
                   " revoked: ", call->detail),
      call->caller.name);
  return done;
}

absl::Status OperatorCalls::Explain(OperatorCall*, const v1::ExplainRequest& request,
                                    v1::ExplainResponse* response) const {
  if (request.port() > 65535) return InvalidField("port", "give 1 to 65535");
  const RegistrySnapshotPtr registry = s_.registry->snapshot();
  const TrustBundleSource::Versioned bundles = s_.bundles->current();
  MeshFacts facts;
  facts.registry = registry.get();
  facts.bundles = bundles.bundles.get();
  facts.bundle_version = bundles.version;
  facts.trust_domain = s_.authority->trust_domain();
  facts.agents = s_.agents->ListAll();
  facts.now = s_.clock->WallNow();
  facts.running = s_.clock->MonotonicNow() - started_;
  if (s_.fleet != nullptr) {
    absl::StatusOr<std::vector<std::string>> others = s_.fleet->Others(facts.now);
    // Not to know of others is no reason to say that there are none.
    facts.other_control_planes =
        others.ok() ? *std::move(others) : std::vector<std::string>{"unknown"};
  }
  // Read once, and where it is needed at all.
  absl::optional<absl::StatusOr<absl::flat_hash_map<std::string, IssuedCertificate>>> issued;
  if (s_.trust != nullptr) {
    facts.revoked = s_.trust->RevokedSerials();
    facts.newest_issued =
        [this, &issued](const SpiffeId& id) -> absl::StatusOr<absl::optional<IssuedCertificate>> {
      if (!issued.has_value()) issued = s_.trust->NewestIssued();
      RETURN_IF_ERROR(issued->status());
      const auto found = (*issued)->find(id.text());
      if (found == (*issued)->end()) return absl::optional<IssuedCertificate>();
      return absl::optional<IssuedCertificate>(found->second);
    };
  }
  const ExplainQuestion question{request.source(), request.destination(),
                                 static_cast<uint16_t>(request.port())};
  ASSIGN_OR_RETURN(ExplainAnswer answer, byrnie::Explain(facts, question));
  // Now it is known whom it is about: a second time, with what they say.
  facts.patience = kAgentPatience;
  facts.answers = s_.ca->AskAgents(answer.agents, kAgentPatience);
  if (!facts.answers.empty()) {
    ASSIGN_OR_RETURN(answer, byrnie::Explain(facts, question));
  }
  FillExplanation(answer, response);
  return absl::OkStatus();
}

}  // namespace byrnie
