#include "common/identity/trust_bundle.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/identity/spiffe_id.h"

namespace byrnie {

absl::StatusOr<TrustBundleSet> TrustBundleSet::Create(TrustBundleMap bundles) {
  for (const auto& [trust_domain, bundle] : bundles) {
    RETURN_IF_ERROR(SpiffeId::CheckTrustDomain(trust_domain));
    // An empty bundle looks like one that trusts nobody, and is far more often a mistake of its
    // maker.
    if (bundle.roots.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("trust bundle of ", trust_domain, " without a certificate"));
    }
    for (const CertificatePtr& root : bundle.roots) {
      if (root == nullptr || !root->is_ca()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "trust bundle of ", trust_domain, ": ",
            root == nullptr ? "a null certificate" : root->Subject(), " is not a CA certificate"));
      }
    }
  }
  TrustBundleSet set;
  set.bundles_ = std::move(bundles);
  return set;
}

absl::StatusOr<TrustBundleSet> TrustBundleSet::FromPem(absl::string_view trust_domain,
                                                       absl::string_view pem) {
  ASSIGN_OR_RETURN(std::vector<CertificatePtr> roots, Certificate::ListFromPem(pem));
  return Create({{std::string(trust_domain), {std::move(roots)}}});
}

const TrustBundle* TrustBundleSet::Find(absl::string_view trust_domain) const {
  const auto found = bundles_.find(trust_domain);
  return found == bundles_.end() ? nullptr : &found->second;
}

}  // namespace byrnie
