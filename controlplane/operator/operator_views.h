#ifndef BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_VIEWS_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_VIEWS_H_

#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "byrnie/operator/v1/operator.pb.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/events/event_log.h"
#include "controlplane/explain/explain.h"
#include "controlplane/health/condition.h"
#include "controlplane/operator/agent_troubles.h"
#include "controlplane/operator/operator_directory.h"
#include "controlplane/operator/role.h"
#include "controlplane/policy/policy_admin.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/registry/registry_admin.h"
#include "controlplane/registry/resource.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {

// What the control plane knows, as messages of byrnie.operator.v1. Pure.

void FillAgent(const AgentTable::Agent& agent, const AgentYardstick& yardstick,
               byrnie::operator_::v1::Agent* out);
void FillWorkload(const istio::workload::Workload& workload, bool agent_connected,
                  byrnie::operator_::v1::Workload* out);
// `endpoints` are the workloads behind it.
void FillService(const istio::workload::Service& service,
                 const std::vector<istio::workload::Workload>& endpoints,
                 byrnie::operator_::v1::Service* out);
byrnie::operator_::v1::Origin ToProto(RegistrySource source);
// Where a workload or a service comes from.
template <typename Entry>
void FillOrigin(const Resource& resource,
                const absl::optional<RegistryAdmin::Application>& application, Entry* out) {
  out->set_origin(ToProto(resource.source));
  out->set_version(resource.version);
  if (!application.has_value()) return;
  out->set_applied_by(application->by);
  ToProto(application->at, out->mutable_applied_at());
}
void FillPolicy(const PolicyAdmin::Entry& entry, byrnie::operator_::v1::Policy* out);
void FillFinding(const PolicyFinding& finding, byrnie::operator_::v1::PolicyFinding* out);
void FillOperatorToken(const OperatorDirectory::Token& token,
                       byrnie::operator_::v1::OperatorToken* out);
void FillEvent(const Event& event, const EventCursor& cursor, byrnie::operator_::v1::Event* out);
void FillCondition(const Condition& condition, byrnie::operator_::v1::Condition* out);
void FillExplanation(const ExplainAnswer& answer, byrnie::operator_::v1::ExplainResponse* out);
byrnie::operator_::v1::Role ToProto(Role role);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_VIEWS_H_
