#ifndef BYRNIE_COMMON_IDENTITY_TRUST_BUNDLE_H_
#define BYRNIE_COMMON_IDENTITY_TRUST_BUNDLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/crypto/revocation_list.h"
#include "common/identity/jwt_key.h"

namespace byrnie {

// What the peers of one trust domain are judged by. A value.
struct TrustBundle {
  // At least one.
  std::vector<CertificatePtr> roots;
  // None: nothing is said about revocation. With any, a certificate whose status they do not tell
  // is refused, so they cover every issuer of the trust domain.
  std::vector<RevocationListPtr> crls = {};
  // What JWT-SVIDs are verified with; none: no JWT-SVID is valid.
  std::vector<JwtKey> jwt_keys = {};
};

using TrustBundleMap = std::map<std::string, TrustBundle, std::less<>>;

using RevocationListMap = std::map<std::string, std::vector<RevocationListPtr>, std::less<>>;

// The bundle of each trust domain (SPIFFE_Trust_Domain_and_Bundle.md). A peer is judged by the
// bundle of its own trust domain and by no other. Immutable, thread-safe.
class TrustBundleSet {
 public:
  // An empty set trusts nobody.
  TrustBundleSet() = default;

  // What one set may hold, so that it fits into one message and a handshake stays cheap.
  static constexpr size_t kMaxRevocationLists = 64;
  static constexpr size_t kMaxRevocationListBytes = 3 * 1024 * 1024;

  // InvalidArgument when a name is not a trust domain, a bundle is empty, a root is no signing
  // certificate as svid_rules.h has it, a JWT key has no id or that of another, or there are too
  // many revocation lists.
  static absl::StatusOr<TrustBundleSet> Create(TrustBundleMap bundles);
  // One trust domain from PEM, as --trust_bundle files hold it.
  static absl::StatusOr<TrustBundleSet> FromPem(absl::string_view trust_domain,
                                                absl::string_view pem);

  // Equal to the byte, in the same order.
  friend bool operator==(const TrustBundleSet& a, const TrustBundleSet& b);
  friend bool operator!=(const TrustBundleSet& a, const TrustBundleSet& b) { return !(a == b); }

  // Null when the trust domain is not known.
  const TrustBundle* Find(absl::string_view trust_domain) const;
  const TrustBundleMap& bundles() const { return bundles_; }

 private:
  TrustBundleMap bundles_;
};

// One root at least has not expired at `now`: a bundle that trusts nobody is an old one by mistake.
// InvalidArgument says when the last one did.
absl::Status CheckHasCurrentRoot(const std::vector<CertificatePtr>& roots, absl::Time now);

// `set` with `lists` beside those that it has, without repeating any. Lists of a trust domain that
// is not in it are left out. InvalidArgument as TrustBundleSet::Create.
absl::StatusOr<TrustBundleSet> WithRevocationLists(const TrustBundleSet& set,
                                                   const RevocationListMap& lists);

// How old the revocation lists of a set are, as Unix times; zero when there is none.
struct RevocationListAges {
  int64_t oldest_this_update = 0;
  int64_t earliest_next_update = 0;
};
RevocationListAges AgesOf(const TrustBundleSet& bundles);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_TRUST_BUNDLE_H_
