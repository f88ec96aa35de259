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

// The root certificates of each trust domain (SPIFFE_Trust_Domain_and_Bundle.md). A peer is judged
// by the bundle of its own trust domain and by no other. Immutable, thread-safe.
class TrustBundleSet {
 public:
  // An empty set trusts nobody.
  TrustBundleSet() = default;

  // InvalidArgument when a name is not a trust domain, a bundle is empty, or a root is not a CA
  // certificate.
  static absl::StatusOr<TrustBundleSet> Create(
      std::map<std::string, std::vector<CertificatePtr>, std::less<>> bundles);
  // One trust domain from PEM, as --trust_bundle files hold it.
  static absl::StatusOr<TrustBundleSet> FromPem(absl::string_view trust_domain,
                                                absl::string_view pem);

  // Null when the trust domain is not known.
  const std::vector<CertificatePtr>* Find(absl::string_view trust_domain) const;
  const std::map<std::string, std::vector<CertificatePtr>, std::less<>>& bundles() const {
    return bundles_;
  }

 private:
  std::map<std::string, std::vector<CertificatePtr>, std::less<>> bundles_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_TRUST_BUNDLE_H_
