#ifndef BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_SERVICE_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_SERVICE_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "byrnie/operator/v1/operator.grpc.pb.h"
#include "common/base/places.h"
#include "common/telemetry/line_budget.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/operator/event_streams.h"
#include "controlplane/operator/operator_calls.h"
#include "controlplane/operator/operator_directory.h"
#include "controlplane/operator/role.h"

namespace byrnie {

// byrnie.operator.v1 as gRPC serves it. Every method goes through Serve(), which finds out who
// calls, holds that against the method table, and writes the audit log. Thread-safe; it
// outlives the server.
class OperatorService final
    : public byrnie::operator_::v1::Operator::WithCallbackMethod_WatchEvents<
          byrnie::operator_::v1::Operator::Service> {
 public:
  // Unary calls at the same time: half of the server's threads, whatever operators do with them.
  // The rest are for certificates.
  static constexpr size_t kMaxUnderWay = 32;

  // Everything outlives the service. The directory says who may call, the rest is what is called.
  OperatorService(const OperatorDirectory* operators, const OperatorSources& sources,
                  Logger* logger, MetricRegistry* metrics);

  grpc::Status GetStatus(grpc::ServerContext* context,
                         const byrnie::operator_::v1::GetStatusRequest* request,
                         byrnie::operator_::v1::GetStatusResponse* response) override;
  grpc::Status ListWorkloads(grpc::ServerContext* context,
                             const byrnie::operator_::v1::ListWorkloadsRequest* request,
                             byrnie::operator_::v1::ListWorkloadsResponse* response) override;
  grpc::Status GetWorkload(grpc::ServerContext* context,
                           const byrnie::operator_::v1::GetWorkloadRequest* request,
                           byrnie::operator_::v1::Workload* response) override;
  grpc::Status ListServices(grpc::ServerContext* context,
                            const byrnie::operator_::v1::ListServicesRequest* request,
                            byrnie::operator_::v1::ListServicesResponse* response) override;
  grpc::Status GetService(grpc::ServerContext* context,
                          const byrnie::operator_::v1::GetServiceRequest* request,
                          byrnie::operator_::v1::Service* response) override;
  grpc::Status ApplyRegistry(grpc::ServerContext* context,
                             const byrnie::operator_::v1::ApplyRegistryRequest* request,
                             byrnie::operator_::v1::ApplyRegistryResponse* response) override;
  grpc::Status DeleteWorkload(grpc::ServerContext* context,
                              const byrnie::operator_::v1::DeleteWorkloadRequest* request,
                              byrnie::operator_::v1::DeleteWorkloadResponse* response) override;
  grpc::Status DeleteService(grpc::ServerContext* context,
                             const byrnie::operator_::v1::DeleteServiceRequest* request,
                             byrnie::operator_::v1::DeleteServiceResponse* response) override;
  grpc::Status ListAgents(grpc::ServerContext* context,
                          const byrnie::operator_::v1::ListAgentsRequest* request,
                          byrnie::operator_::v1::ListAgentsResponse* response) override;
  grpc::Status ListPolicies(grpc::ServerContext* context,
                            const byrnie::operator_::v1::ListPoliciesRequest* request,
                            byrnie::operator_::v1::ListPoliciesResponse* response) override;
  grpc::Status GetPolicy(grpc::ServerContext* context,
                         const byrnie::operator_::v1::GetPolicyRequest* request,
                         byrnie::operator_::v1::Policy* response) override;
  grpc::Status ValidatePolicy(grpc::ServerContext* context,
                              const byrnie::operator_::v1::ValidatePolicyRequest* request,
                              byrnie::operator_::v1::ValidatePolicyResponse* response) override;
  grpc::Status ApplyPolicy(grpc::ServerContext* context,
                           const byrnie::operator_::v1::ApplyPolicyRequest* request,
                           byrnie::operator_::v1::ApplyPolicyResponse* response) override;
  grpc::Status DeletePolicy(grpc::ServerContext* context,
                            const byrnie::operator_::v1::DeletePolicyRequest* request,
                            byrnie::operator_::v1::DeletePolicyResponse* response) override;
  grpc::Status ListFlows(grpc::ServerContext* context,
                         const byrnie::operator_::v1::ListFlowsRequest* request,
                         byrnie::operator_::v1::ListFlowsResponse* response) override;
  grpc::Status DiffPolicies(grpc::ServerContext* context,
                            const byrnie::operator_::v1::DiffPoliciesRequest* request,
                            byrnie::operator_::v1::DiffPoliciesResponse* response) override;
  grpc::Status SuggestPolicies(grpc::ServerContext* context,
                               const byrnie::operator_::v1::SuggestPoliciesRequest* request,
                               byrnie::operator_::v1::SuggestPoliciesResponse* response) override;
  grpc::Status CreateJoinToken(grpc::ServerContext* context,
                               const byrnie::operator_::v1::CreateJoinTokenRequest* request,
                               byrnie::operator_::v1::CreateJoinTokenResponse* response) override;
  grpc::Status ListJoinTokens(grpc::ServerContext* context,
                              const byrnie::operator_::v1::ListJoinTokensRequest* request,
                              byrnie::operator_::v1::ListJoinTokensResponse* response) override;
  grpc::Status RevokeJoinToken(grpc::ServerContext* context,
                               const byrnie::operator_::v1::RevokeJoinTokenRequest* request,
                               byrnie::operator_::v1::RevokeJoinTokenResponse* response) override;
  grpc::Status CreateOperatorToken(
      grpc::ServerContext* context,
      const byrnie::operator_::v1::CreateOperatorTokenRequest* request,
      byrnie::operator_::v1::CreateOperatorTokenResponse* response) override;
  grpc::Status ListOperatorTokens(
      grpc::ServerContext* context, const byrnie::operator_::v1::ListOperatorTokensRequest* request,
      byrnie::operator_::v1::ListOperatorTokensResponse* response) override;
  grpc::Status RevokeOperatorToken(
      grpc::ServerContext* context,
      const byrnie::operator_::v1::RevokeOperatorTokenRequest* request,
      byrnie::operator_::v1::RevokeOperatorTokenResponse* response) override;
  grpc::Status GetTrust(grpc::ServerContext* context,
                        const byrnie::operator_::v1::GetTrustRequest* request,
                        byrnie::operator_::v1::Trust* response) override;
  grpc::Status RotateTrust(grpc::ServerContext* context,
                           const byrnie::operator_::v1::RotateTrustRequest* request,
                           byrnie::operator_::v1::Trust* response) override;
  grpc::Status RollbackTrust(grpc::ServerContext* context,
                             const byrnie::operator_::v1::RollbackTrustRequest* request,
                             byrnie::operator_::v1::Trust* response) override;
  grpc::Status ListIssuances(grpc::ServerContext* context,
                             const byrnie::operator_::v1::ListIssuancesRequest* request,
                             byrnie::operator_::v1::ListIssuancesResponse* response) override;
  grpc::Status RevokeCertificate(
      grpc::ServerContext* context, const byrnie::operator_::v1::RevokeCertificateRequest* request,
      byrnie::operator_::v1::RevokeCertificateResponse* response) override;
  grpc::Status Explain(grpc::ServerContext* context,
                       const byrnie::operator_::v1::ExplainRequest* request,
                       byrnie::operator_::v1::ExplainResponse* response) override;

  grpc::ServerWriteReactor<byrnie::operator_::v1::WatchEventsResponse>* WatchEvents(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::WatchEventsRequest* request) override;

  // End them when the process does, and those of callers who are none any more about twice a
  // second.
  EventStreams* streams() { return &streams_; }
  void EndInvalidStreams();

 private:
  // Unauthenticated without a proof.
  absl::StatusOr<Caller> Authenticate(const grpc::ServerContextBase& context) const;
  // As Authenticate, and PermissionDenied where the caller's role is too little. Refusals are in
  // the audit log.
  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context, absl::string_view method);
  void Audit(const grpc::ServerContextBase& context, absl::string_view method,
             const absl::optional<Caller>& caller, absl::string_view target,
             const absl::Status& outcome, uint64_t not_logged = 0) const;
  // The same of a caller who is none: as many lines as LineBudget has for them.
  void AuditStranger(const grpc::ServerContextBase& context, absl::string_view method,
                     const absl::Status& outcome);
  // The way of every unary call: `work` does it. The method's name is that of the request.
  template <typename Request, typename Response>
  grpc::Status Serve(grpc::ServerContext* context, const Request& request, Response* response,
                     absl::Status (OperatorCalls::*work)(OperatorCall*, const Request&, Response*)
                         const);

  const OperatorDirectory* const operators_;  // Not owned.
  const OperatorSources s_;
  OperatorCalls calls_;
  Logger* const logger_;  // Not owned.
  Counter* const refused_;
  Counter* const denied_;
  LineBudget strangers_said_;
  Places under_way_;
  EventStreams streams_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_SERVICE_H_
