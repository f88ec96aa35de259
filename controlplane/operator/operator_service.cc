#include "controlplane/operator/operator_service.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/crypto/token/bearer_token.h"
#include "common/grpc/status_conversion.h"
#include "controlplane/peer/peer_identity.h"
#include "controlplane/proto/time_conversion.h"

namespace byrnie {

using byrnie::operator_::v1::CreateJoinTokenRequest;
using byrnie::operator_::v1::CreateJoinTokenResponse;
using byrnie::operator_::v1::GetStatusRequest;
using byrnie::operator_::v1::GetStatusResponse;

OperatorService::OperatorService(std::string token_hash, JoinTokens* tokens,
                                 const Authority* authority, const CaService* ca,
                                 const TrustBundleSource* bundles, const AgentTable* agents,
                                 const Registry* registry, Logger* logger, MetricRegistry* metrics)
    : token_hash_(std::move(token_hash)),
      tokens_(tokens),
      authority_(authority),
      ca_(ca),
      bundles_(bundles),
      agents_(agents),
      registry_(registry),
      logger_(logger),
      refused_(metrics->AddCounter("byrnie_controlplane_operator_refused_total",
                                   "Operator calls without a valid token.")) {}

absl::Status OperatorService::Authenticate(const grpc::ServerContext& context) const {
  const absl::string_view token = BearerToken(context);
  // Both sides are hashes: neither the token's bytes nor its length shows in the time this takes.
  if (!token.empty() && !token_hash_.empty() &&
      TokenHashesEqual(HashBearerToken(token), token_hash_)) {
    return absl::OkStatus();
  }
  refused_->Increment();
  logger_->Warning("operator call refused", {{"address", PeerAddress(context.peer())}});
  return absl::UnauthenticatedError("the operator token is missing or wrong");
}

grpc::Status OperatorService::CreateJoinToken(grpc::ServerContext* context,
                                              const CreateJoinTokenRequest* request,
                                              CreateJoinTokenResponse* response) {
  const absl::Status status = TryCreateJoinToken(*context, *request, response);
  if (!status.ok()) context->AddTrailingMetadata(kOwnAnswerKey, "error");
  return ToGrpcStatus(status);
}

absl::Status OperatorService::TryCreateJoinToken(const grpc::ServerContext& context,
                                                 const CreateJoinTokenRequest& request,
                                                 CreateJoinTokenResponse* response) {
  RETURN_IF_ERROR(Authenticate(context));
  ASSIGN_OR_RETURN(SpiffeId id, SpiffeId::Parse(request.spiffe_id()));
  absl::Duration ttl = JoinTokens::kDefaultTtl;
  if (request.has_ttl()) {
    ASSIGN_OR_RETURN(ttl, FromProto(request.ttl()));
  }
  ASSIGN_OR_RETURN(JoinTokens::Created created, tokens_->Create(id, ttl));
  logger_->Info(
      "join token created",
      {{"identity", id.text()},
       {"expires_at", absl::FormatTime(absl::RFC3339_sec, created.expires_at, absl::UTCTimeZone())},
       {"address", PeerAddress(context.peer())}});
  response->set_token(std::string(created.token.view()));
  ToProto(created.expires_at, response->mutable_expires_at());
  return absl::OkStatus();
}

grpc::Status OperatorService::GetStatus(grpc::ServerContext* context, const GetStatusRequest*,
                                        GetStatusResponse* response) {
  const absl::Status allowed = Authenticate(*context);
  if (!allowed.ok()) return ToGrpcStatus(allowed);

  response->set_trust_domain(authority_->trust_domain());
  ToProto(authority_->root()->not_after(), response->mutable_root_not_after());
  response->set_root_fingerprint(authority_->root()->FingerprintHex());
  response->set_trust_bundle_version(bundles_->current().version);
  response->set_certificates_issued(ca_->certificates_issued());
  const RegistrySnapshotPtr registry = registry_->snapshot();
  response->set_workloads(registry->workload_count());
  response->set_services(registry->service_count());
  response->set_policies(registry->policy_count());
  for (const AgentTable::Agent& agent : agents_->List()) {
    auto* out = response->add_agents();
    out->set_spiffe_id(agent.id.text());
    out->set_address(agent.address);
    ToProto(agent.connected_since, out->mutable_connected_since());
    if (agent.certificate_not_after.has_value()) {
      ToProto(*agent.certificate_not_after, out->mutable_certificate_not_after());
    }
    out->set_certificate_serial(agent.certificate_serial);
    out->set_acknowledged_bundle_version(agent.acknowledged_bundle_version);
  }
  return grpc::Status::OK;
}

}  // namespace byrnie
