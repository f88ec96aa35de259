#include "proxy/trust_change.h"

#include <algorithm>
#include <vector>

#include "common/crypto/certificate.h"
#include "common/identity/svid_verifier.h"

namespace byrnie {

bool ProvenBy(const TrustBundleSet& bundles, const PeerInfo& peer, absl::Time now) {
  // An end counts as expired itself, in whole seconds.
  const absl::Time still_valid = peer.peer.not_after - absl::Seconds(1);
  return VerifySvid(peer.peer_chain, bundles, std::min(now, still_valid)).ok();
}

TrustChange::TrustChange(const TrustBundleSet& before, const TrustBundleSet* after, absl::Time now)
    : after_(after), now_(now) {
  for (const auto& [trust_domain, bundle] : before.bundles()) {
    absl::flat_hash_set<std::string> remaining;
    const TrustBundle* left = after->Find(trust_domain);
    if (left != nullptr) {
      for (const CertificatePtr& root : left->roots) remaining.insert(root->der());
    }
    for (const CertificatePtr& root : bundle.roots) {
      if (!remaining.contains(root->der())) affected_.insert(trust_domain);
    }
  }
}

bool TrustChange::Keeps(const PeerInfo& peer) {
  if (!affected_.contains(peer.peer.id.trust_domain())) return true;
  const auto [it, fresh] = judged_.try_emplace(&peer, false);
  if (fresh) it->second = ProvenBy(*after_, peer, now_);
  return it->second;
}

}  // namespace byrnie
