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
#include "common/base/thread_pool.h"
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
class OperatorService final : public byrnie::operator_::v1::Operator::CallbackService {
 public:
  // Unary calls at the same time, of all callers and of one, until the answer is the library's:
  // fewer than the control plane has threads, for the rest are for certificates, and a caller who
  // reads no answers keeps no other from calling.
  static constexpr size_t kMaxUnderWay = 32, kMaxUnderWayOfOne = 16;
  // Open streams of events, of all callers and of one: each is woken by every event.
  static constexpr size_t kMaxStreams = 256, kMaxStreamsOfOne = 32;

  // Everything outlives the service. The directory says who may call, `threads` work, and the rest
  // is what is called.
  OperatorService(const OperatorDirectory* operators, const OperatorSources& sources,
                  ThreadPool* threads, Logger* logger, MetricRegistry* metrics);

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const byrnie::operator_::v1::GetStatusRequest* request,
                                      byrnie::operator_::v1::GetStatusResponse* response) override;
  grpc::ServerUnaryReactor* ListWorkloads(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::ListWorkloadsRequest* request,
      byrnie::operator_::v1::ListWorkloadsResponse* response) override;
  grpc::ServerUnaryReactor* GetWorkload(grpc::CallbackServerContext* context,
                                        const byrnie::operator_::v1::GetWorkloadRequest* request,
                                        byrnie::operator_::v1::Workload* response) override;
  grpc::ServerUnaryReactor* ListServices(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::ListServicesRequest* request,
      byrnie::operator_::v1::ListServicesResponse* response) override;
  grpc::ServerUnaryReactor* GetService(grpc::CallbackServerContext* context,
                                       const byrnie::operator_::v1::GetServiceRequest* request,
                                       byrnie::operator_::v1::Service* response) override;
  grpc::ServerUnaryReactor* ApplyRegistry(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::ApplyRegistryRequest* request,
      byrnie::operator_::v1::ApplyRegistryResponse* response) override;
  grpc::ServerUnaryReactor* DeleteWorkload(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::DeleteWorkloadRequest* request,
      byrnie::operator_::v1::DeleteWorkloadResponse* response) override;
  grpc::ServerUnaryReactor* DeleteService(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::DeleteServiceRequest* request,
      byrnie::operator_::v1::DeleteServiceResponse* response) override;
  grpc::ServerUnaryReactor* ListAgents(
      grpc::CallbackServerContext* context, const byrnie::operator_::v1::ListAgentsRequest* request,
      byrnie::operator_::v1::ListAgentsResponse* response) override;
  grpc::ServerUnaryReactor* ListPolicies(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::ListPoliciesRequest* request,
      byrnie::operator_::v1::ListPoliciesResponse* response) override;
  grpc::ServerUnaryReactor* GetPolicy(grpc::CallbackServerContext* context,
                                      const byrnie::operator_::v1::GetPolicyRequest* request,
                                      byrnie::operator_::v1::Policy* response) override;
  grpc::ServerUnaryReactor* ValidatePolicy(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::ValidatePolicyRequest* request,
      byrnie::operator_::v1::ValidatePolicyResponse* response) override;
  grpc::ServerUnaryReactor* ApplyPolicy(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::ApplyPolicyRequest* request,
      byrnie::operator_::v1::ApplyPolicyResponse* response) override;
  grpc::ServerUnaryReactor* DeletePolicy(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::DeletePolicyRequest* request,
      byrnie::operator_::v1::DeletePolicyResponse* response) override;
  grpc::ServerUnaryReactor* ListFlows(grpc::CallbackServerContext* context,
                                      const byrnie::operator_::v1::ListFlowsRequest* request,
                                      byrnie::operator_::v1::ListFlowsResponse* response) override;
  grpc::ServerUnaryReactor* DiffPolicies(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::DiffPoliciesRequest* request,
      byrnie::operator_::v1::DiffPoliciesResponse* response) override;
  grpc::ServerUnaryReactor* SuggestPolicies(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::SuggestPoliciesRequest* request,
      byrnie::operator_::v1::SuggestPoliciesResponse* response) override;
  grpc::ServerUnaryReactor* CreateJoinToken(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::CreateJoinTokenRequest* request,
      byrnie::operator_::v1::CreateJoinTokenResponse* response) override;
  grpc::ServerUnaryReactor* ListJoinTokens(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::ListJoinTokensRequest* request,
      byrnie::operator_::v1::ListJoinTokensResponse* response) override;
  grpc::ServerUnaryReactor* RevokeJoinToken(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::RevokeJoinTokenRequest* request,
      byrnie::operator_::v1::RevokeJoinTokenResponse* response) override;
  grpc::ServerUnaryReactor* CreateOperatorToken(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::CreateOperatorTokenRequest* request,
      byrnie::operator_::v1::CreateOperatorTokenResponse* response) override;
  grpc::ServerUnaryReactor* ListOperatorTokens(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::ListOperatorTokensRequest* request,
      byrnie::operator_::v1::ListOperatorTokensResponse* response) override;
  grpc::ServerUnaryReactor* RevokeOperatorToken(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::RevokeOperatorTokenRequest* request,
      byrnie::operator_::v1::RevokeOperatorTokenResponse* response) override;
  grpc::ServerUnaryReactor* GetTrust(grpc::CallbackServerContext* context,
                                     const byrnie::operator_::v1::GetTrustRequest* request,
                                     byrnie::operator_::v1::Trust* response) override;
  grpc::ServerUnaryReactor* RotateTrust(grpc::CallbackServerContext* context,
                                        const byrnie::operator_::v1::RotateTrustRequest* request,
                                        byrnie::operator_::v1::Trust* response) override;
  grpc::ServerUnaryReactor* RollbackTrust(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::RollbackTrustRequest* request,
      byrnie::operator_::v1::Trust* response) override;
  grpc::ServerUnaryReactor* ListIssuances(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::ListIssuancesRequest* request,
      byrnie::operator_::v1::ListIssuancesResponse* response) override;
  grpc::ServerUnaryReactor* ListRevocations(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::ListRevocationsRequest* request,
      byrnie::operator_::v1::ListRevocationsResponse* response) override;
  grpc::ServerUnaryReactor* RevokeCertificate(
      grpc::CallbackServerContext* context,
      const byrnie::operator_::v1::RevokeCertificateRequest* request,
      byrnie::operator_::v1::RevokeCertificateResponse* response) override;
  grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext* context,
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
             const absl::Status& outcome, absl::string_view detail, uint64_t not_logged = 0) const;
  // The same of a caller who is none: as many lines as LineBudget has for them.
  void AuditStranger(const grpc::ServerContextBase& context, absl::string_view method,
                     const absl::Status& outcome);
  // The way of every unary call: `work` does it. The method's name is that of the request.
  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* Serve(grpc::CallbackServerContext* context, const Request* request,
                                  Response* response,
                                  absl::Status (OperatorCalls::*work)(OperatorCall*, const Request&,
                                                                      Response*) const);

  const OperatorDirectory* const operators_;  // Not owned.
  const OperatorSources s_;
  OperatorCalls calls_;
  ThreadPool* const threads_;  // Not owned.
  Logger* const logger_;       // Not owned.
  Counter* const refused_;
  Counter* const denied_;
  LineBudget strangers_said_;
  Places under_way_;
  // Before the streams, which hold places of it.
  Places watching_;
  EventStreams streams_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_SERVICE_H_
