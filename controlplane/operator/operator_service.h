#ifndef BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_SERVICE_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_SERVICE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "byrnie/operator/v1/operator.grpc.pb.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/attest/join_token.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/ca_service.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/registry/registry.h"

namespace byrnie {

// byrnie.operator.v1 as gRPC serves it, for callers with the operator's token. Thread-safe; the
// pointers outlive it, and it outlives the server.
class OperatorService final : public byrnie::operator_::v1::Operator::Service {
 public:
  // `token_hash` is HashBearerToken() of the operator's token; empty: nobody is let in.
  OperatorService(std::string token_hash, JoinTokens* tokens, const Authority* authority,
                  const CaService* ca, const TrustBundleSource* bundles, const AgentTable* agents,
                  const Registry* registry, Logger* logger, MetricRegistry* metrics);

  grpc::Status CreateJoinToken(grpc::ServerContext* context,
                               const byrnie::operator_::v1::CreateJoinTokenRequest* request,
                               byrnie::operator_::v1::CreateJoinTokenResponse* response) override;
  grpc::Status GetStatus(grpc::ServerContext* context,
                         const byrnie::operator_::v1::GetStatusRequest* request,
                         byrnie::operator_::v1::GetStatusResponse* response) override;

 private:
  // Unauthenticated unless the call carries the operator's token.
  absl::Status Authenticate(const grpc::ServerContext& context) const;
  absl::Status TryCreateJoinToken(const grpc::ServerContext& context,
                                  const byrnie::operator_::v1::CreateJoinTokenRequest& request,
                                  byrnie::operator_::v1::CreateJoinTokenResponse* response);

  const std::string token_hash_;
  JoinTokens* const tokens_;                // Not owned.
  const Authority* const authority_;        // Not owned.
  const CaService* const ca_;               // Not owned.
  const TrustBundleSource* const bundles_;  // Not owned.
  const AgentTable* const agents_;          // Not owned.
  const Registry* const registry_;          // Not owned.
  Logger* const logger_;                    // Not owned.
  Counter* const refused_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_SERVICE_H_
