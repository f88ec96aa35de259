#ifndef BYRNIE_CONTROLPLANE_CA_CA_SERVICE_H_
#define BYRNIE_CONTROLPLANE_CA_CA_SERVICE_H_

#include <atomic>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "byrnie/ca/v1/ca.grpc.pb.h"
#include "common/base/clock.h"
#include "common/identity/spiffe_id.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/attest/attestor.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/issue_limiter.h"
#include "controlplane/ca/jwt_authority.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/stream/stream_set.h"

namespace byrnie {

// byrnie.ca.v1 as gRPC serves it. The caller's identity comes from its client certificate or,
// without one, from its token; a CSR gives nothing but a public key. Issue and IssueJwtSvid hold
// one of the library's threads, Issue on the store, the stream none. Thread-safe; the pointers
// outlive it, and it outlives the server.
class CaService final
    : public byrnie::ca::v1::CertificateAuthority::WithCallbackMethod_WatchTrustBundles<
          byrnie::ca::v1::CertificateAuthority::Service> {
 public:
  using BundlesRequest = byrnie::ca::v1::WatchTrustBundlesRequest;
  using BundlesResponse = byrnie::ca::v1::WatchTrustBundlesResponse;

  // `workload_ttl` caps the life of every certificate, `issue_rate` how many are issued in a
  // second, and as many JWT-SVIDs beside them; 0: no limit.
  CaService(const Authority* authority, const JwtAuthority* jwt_authority, Attestor* attestor,
            const TrustBundleSource* bundles, absl::Duration workload_ttl, double issue_rate,
            AgentTable* agents, const Clock* clock, Logger* logger, MetricRegistry* metrics);

  grpc::Status Issue(grpc::ServerContext* context, const byrnie::ca::v1::IssueRequest* request,
                     byrnie::ca::v1::IssueResponse* response) override;
  grpc::Status IssueJwtSvid(grpc::ServerContext* context,
                            const byrnie::ca::v1::IssueJwtSvidRequest* request,
                            byrnie::ca::v1::IssueJwtSvidResponse* response) override;
  grpc::ServerBidiReactor<BundlesRequest, BundlesResponse>* WatchTrustBundles(
      grpc::CallbackServerContext* context) override;

  // Wake it when the trust bundles have changed.
  StreamSet* streams() { return &streams_; }
  uint64_t certificates_issued() const { return certificates_.issued->value(); }

 private:
  class BundleStream;
  struct Caller {
    SpiffeId id;
    // Present when a token is to be used up.
    absl::optional<Attestor::Claim> claim;
  };

  absl::StatusOr<Caller> Authenticate(const grpc::ServerContext& context) const;
  // What counts one kind of request, by result.
  struct Results {
    Results(MetricRegistry* metrics, const char* name, const char* help);
    void Count(const absl::Status& status) const;
    Counter *issued, *unauthenticated, *invalid, *throttled, *failed;
  };

  absl::Status TryIssueJwtSvid(const grpc::ServerContext& context,
                               const byrnie::ca::v1::IssueJwtSvidRequest& request,
                               byrnie::ca::v1::IssueJwtSvidResponse* response);
  absl::Status TryIssue(const grpc::ServerContext& context,
                        const byrnie::ca::v1::IssueRequest& request,
                        byrnie::ca::v1::IssueResponse* response);

  const Authority* const authority_;         // Not owned.
  const JwtAuthority* const jwt_authority_;  // Not owned.
  Attestor* const attestor_;                 // Not owned.
  const TrustBundleSource* const bundles_;   // Not owned.
  const absl::Duration workload_ttl_;
  IssueLimiter certificate_limiter_;
  IssueLimiter jwt_limiter_;
  AgentTable* const agents_;  // Not owned.
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.
  const Results certificates_;
  const Results tokens_;
  StreamSet streams_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_CA_SERVICE_H_
