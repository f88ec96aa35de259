#ifndef BYRNIE_COMMON_IDENTITY_TRUST_BUNDLE_H_
#define BYRNIE_COMMON_IDENTITY_TRUST_BUNDLE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/certificate.h"

namespace byrnie {

// What the peers of one trust domain are judged by. A value.
struct TrustBundle {
  // At least one.
  std::vector<CertificatePtr> roots;
};

using TrustBundleMap = std::map<std::string, TrustBundle, std::less<>>;

// The bundle of each trust domain (SPIFFE_Trust_Domain_and_Bundle.md). A peer is judged by the
// bundle of its own trust domain and by no other. Immutable, thread-safe.
class TrustBundleSet {
 public:
  // An empty set trusts nobody.
  TrustBundleSet() = default;

  // InvalidArgument when a name is not a trust domain, a bundle is empty, or a root is not a CA
  // certificate.
  static absl::StatusOr<TrustBundleSet> Create(TrustBundleMap bundles);
  // One trust domain from PEM, as --trust_bundle files hold it.
  static absl::StatusOr<TrustBundleSet> FromPem(absl::string_view trust_domain,
                                                absl::string_view pem);

  // Null when the trust domain is not known.
  const TrustBundle* Find(absl::string_view trust_domain) const;
  const TrustBundleMap& bundles() const { return bundles_; }

 private:
  TrustBundleMap bundles_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_TRUST_BUNDLE_H_
