#ifndef BYRNIE_CONTROLPLANE_CA_CA_SERVICE_H_
#define BYRNIE_CONTROLPLANE_CA_CA_SERVICE_H_

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "byrnie/ca/v1/ca.grpc.pb.h"
#include "common/base/clock.h"
#include "common/base/thread_pool.h"
#include "common/telemetry/line_budget.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/agents/agent_questions.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/issuance.h"
#include "controlplane/ca/issue_limiter.h"
#include "controlplane/ca/issue_results.h"
#include "controlplane/ca/jwt_authority.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/peer/peer_identity.h"
#include "controlplane/stream/identity_streams.h"
#include "controlplane/stream/stranger_streams.h"
#include "controlplane/stream/stream_set.h"

namespace byrnie {

// byrnie.ca.v1 as gRPC serves it. Issue and IssueJwtSvid hold one of `threads` until they have an
// answer, the stream none; one of a caller without a certificate counts with `strangers`, others by
// their identities.
// Thread-safe; the pointers outlive it, and it outlives the server.
class CaService final : public byrnie::ca::v1::CertificateAuthority::CallbackService {
 public:
  using BundlesRequest = byrnie::ca::v1::WatchTrustBundlesRequest;
  using BundlesResponse = byrnie::ca::v1::WatchTrustBundlesResponse;

  struct Options {
    std::string trust_domain;
    // How many JWT-SVIDs are issued in a second, and how many to one identity; 0: no limit.
    double issue_rate = 0, identity_issue_rate = 0;
  };

  // What is issued is in `log`, or waits for it safely, before it is answered; null: there is none.
  CaService(Issuance* issuance, const Authority* authority, const JwtAuthority* jwt_authority,
            const TrustBundleSource* bundles, Options options, AgentTable* agents, IssuanceLog* log,
            StrangerStreams* strangers, ThreadPool* threads, const Clock* clock, Logger* logger,
            MetricRegistry* metrics);

  grpc::ServerUnaryReactor* Issue(grpc::CallbackServerContext* context,
                                  const byrnie::ca::v1::IssueRequest* request,
                                  byrnie::ca::v1::IssueResponse* response) override;
  grpc::ServerUnaryReactor* IssueJwtSvid(grpc::CallbackServerContext* context,
                                         const byrnie::ca::v1::IssueJwtSvidRequest* request,
                                         byrnie::ca::v1::IssueJwtSvidResponse* response) override;
  grpc::ServerBidiReactor<BundlesRequest, BundlesResponse>* WatchTrustBundles(
      grpc::CallbackServerContext* context) override;

  // Asks the agents that are connected from these addresses, "ip:port", whether they are there.
  // Blocks until they have answered, for `patience` at most.
  AgentQuestions::Answers AskAgents(const std::set<std::string>& addresses,
                                    absl::Duration patience);

  // Wake it when the trust bundles have changed.
  StreamSet* streams() { return &streams_; }
  uint64_t certificates_issued() const { return issuance_->certificates_issued(); }

 private:
  class BundleStream;

  // What a stream holds as long as it is open: one of the two.
  struct StreamPlace {
    std::unique_ptr<Places::Place> of_stranger;
    std::unique_ptr<IdentityStreams::Place> of_identity;
  };

  absl::Status TryIssue(const grpc::ServerContextBase& context, absl::Duration arrived,
                        const byrnie::ca::v1::IssueRequest& request,
                        byrnie::ca::v1::IssueResponse* response);
  // `arrived` is when it began to wait for its turn.
  absl::Status TryIssueJwtSvid(const grpc::ServerContextBase& context, absl::Duration arrived,
                               const byrnie::ca::v1::IssueJwtSvidRequest& request,
                               byrnie::ca::v1::IssueJwtSvidResponse* response);
  // Finds a place for a stream of `peer`.
  absl::Status Admit(const grpc::ServerContextBase& context,
                     const absl::optional<PeerIdentity>& peer, StreamPlace* place);
  void NoteJwtSvidRefused(const absl::Status& status, const std::string& address);
  // An error: it could not be noted, and is not to be handed out.
  absl::Status NoteIssued(const PeerIdentity& peer, const IssuedJwt& issued,
                          const std::vector<std::string>& audience,
                          const std::string& address) const;

  Issuance* const issuance_;                 // Not owned.
  const Authority* const authority_;         // Not owned.
  const JwtAuthority* const jwt_authority_;  // Not owned.
  const TrustBundleSource* const bundles_;   // Not owned.
  const std::string trust_domain_;
  IssueLimiter jwt_limiter_;
  AgentTable* const agents_;          // Not owned.
  IssuanceLog* const log_;            // Not owned; may be null.
  StrangerStreams* const strangers_;  // Not owned.
  ThreadPool* const threads_;         // Not owned.
  const Clock* const clock_;          // Not owned.
  Logger* const logger_;              // Not owned.
  const IssueResults tokens_;
  AgentQuestions questions_;
  LineBudget refusals_said_;  // Of JWT-SVIDs.
  LineBudget streams_refused_said_;
  IdentityStreams identity_streams_;  // Before the streams, which have its places.
  StreamSet streams_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_CA_SERVICE_H_
