#include "proxy/trust_change.h"

namespace byrnie {

TrustChange::TrustChange(const TrustBundleSet& before, const TrustBundleSet& after) {
  for (const auto& [trust_domain, roots] : before.bundles()) {
    absl::flat_hash_set<std::string> remaining;
    const std::vector<CertificatePtr>* left = after.Find(trust_domain);
    if (left != nullptr) {
      for (const CertificatePtr& root : *left) remaining.insert(root->der());
    }
    for (const CertificatePtr& root : roots) {
      if (!remaining.contains(root->der())) affected_.insert(trust_domain);
    }
  }
}

}  // namespace byrnie
