#ifndef BYRNIE_CONTROLPLANE_CA_ISSUANCE_H_
#define BYRNIE_CONTROLPLANE_CA_ISSUANCE_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/crypto/key_type.h"
#include "common/identity/spiffe_id.h"
#include "common/telemetry/line_budget.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/attest/attestor_set.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/certificate_request.h"
#include "controlplane/ca/issue_limiter.h"
#include "controlplane/ca/issue_results.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "grpcpp/server_context.h"

namespace byrnie {

// The one way to a workload's certificate, in whatever protocol it is asked for: who asks, whether
// there is room, the certificate, the end of a credential that works once, and the notes of it. The
// identity comes from the client certificate or, without one, from the credential; a request gives
// nothing but a public key and a wish for a life. Thread-safe, and holds its caller's thread on the
// store and on attestors; the pointers outlive it.
class Issuance {
 public:
  using RequestReader =
      absl::FunctionRef<absl::StatusOr<CertificateRequest>(const SpiffeId& caller)>;

  // `workload_ttl` caps the life of every certificate, `issue_rate` how many are issued in a
  // second and `identity_issue_rate` how many to one identity; 0: no limit. What is issued is in
  // `log`, or waits for it safely, before it is answered; null: there is none. Keys are of
  // `key_types`.
  Issuance(const Authority* authority, const AttestorSet* attestors,
           const TrustBundleSource* bundles, absl::Duration workload_ttl, double issue_rate,
           AgentTable* agents, const Clock* clock, Logger* logger, MetricRegistry* metrics,
           double identity_issue_rate = 0, IssuanceLog* log = nullptr,
           KeyTypes key_types = {KeyType::kP256});

  // The monotonic clock.
  absl::Duration Now() const { return clock_->MonotonicNow(); }
  // Issues a certificate to the caller of `context`, counts and logs it, or why not; `protocol` is
  // for the log, `arrived` is when it began to wait for its turn, by Now(). `read` takes the
  // message apart, once it is known who asks and that there is room. Errors are as the caller may
  // see them: Unauthenticated, without why where it showed a credential; PermissionDenied: a
  // reserved identity; ResourceExhausted, with RetryAfter; InvalidArgument: the request;
  // Unavailable and others: the store, an attestor, the authority.
  absl::StatusOr<IssuedSvid> Issue(const grpc::ServerContextBase& context,
                                   absl::string_view protocol, absl::Duration arrived,
                                   RequestReader read);

  uint64_t certificates_issued() const { return results_.issued(); }

 private:
  struct Caller {
    SpiffeId id;
    // "svid", or what its attestor says.
    std::string proof;
    // Of the certificate it has shown, if any: the serial, and how long it is still valid.
    std::string serial;
    absl::optional<absl::Duration> left;
    // Present when a credential is to be redeemed.
    absl::optional<AttestorSet::Proven> credential;
  };

  absl::StatusOr<Caller> Authenticate(const grpc::ServerContextBase& context) const;
  absl::StatusOr<IssuedSvid> TryIssue(const grpc::ServerContextBase& context,
                                      absl::string_view protocol, absl::Duration arrived,
                                      RequestReader read);
  absl::Status RedeemAndLog(const Caller& caller, IssuanceRecord record);
  // An error: it could not be noted, and is not to be handed out.
  absl::Status NoteIssued(const Caller& caller, const IssuedSvid& issued,
                          absl::string_view protocol, const std::string& address);
  void NoteRefused(const absl::Status& status, absl::string_view protocol,
                   const std::string& address);

  const Authority* const authority_;        // Not owned.
  const AttestorSet* const attestors_;      // Not owned.
  const TrustBundleSource* const bundles_;  // Not owned.
  const absl::Duration workload_ttl_;
  const KeyTypes key_types_;
  IssueLimiter limiter_;
  AgentTable* const agents_;  // Not owned.
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.
  IssuanceLog* const log_;    // Not owned; may be null.
  const IssueResults results_;
  LineBudget refusals_said_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_ISSUANCE_H_
