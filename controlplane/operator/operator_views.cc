#include "controlplane/operator/operator_views.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/net/socket_address.h"
#include "controlplane/explain/mesh_view.h"
#include "controlplane/policy/policy_document.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/registry/content_checker.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

void FillAgent(const AgentTable::Agent& agent, const AgentYardstick& yardstick, v1::Agent* out) {
  out->set_control_plane(yardstick.control_plane);
  out->set_spiffe_id(agent.id.text());
  out->set_address(agent.address);
  if (agent.connected_since != absl::InfinitePast()) {
    ToProto(agent.connected_since, out->mutable_connected_since());
  }
  if (agent.certificate_not_after.has_value()) {
    const absl::Time not_after = *agent.certificate_not_after;
    ToProto(not_after, out->mutable_certificate_not_after());
    ToProto(std::max(not_after - yardstick.now, absl::ZeroDuration()),
            out->mutable_outage_budget());
  }
  out->set_certificate_serial(agent.certificate_serial);
  out->set_acknowledged_bundle_version(agent.acknowledged_bundle_version);
  out->set_connected(agent.connected);
  ToProto(agent.last_seen, out->mutable_last_seen());
  out->set_release(agent.release);
  out->set_certificate_proof(agent.certificate_proof);
  if (agent.clock_offset.has_value()) ToProto(*agent.clock_offset, out->mutable_clock_offset());
  for (const v1::Agent::Trouble trouble : TroublesOf(agent, yardstick)) out->add_troubles(trouble);
}

void FillWorkload(const istio::workload::Workload& workload, bool agent_connected,
                  v1::Workload* out) {
  out->set_uid(workload.uid());
  out->set_name(workload.name());
  out->set_namespace_(workload.namespace_());
  const absl::optional<SpiffeId> id = MeshView::IdentityOf(workload);
  if (id.has_value()) out->set_spiffe_id(id->text());
  out->set_agent_connected(agent_connected);
  for (const IpAddress& address : MeshView::AddressesOf(workload)) {
    out->add_addresses(address.ToString());
  }
  out->set_protocol(istio::workload::TunnelProtocol_Name(workload.tunnel_protocol()));
  out->set_healthy(workload.status() == istio::workload::HEALTHY);
  for (const auto& service : workload.services()) out->add_services(service.first);
  std::sort(out->mutable_services()->begin(), out->mutable_services()->end());
  for (const std::string& policy : workload.authorization_policies()) out->add_policies(policy);
  out->set_node(workload.node());
  out->set_network(workload.network());
}

void FillService(const istio::workload::Service& service,
                 const std::vector<istio::workload::Workload>& endpoints, v1::Service* out) {
  out->set_name(ServiceKey(service));
  for (const auto& address : service.addresses()) {
    const absl::StatusOr<IpAddress> ip = IpAddress::FromBytes(address.address());
    if (ip.ok()) out->add_addresses(ip->ToString());
  }
  for (const auto& port : service.ports()) out->add_ports(port.service_port());
  const bool all_usable =
      service.load_balancing().health_policy() == istio::workload::LoadBalancing::ALLOW_ALL;
  out->set_endpoints(static_cast<uint32_t>(endpoints.size()));
  for (const istio::workload::Workload& endpoint : endpoints) {
    const bool usable = all_usable || endpoint.status() == istio::workload::HEALTHY;
    if (usable) out->set_usable_endpoints(out->usable_endpoints() + 1);
  }
}

static v1::Policy::Origin OriginOf(RegistrySource source) {
  switch (source) {
    case RegistrySource::kFile:
      return v1::Policy::ORIGIN_FILE;
    case RegistrySource::kApi:
    case RegistrySource::kApiEntries:
      return v1::Policy::ORIGIN_API;
    case RegistrySource::kKubernetes:
      return v1::Policy::ORIGIN_KUBERNETES;
  }
  return v1::Policy::ORIGIN_UNSPECIFIED;
}

void FillPolicy(const PolicyAdmin::Entry& entry, v1::Policy* out) {
  out->set_name(PolicyKey(entry.policy));
  out->set_action(istio::security::Action_Name(entry.policy.action()));
  out->set_scope(istio::security::Scope_Name(entry.policy.scope()));
  out->set_dry_run(entry.policy.dry_run());
  out->set_origin(OriginOf(entry.source));
  out->set_document(WritePolicyDocument(entry.policy));
  out->set_version(entry.version);
  out->set_applied_by(entry.applied_by);
  if (entry.applied_at.has_value()) ToProto(*entry.applied_at, out->mutable_applied_at());
}

void FillFinding(const PolicyFinding& finding, v1::PolicyFinding* out) {
  out->set_severity(finding.severity == PolicyFinding::Severity::kWarning
                        ? v1::PolicyFinding::SEVERITY_WARNING
                        : v1::PolicyFinding::SEVERITY_NOTE);
  out->set_field(finding.field);
  out->set_message(finding.message);
}

void FillOperatorToken(const OperatorDirectory::Token& token, v1::OperatorToken* out) {
  out->set_name(token.name);
  out->set_role(ToProto(token.role));
  out->set_created_by(token.created_by);
  ToProto(token.created_at, out->mutable_created_at());
  ToProto(token.expires_at, out->mutable_expires_at());
}

void FillEvent(const Event& event, const EventCursor& cursor, v1::Event* out) {
  out->set_cursor(cursor.ToString());
  ToProto(event.time, out->mutable_time());
  out->set_kind(static_cast<v1::Event::Kind>(event.kind));
  out->set_subject(event.subject);
  out->set_message(event.message);
  out->set_actor(event.actor);
}

void FillCondition(const Condition& condition, v1::Condition* out) {
  out->set_name(condition.name);
  out->set_state(static_cast<v1::Condition::State>(condition.state));
  out->set_message(condition.message);
  out->set_remedy(condition.remedy);
  ToProto(condition.since, out->mutable_since());
}

void FillExplanation(const ExplainAnswer& answer, v1::ExplainResponse* out) {
  for (const ExplainStep& step : answer.steps) {
    v1::ExplainStep* const filled = out->add_steps();
    filled->set_name(step.name);
    filled->set_outcome(step.outcome == ExplainStep::Outcome::kOk ? v1::ExplainStep::OUTCOME_OK
                        : step.outcome == ExplainStep::Outcome::kFailed
                            ? v1::ExplainStep::OUTCOME_FAILED
                            : v1::ExplainStep::OUTCOME_UNKNOWN);
    filled->set_reason(step.reason);
    filled->set_remedy(step.remedy);
  }
  const ExplainStep* const failed = answer.first_failed();
  if (failed != nullptr) out->set_first_failed(failed->name);
  out->set_verdict(answer.Verdict());
  out->set_source_uid(answer.source_uid);
  out->set_source_spiffe_id(answer.source_spiffe_id);
  out->set_source_address(answer.source_address);
  out->set_destination_uid(answer.destination_uid);
  out->set_destination_spiffe_id(answer.destination_spiffe_id);
  out->set_destination_address(answer.destination_address);
}

v1::Role ToProto(Role role) { return static_cast<v1::Role>(role); }

byrnie::operator_::v1::Origin ToProto(RegistrySource source) {
  switch (source) {
    case RegistrySource::kFile:
      return byrnie::operator_::v1::ORIGIN_FILE;
    case RegistrySource::kApi:
    case RegistrySource::kApiEntries:
      return byrnie::operator_::v1::ORIGIN_API;
    case RegistrySource::kKubernetes:
      return byrnie::operator_::v1::ORIGIN_KUBERNETES;
  }
  return byrnie::operator_::v1::ORIGIN_UNSPECIFIED;
}

}  // namespace byrnie
