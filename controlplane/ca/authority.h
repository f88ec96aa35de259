#ifndef BYRNIE_CONTROLPLANE_CA_AUTHORITY_H_
#define BYRNIE_CONTROLPLANE_CA_AUTHORITY_H_

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/identity/spiffe_id.h"
#include "controlplane/ca/issuing_window.h"
#include "controlplane/ca/signing_authority.h"

namespace byrnie {

// The one identity an authority keeps for its own control plane:
// spiffe://TRUST_DOMAIN/byrnie/controlplane.
absl::StatusOr<SpiffeId> ControlPlaneId(absl::string_view trust_domain);

// True for "/byrnie" and everything below it: identities of the mesh itself, which no token and no
// request may give.
bool IsReservedPath(absl::string_view path);

// A certificate as it was issued.
struct IssuedSvid {
  CertificateChain chain;
  absl::Time issued_at;
  // Renewals are welcome from `renew_after` on and should have begun by `renew_before`.
  absl::Time renew_after, renew_before;
  // The id of its root.
  std::string root_id;
};

// Issues X509-SVIDs of one trust domain, with whatever signs at the moment. Decides nothing about
// who gets one: the caller has proven the identity. Thread-safe; holds the CA keys.
class Authority {
 public:
  // How far certificates are valid before they are made, for clocks that are behind.
  static constexpr absl::Duration kBackdate = absl::Seconds(60);

  // `window`, where there is one, outlives it and says when nothing may be signed for workloads.
  Authority(AuthoritySnapshotPtr snapshot, const Clock* clock,
            const IssuingWindow* window = nullptr);

  // Puts the next snapshot in force, of the same trust domain: for every certificate issued from
  // then on.
  void Publish(AuthoritySnapshotPtr snapshot);
  AuthoritySnapshotPtr snapshot() const;

  // Issues a certificate for the P-256 key `public_key_der` (SubjectPublicKeyInfo). It lives `ttl`,
  // but never longer than `cap` nor than any certificate above it. InvalidArgument: the identity is
  // of another trust domain, or the ttl is not positive. FailedPrecondition: a certificate of the
  // CA has expired. Unavailable: what the store says was not heard of for too long (IssuingWindow).
  absl::StatusOr<IssuedSvid> Issue(const SpiffeId& id, absl::string_view public_key_der,
                                   absl::optional<absl::Duration> ttl, absl::Duration cap) const;
  // As Issue, for the control plane itself; `dns_names` are host names it is for, too.
  absl::StatusOr<IssuedSvid> IssueForControlPlane(absl::string_view public_key_der,
                                                  absl::Duration ttl,
                                                  const std::vector<std::string>& dns_names) const;

  // Unavailable where roots may be others by now than those of the snapshot.
  absl::Status CheckIsCurrent() const;
  // Why nobody would be issued a certificate now, with the code of Issue(); OK: there is no reason
  // that is the same for all.
  absl::Status CheckIssues() const;

  const std::string& trust_domain() const { return trust_domain_; }
  // The root above what signs now.
  CertificatePtr root() const { return snapshot()->signer->root(); }

 private:
  absl::Status CheckHasNotEnded(const SigningAuthority& signer) const;
  absl::StatusOr<IssuedSvid> IssueBy(const SigningAuthority& signer, const SpiffeId& id,
                                     absl::string_view public_key_der,
                                     absl::optional<absl::Duration> ttl, absl::Duration cap,
                                     const std::vector<std::string>& dns_names) const;

  const std::string trust_domain_;
  const Clock* const clock_;           // Not owned.
  const IssuingWindow* const window_;  // Not owned; may be null.
  mutable absl::Mutex mu_;
  AuthoritySnapshotPtr snapshot_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_AUTHORITY_H_
