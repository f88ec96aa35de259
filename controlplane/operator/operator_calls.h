#ifndef BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_CALLS_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_CALLS_H_

#include <string>

#include "absl/status/status.h"
#include "byrnie/operator/v1/operator.pb.h"
#include "common/base/clock.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/attest/join_token.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/ca_service.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/events/event_log.h"
#include "controlplane/health/condition_board.h"
#include "controlplane/operator/agent_troubles.h"
#include "controlplane/operator/flow_calls.h"
#include "controlplane/operator/operator_directory.h"
#include "controlplane/operator/role.h"
#include "controlplane/operator/trust_calls.h"
#include "controlplane/policy/policy_admin.h"
#include "controlplane/registry/registry.h"
#include "controlplane/registry/registry_admin.h"
#include "controlplane/registry/registry_sources.h"
#include "controlplane/registry/resource.h"
#include "controlplane/trust/shared_fleet.h"

namespace byrnie {

// What the operator's API answers from and changes. None is owned.
struct OperatorSources {
  OperatorDirectory* operators;
  JoinTokens* tokens;
  const Authority* authority;
  CaService* ca;
  const TrustBundleSource* bundles;
  const AgentTable* agents;
  const Registry* registry;
  PolicyAdmin* policies;
  RegistryAdmin* entries;
  EventLog* events;
  const Clock* clock;
  const FlowCalls* flows;
  // Null: its methods are not implemented.
  const TrustCalls* trust = nullptr;
  // Null: nothing is known of troubles.
  const RegistrySources* registry_sources = nullptr;
  // Null: the store is not shared.
  SharedFleet* fleet = nullptr;
  // Null: nothing is known of conditions.
  const ConditionBoard* conditions = nullptr;
  // What this control plane is called.
  std::string name = "";
};

// A call that has been let in.
struct OperatorCall {
  Caller caller;
  // What it is about, for the audit log; the method says.
  std::string target;
  // What was done, beyond that, for the audit log; of one that failed the error says it.
  std::string detail;
};

// The methods of byrnie.operator.v1, for callers who may. Each is as the API says, errors included.
// Thread-safe; may block on the store.
class OperatorCalls {
 public:
  explicit OperatorCalls(const OperatorSources& sources)
      : s_(sources), started_(sources.clock->MonotonicNow()) {}

  absl::Status GetStatus(OperatorCall* call, const byrnie::operator_::v1::GetStatusRequest& request,
                         byrnie::operator_::v1::GetStatusResponse* response) const;
  absl::Status ListWorkloads(OperatorCall* call,
                             const byrnie::operator_::v1::ListWorkloadsRequest& request,
                             byrnie::operator_::v1::ListWorkloadsResponse* response) const;
  absl::Status GetWorkload(OperatorCall* call,
                           const byrnie::operator_::v1::GetWorkloadRequest& request,
                           byrnie::operator_::v1::Workload* response) const;
  absl::Status ListServices(OperatorCall* call,
                            const byrnie::operator_::v1::ListServicesRequest& request,
                            byrnie::operator_::v1::ListServicesResponse* response) const;
  absl::Status GetService(OperatorCall* call,
                          const byrnie::operator_::v1::GetServiceRequest& request,
                          byrnie::operator_::v1::Service* response) const;
  absl::Status ApplyRegistry(OperatorCall* call,
                             const byrnie::operator_::v1::ApplyRegistryRequest& request,
                             byrnie::operator_::v1::ApplyRegistryResponse* response) const;
  absl::Status DeleteWorkload(OperatorCall* call,
                              const byrnie::operator_::v1::DeleteWorkloadRequest& request,
                              byrnie::operator_::v1::DeleteWorkloadResponse* response) const;
  absl::Status DeleteService(OperatorCall* call,
                             const byrnie::operator_::v1::DeleteServiceRequest& request,
                             byrnie::operator_::v1::DeleteServiceResponse* response) const;
  absl::Status ListAgents(OperatorCall* call,
                          const byrnie::operator_::v1::ListAgentsRequest& request,
                          byrnie::operator_::v1::ListAgentsResponse* response) const;
  absl::Status ListPolicies(OperatorCall* call,
                            const byrnie::operator_::v1::ListPoliciesRequest& request,
                            byrnie::operator_::v1::ListPoliciesResponse* response) const;
  absl::Status GetPolicy(OperatorCall* call, const byrnie::operator_::v1::GetPolicyRequest& request,
                         byrnie::operator_::v1::Policy* response) const;
  absl::Status ValidatePolicy(OperatorCall* call,
                              const byrnie::operator_::v1::ValidatePolicyRequest& request,
                              byrnie::operator_::v1::ValidatePolicyResponse* response) const;
  absl::Status ApplyPolicy(OperatorCall* call,
                           const byrnie::operator_::v1::ApplyPolicyRequest& request,
                           byrnie::operator_::v1::ApplyPolicyResponse* response) const;
  absl::Status DeletePolicy(OperatorCall* call,
                            const byrnie::operator_::v1::DeletePolicyRequest& request,
                            byrnie::operator_::v1::DeletePolicyResponse* response) const;
  absl::Status CreateJoinToken(OperatorCall* call,
                               const byrnie::operator_::v1::CreateJoinTokenRequest& request,
                               byrnie::operator_::v1::CreateJoinTokenResponse* response) const;
  absl::Status ListJoinTokens(OperatorCall* call,
                              const byrnie::operator_::v1::ListJoinTokensRequest& request,
                              byrnie::operator_::v1::ListJoinTokensResponse* response) const;
  absl::Status RevokeJoinToken(OperatorCall* call,
                               const byrnie::operator_::v1::RevokeJoinTokenRequest& request,
                               byrnie::operator_::v1::RevokeJoinTokenResponse* response) const;
  absl::Status CreateOperatorToken(
      OperatorCall* call, const byrnie::operator_::v1::CreateOperatorTokenRequest& request,
      byrnie::operator_::v1::CreateOperatorTokenResponse* response) const;
  absl::Status ListOperatorTokens(
      OperatorCall* call, const byrnie::operator_::v1::ListOperatorTokensRequest& request,
      byrnie::operator_::v1::ListOperatorTokensResponse* response) const;
  absl::Status RevokeOperatorToken(
      OperatorCall* call, const byrnie::operator_::v1::RevokeOperatorTokenRequest& request,
      byrnie::operator_::v1::RevokeOperatorTokenResponse* response) const;
  absl::Status GetTrust(OperatorCall* call, const byrnie::operator_::v1::GetTrustRequest& request,
                        byrnie::operator_::v1::Trust* response) const;
  absl::Status RotateTrust(OperatorCall* call,
                           const byrnie::operator_::v1::RotateTrustRequest& request,
                           byrnie::operator_::v1::Trust* response) const;
  absl::Status RollbackTrust(OperatorCall* call,
                             const byrnie::operator_::v1::RollbackTrustRequest& request,
                             byrnie::operator_::v1::Trust* response) const;
  absl::Status ListIssuances(OperatorCall* call,
                             const byrnie::operator_::v1::ListIssuancesRequest& request,
                             byrnie::operator_::v1::ListIssuancesResponse* response) const;
  absl::Status ListRevocations(OperatorCall* call,
                               const byrnie::operator_::v1::ListRevocationsRequest& request,
                               byrnie::operator_::v1::ListRevocationsResponse* response) const;
  absl::Status RevokeCertificate(OperatorCall* call,
                                 const byrnie::operator_::v1::RevokeCertificateRequest& request,
                                 byrnie::operator_::v1::RevokeCertificateResponse* response) const;
  absl::Status ListFlows(OperatorCall* call, const byrnie::operator_::v1::ListFlowsRequest& request,
                         byrnie::operator_::v1::ListFlowsResponse* response) const;
  absl::Status DiffPolicies(OperatorCall* call,
                            const byrnie::operator_::v1::DiffPoliciesRequest& request,
                            byrnie::operator_::v1::DiffPoliciesResponse* response) const;
  absl::Status SuggestPolicies(OperatorCall* call,
                               const byrnie::operator_::v1::SuggestPoliciesRequest& request,
                               byrnie::operator_::v1::SuggestPoliciesResponse* response) const;
  absl::Status Explain(OperatorCall* call, const byrnie::operator_::v1::ExplainRequest& request,
                       byrnie::operator_::v1::ExplainResponse* response) const;

 private:
  AgentYardstick Yardstick() const;
  void FillAgents(byrnie::operator_::v1::GetStatusResponse* response) const;
  // DeleteWorkload and DeleteService.
  template <typename Request>
  absl::Status DeleteEntry(OperatorCall* call, ResourceKind kind, const Request& request) const;

  const OperatorSources s_;
  // Since the clock's zero.
  const absl::Duration started_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_CALLS_H_
