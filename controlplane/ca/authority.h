#ifndef BYRNIE_CONTROLPLANE_CA_AUTHORITY_H_
#define BYRNIE_CONTROLPLANE_CA_AUTHORITY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/crypto/private_key.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"
#include "controlplane/records/authority_record.h"
#include "controlplane/store/store.h"

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
};

// Issues X509-SVIDs of one trust domain, signed by a self-signed P-256 root. Decides nothing about
// who gets one: the caller has proven the identity. Immutable, thread-safe; holds the CA key.
class Authority {
 public:
  static constexpr absl::Duration kRootLifetime = absl::Hours(24 * 3652);
  // How far certificates are valid before they are made, for clocks that are behind.
  static constexpr absl::Duration kBackdate = absl::Seconds(60);

  // Takes the authority of the store, or makes one at the first start. FailedPrecondition when the
  // store's is of another trust domain or has expired; Unavailable as the store.
  static absl::StatusOr<std::unique_ptr<Authority>> LoadOrCreate(Store* store,
                                                                 const std::string& trust_domain,
                                                                 const Clock* clock);

  // Issues a certificate for the P-256 key `public_key_der` (SubjectPublicKeyInfo). It lives `ttl`,
  // but never longer than `cap` nor than the root. InvalidArgument: the identity is of another
  // trust domain, or the ttl is not positive. FailedPrecondition: the root has expired.
  // `dns_names`: host names it is for, too.
  absl::StatusOr<IssuedSvid> Issue(const SpiffeId& id, absl::string_view public_key_der,
                                   absl::optional<absl::Duration> ttl, absl::Duration cap,
                                   const std::vector<std::string>& dns_names = {}) const;

  const std::string& trust_domain() const { return trust_domain_; }
  const CertificatePtr& root() const { return root_; }
  // The bundle of the trust domain.
  const TrustBundleSet& bundles() const { return bundles_; }

 private:
  Authority(std::string trust_domain, CertificatePtr root, std::shared_ptr<const PrivateKey> key,
            TrustBundleSet bundles, const Clock* clock);
  static absl::StatusOr<AuthorityRecord> NewRecord(const std::string& trust_domain,
                                                   const Clock& clock);
  static absl::StatusOr<std::unique_ptr<Authority>> FromRecord(const AuthorityRecord& record,
                                                               const std::string& trust_domain,
                                                               const Clock* clock);

  const std::string trust_domain_;
  const CertificatePtr root_;
  const std::shared_ptr<const PrivateKey> key_;
  const TrustBundleSet bundles_;
  const Clock* const clock_;  // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_AUTHORITY_H_
