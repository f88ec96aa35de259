#include "controlplane/operator/operator_service.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/json_writer.h"
#include "common/base/retry_after.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/grpc/peer_address.h"
#include "common/grpc/pooled_call.h"
#include "common/grpc/status_conversion.h"
#include "controlplane/operator/method_table.h"
#include "controlplane/peer/peer_identity.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

constexpr char kRefused[] = "byrnie_controlplane_operator_refused_total";
constexpr char kRefusedHelp[] = "Operator calls that were refused, by reason.";

// "GetStatus" of GetStatusRequest: a test holds the requests' names against the service.
template <typename Request>
absl::string_view MethodOf() {
  return absl::StripSuffix(Request::descriptor()->name(), "Request");
}

absl::Status TooMany(const Caller& caller, Places::Full full) {
  absl::Status status = absl::ResourceExhaustedError(
      full == Places::Full::kAll
          ? absl::StrCat(OperatorService::kMaxUnderWay, " operator calls are under way; try again")
          : absl::StrCat(OperatorService::kMaxUnderWayOfOne, " calls of ", caller.name,
                         " are under way; let them end, and read their answers"));
  SetRetryAfter(&status, absl::Seconds(1));
  return status;
}

absl::Status TooManyStreams(const Caller& caller, Places::Full full) {
  absl::Status status = absl::ResourceExhaustedError(
      full == Places::Full::kAll
          ? absl::StrCat(OperatorService::kMaxStreams, " streams of events are open; try again")
          : absl::StrCat(OperatorService::kMaxStreamsOfOne, " streams of events of ", caller.name,
                         " are open; end some of them, or give each watcher a token of its own"));
  SetRetryAfter(&status, absl::Seconds(10));
  return status;
}

}  // namespace

constexpr size_t OperatorService::kMaxUnderWay, OperatorService::kMaxUnderWayOfOne;
constexpr size_t OperatorService::kMaxStreams, OperatorService::kMaxStreamsOfOne;

OperatorService::OperatorService(const OperatorDirectory* operators, const OperatorSources& sources,
                                 ThreadPool* threads, Logger* logger, MetricRegistry* metrics)
    : operators_(operators),
      s_(sources),
      calls_(sources),
      threads_(threads),
      logger_(logger),
      refused_(metrics->AddCounter(kRefused, kRefusedHelp, {{"reason", "unauthenticated"}})),
      denied_(metrics->AddCounter(kRefused, kRefusedHelp, {{"reason", "role"}})),
      under_way_(kMaxUnderWayOfOne, kMaxUnderWay),
      watching_(kMaxStreamsOfOne, kMaxStreams),
      streams_(sources.events) {}

// A token that is given counts, also where it is wrong: whoever gives one means it.
absl::StatusOr<Caller> OperatorService::Authenticate(const grpc::ServerContextBase& context) const {
  if (context.client_metadata().count("authorization") > 0) {
    ASSIGN_OR_RETURN(const absl::string_view token, BearerToken(context));
    return operators_->ByToken(token);
  }
  ASSIGN_OR_RETURN(absl::optional<PeerIdentity> peer,
                   VerifyPeer(*context.auth_context(), *s_.bundles->bundles(),
                              s_.authority->trust_domain(), s_.clock->WallNow()));
  if (!peer.has_value()) {
    return absl::UnauthenticatedError(
        "there is neither an operator token nor a client certificate; give one of them");
  }
  ASSIGN_OR_RETURN(Caller caller, operators_->ByIdentity(peer->id));
  caller.valid_until = peer->not_after;
  caller.path = std::move(peer->path);
  return caller;
}

absl::StatusOr<Caller> OperatorService::Admit(const grpc::ServerContextBase& context,
                                              absl::string_view method) {
  absl::StatusOr<Caller> caller = Authenticate(context);
  if (!caller.ok()) {
    (absl::IsPermissionDenied(caller.status()) ? denied_ : refused_)->Increment();
    AuditStranger(context, method, caller.status());
    s_.events->AddOfStranger(EventKind::kOperatorRefused, PeerAddress(context.peer()),
                             absl::StrCat(method, ": ", caller.status().message()));
    return caller;
  }
  const MethodRule* const rule = FindMethodRule(method);
  if (rule != nullptr && Includes(caller->role, rule->role)) return caller;
  const absl::Status denied = absl::PermissionDeniedError(
      rule == nullptr ? absl::StrCat(method, " is for nobody")
                      : absl::StrCat(method, " takes the role ", NameOf(rule->role), "; ",
                                     caller->name, " is ", NameOf(caller->role)));
  denied_->Increment();
  Audit(context, method, *caller, "", denied, denied.message());
  s_.events->Add(EventKind::kOperatorRefused, caller->name, denied.message(), caller->name);
  return denied;
}

void OperatorService::AuditStranger(const grpc::ServerContextBase& context,
                                    absl::string_view method, const absl::Status& outcome) {
  const absl::optional<uint64_t> unsaid = strangers_said_.Admit(s_.clock->MonotonicNow());
  if (!unsaid.has_value()) return;
  Audit(context, method, absl::nullopt, "", outcome, outcome.message(), *unsaid);
}

// Written whatever the log's level and format: these lines answer for what was done.
void OperatorService::Audit(const grpc::ServerContextBase& context, absl::string_view method,
                            const absl::optional<Caller>& caller, absl::string_view target,
                            const absl::Status& outcome, absl::string_view detail,
                            uint64_t not_logged) const {
  JsonWriter line;
  line.BeginObject()
      .Field("time", UtcMillisText(s_.clock->WallNow()))
      .Field("level", outcome.ok() ? "info" : "warning")
      .Field("message", "operator call")
      .Field("log", "audit")
      .Field("who", caller.has_value() ? caller->name : "")
      .Field("role", caller.has_value() ? NameOf(caller->role) : "none")
      .Field("rpc", method)
      .Field("target", target)
      .Field("outcome", absl::StatusCodeToString(outcome.code()))
      .Field("detail", detail.substr(0, Logger::kMaxValueSize))
      .Field("address", PeerAddress(context.peer()))
      .Field("not_logged", not_logged)
      .EndObject();
  logger_->WriteRaw(std::move(line).Finish());
}

template <typename Request, typename Response>
grpc::ServerUnaryReactor* OperatorService::Serve(
    grpc::CallbackServerContext* context, const Request* request, Response* response,
    absl::Status (OperatorCalls::*work)(OperatorCall*, const Request&, Response*) const) {
  // The place is given back with the work: when the library is done with the answer.
  return AnswerOn(
      threads_, context,
      [this, context, request, response, work, place = std::unique_ptr<Places::Place>()]() mutable {
        const absl::string_view method = MethodOf<Request>();
        const absl::StatusOr<Caller> caller = Admit(*context, method);
        absl::Status status = caller.status();
        if (caller.ok()) {
          Places::Full full;
          place = under_way_.Take(caller->name, &full);
          if (place == nullptr) status = TooMany(*caller, full);
        }
        if (place != nullptr) {
          OperatorCall call{*caller, "", ""};
          status = (calls_.*work)(&call, *request, response);
          if (FindMethodRule(method)->mutates) {
            Audit(*context, method, *caller, call.target, status,
                  status.ok() ? absl::string_view(call.detail) : status.message());
          }
        }
        if (status.ok()) return grpc::Status::OK;
        response->Clear();
        context->AddTrailingMetadata(kOwnAnswerKey, "error");
        return ToGrpcStatus(status);
      });
}

grpc::ServerUnaryReactor* OperatorService::GetStatus(grpc::CallbackServerContext* context,
                                                     const v1::GetStatusRequest* request,
                                                     v1::GetStatusResponse* response) {
  return Serve(context, request, response, &OperatorCalls::GetStatus);
}

grpc::ServerUnaryReactor* OperatorService::ListWorkloads(grpc::CallbackServerContext* context,
                                                         const v1::ListWorkloadsRequest* request,
                                                         v1::ListWorkloadsResponse* response) {
  return Serve(context, request, response, &OperatorCalls::ListWorkloads);
}

grpc::ServerUnaryReactor* OperatorService::GetWorkload(grpc::CallbackServerContext* context,
                                                       const v1::GetWorkloadRequest* request,
                                                       v1::Workload* response) {
  return Serve(context, request, response, &OperatorCalls::GetWorkload);
}

grpc::ServerUnaryReactor* OperatorService::ListServices(grpc::CallbackServerContext* context,
                                                        const v1::ListServicesRequest* request,
                                                        v1::ListServicesResponse* response) {
  return Serve(context, request, response, &OperatorCalls::ListServices);
}

grpc::ServerUnaryReactor* OperatorService::GetService(grpc::CallbackServerContext* context,
                                                      const v1::GetServiceRequest* request,
                                                      v1::Service* response) {
  return Serve(context, request, response, &OperatorCalls::GetService);
}

grpc::ServerUnaryReactor* OperatorService::ApplyRegistry(grpc::CallbackServerContext* context,
                                                         const v1::ApplyRegistryRequest* request,
                                                         v1::ApplyRegistryResponse* response) {
  return Serve(context, request, response, &OperatorCalls::ApplyRegistry);
}

grpc::ServerUnaryReactor* OperatorService::DeleteWorkload(grpc::CallbackServerContext* context,
                                                          const v1::DeleteWorkloadRequest* request,
                                                          v1::DeleteWorkloadResponse* response) {
  return Serve(context, request, response, &OperatorCalls::DeleteWorkload);
}

grpc::ServerUnaryReactor* OperatorService::DeleteService(grpc::CallbackServerContext* context,
                                                         const v1::DeleteServiceRequest* request,
                                                         v1::DeleteServiceResponse* response) {
  return Serve(context, request, response, &OperatorCalls::DeleteService);
}

grpc::ServerUnaryReactor* OperatorService::ListAgents(grpc::CallbackServerContext* context,
                                                      const v1::ListAgentsRequest* request,
                                                      v1::ListAgentsResponse* response) {
  return Serve(context, request, response, &OperatorCalls::ListAgents);
}

grpc::ServerUnaryReactor* OperatorService::ListPolicies(grpc::CallbackServerContext* context,
                                                        const v1::ListPoliciesRequest* request,
                                                        v1::ListPoliciesResponse* response) {
  return Serve(context, request, response, &OperatorCalls::ListPolicies);
}

grpc::ServerUnaryReactor* OperatorService::GetPolicy(grpc::CallbackServerContext* context,
                                                     const v1::GetPolicyRequest* request,
                                                     v1::Policy* response) {
  return Serve(context, request, response, &OperatorCalls::GetPolicy);
}

grpc::ServerUnaryReactor* OperatorService::ValidatePolicy(grpc::CallbackServerContext* context,
                                                          const v1::ValidatePolicyRequest* request,
                                                          v1::ValidatePolicyResponse* response) {
  return Serve(context, request, response, &OperatorCalls::ValidatePolicy);
}

grpc::ServerUnaryReactor* OperatorService::ApplyPolicy(grpc::CallbackServerContext* context,
                                                       const v1::ApplyPolicyRequest* request,
                                                       v1::ApplyPolicyResponse* response) {
  return Serve(context, request, response, &OperatorCalls::ApplyPolicy);
}

grpc::ServerUnaryReactor* OperatorService::DeletePolicy(grpc::CallbackServerContext* context,
                                                        const v1::DeletePolicyRequest* request,
                                                        v1::DeletePolicyResponse* response) {
  return Serve(context, request, response, &OperatorCalls::DeletePolicy);
}

grpc::ServerUnaryReactor* OperatorService::ListFlows(grpc::CallbackServerContext* context,
                                                     const v1::ListFlowsRequest* request,
                                                     v1::ListFlowsResponse* response) {
  return Serve(context, request, response, &OperatorCalls::ListFlows);
}

grpc::ServerUnaryReactor* OperatorService::DiffPolicies(grpc::CallbackServerContext* context,
                                                        const v1::DiffPoliciesRequest* request,
                                                        v1::DiffPoliciesResponse* response) {
  return Serve(context, request, response, &OperatorCalls::DiffPolicies);
}

grpc::ServerUnaryReactor* OperatorService::SuggestPolicies(
    grpc::CallbackServerContext* context, const v1::SuggestPoliciesRequest* request,
    v1::SuggestPoliciesResponse* response) {
  return Serve(context, request, response, &OperatorCalls::SuggestPolicies);
}

grpc::ServerUnaryReactor* OperatorService::CreateJoinToken(
    grpc::CallbackServerContext* context, const v1::CreateJoinTokenRequest* request,
    v1::CreateJoinTokenResponse* response) {
  return Serve(context, request, response, &OperatorCalls::CreateJoinToken);
}

grpc::ServerUnaryReactor* OperatorService::ListJoinTokens(grpc::CallbackServerContext* context,
                                                          const v1::ListJoinTokensRequest* request,
                                                          v1::ListJoinTokensResponse* response) {
  return Serve(context, request, response, &OperatorCalls::ListJoinTokens);
}

grpc::ServerUnaryReactor* OperatorService::RevokeJoinToken(
    grpc::CallbackServerContext* context, const v1::RevokeJoinTokenRequest* request,
    v1::RevokeJoinTokenResponse* response) {
  return Serve(context, request, response, &OperatorCalls::RevokeJoinToken);
}

grpc::ServerUnaryReactor* OperatorService::CreateOperatorToken(
    grpc::CallbackServerContext* context, const v1::CreateOperatorTokenRequest* request,
    v1::CreateOperatorTokenResponse* response) {
  return Serve(context, request, response, &OperatorCalls::CreateOperatorToken);
}

grpc::ServerUnaryReactor* OperatorService::ListOperatorTokens(
    grpc::CallbackServerContext* context, const v1::ListOperatorTokensRequest* request,
    v1::ListOperatorTokensResponse* response) {
  return Serve(context, request, response, &OperatorCalls::ListOperatorTokens);
}

grpc::ServerUnaryReactor* OperatorService::RevokeOperatorToken(
    grpc::CallbackServerContext* context, const v1::RevokeOperatorTokenRequest* request,
    v1::RevokeOperatorTokenResponse* response) {
  return Serve(context, request, response, &OperatorCalls::RevokeOperatorToken);
}

grpc::ServerUnaryReactor* OperatorService::GetTrust(grpc::CallbackServerContext* context,
                                                    const v1::GetTrustRequest* request,
                                                    v1::Trust* response) {
  return Serve(context, request, response, &OperatorCalls::GetTrust);
}

grpc::ServerUnaryReactor* OperatorService::RotateTrust(grpc::CallbackServerContext* context,
                                                       const v1::RotateTrustRequest* request,
                                                       v1::Trust* response) {
  return Serve(context, request, response, &OperatorCalls::RotateTrust);
}

grpc::ServerUnaryReactor* OperatorService::RollbackTrust(grpc::CallbackServerContext* context,
                                                         const v1::RollbackTrustRequest* request,
                                                         v1::Trust* response) {
  return Serve(context, request, response, &OperatorCalls::RollbackTrust);
}

grpc::ServerUnaryReactor* OperatorService::ListIssuances(grpc::CallbackServerContext* context,
                                                         const v1::ListIssuancesRequest* request,
                                                         v1::ListIssuancesResponse* response) {
  return Serve(context, request, response, &OperatorCalls::ListIssuances);
}

grpc::ServerUnaryReactor* OperatorService::ListRevocations(
    grpc::CallbackServerContext* context, const v1::ListRevocationsRequest* request,
    v1::ListRevocationsResponse* response) {
  return Serve(context, request, response, &OperatorCalls::ListRevocations);
}

grpc::ServerUnaryReactor* OperatorService::RevokeCertificate(
    grpc::CallbackServerContext* context, const v1::RevokeCertificateRequest* request,
    v1::RevokeCertificateResponse* response) {
  return Serve(context, request, response, &OperatorCalls::RevokeCertificate);
}

grpc::ServerUnaryReactor* OperatorService::Explain(grpc::CallbackServerContext* context,
                                                   const v1::ExplainRequest* request,
                                                   v1::ExplainResponse* response) {
  return Serve(context, request, response, &OperatorCalls::Explain);
}

grpc::ServerWriteReactor<v1::WatchEventsResponse>* OperatorService::WatchEvents(
    grpc::CallbackServerContext* context, const v1::WatchEventsRequest* request) {
  // Both are the library's until the stream has ended.
  return streams_.Open(
      context, threads_, [this, context, request]() -> absl::StatusOr<EventStreams::Opening> {
        ASSIGN_OR_RETURN(Caller caller, Admit(*context, MethodOf<v1::WatchEventsRequest>()));
        ASSIGN_OR_RETURN(EventReader reader, EventReader::Create(s_.events, *request, s_.name));
        Places::Full full;
        std::unique_ptr<Places::Place> place = watching_.Take(caller.name, &full);
        if (place == nullptr) return TooManyStreams(caller, full);
        return EventStreams::Opening{std::move(caller), std::move(reader), std::move(place)};
      });
}

void OperatorService::EndInvalidStreams() {
  streams_.EndInvalid([this](const std::vector<Caller>& callers) {
    std::vector<bool> valid = operators_->AreStillValid(callers);
    const auto bundles = s_.bundles->bundles();
    for (size_t i = 0; i < callers.size(); ++i) {
      if (!valid[i] || callers[i].path.empty()) continue;
      valid[i] =
          !IsRevoked(callers[i].path, *bundles, s_.authority->trust_domain(), s_.clock->WallNow());
    }
    return valid;
  });
}

}  // namespace byrnie
