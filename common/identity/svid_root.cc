#include "common/identity/svid_root.h"

#include <string>
#include <utility>

#include "common/identity/svid_verifier.h"

namespace byrnie {

CertificatePtr RootOf(const CertificateChain& chain, const TrustBundleSet& bundles,
                      absl::string_view trust_domain, absl::Time now) {
  const TrustBundle* const bundle = bundles.Find(trust_domain);
  if (bundle == nullptr) return nullptr;
  if (bundle->roots.size() == 1) return bundle->roots.front();
  for (const CertificatePtr& root : bundle->roots) {
    TrustBundleMap alone;
    alone[std::string(trust_domain)].roots = {root};
    const absl::StatusOr<TrustBundleSet> set = TrustBundleSet::Create(std::move(alone));
    if (set.ok() && VerifyOwnSvid(chain, *set, now).ok()) return root;
  }
  return nullptr;
}

}  // namespace byrnie
