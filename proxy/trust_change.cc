#include "proxy/trust_change.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/certificate.h"
#include "common/crypto/revocation_list.h"
#include "common/identity/svid_verifier.h"
#include "common/tls/handshake_fault.h"
#include "proxy/end_reason.h"

namespace byrnie {
namespace {

// Whether peers proven by `before` may be proven by `after` no longer.
bool MayLoseTrust(const TrustBundle& before, const TrustBundle* after) {
  if (after == nullptr) return true;
  absl::flat_hash_set<absl::string_view> remaining;
  for (const CertificatePtr& root : after->roots) remaining.insert(root->der());
  for (const CertificatePtr& root : before.roots) {
    if (!remaining.contains(root->der())) return true;
  }
  // A list that is new may revoke; one that is gone may leave a status unknown.
  return !std::equal(
      before.crls.begin(), before.crls.end(), after->crls.begin(), after->crls.end(),
      [](const RevocationListPtr& a, const RevocationListPtr& b) { return a->der() == b->der(); });
}

}  // namespace

absl::Status CheckProven(const TrustBundleSet& bundles, const PeerInfo& peer, absl::Time now) {
  SvidDefect defect;
  const absl::Status proven =
      ReverifySvid(peer.peer_chain, bundles, peer.peer.not_after, now, &defect);
  if (proven.ok()) return proven;
  return WithDefect(absl::UnauthenticatedError(absl::StrCat("peer ", peer.peer.id.text(),
                                                            " lost our trust: ", proven.message())),
                    defect);
}

TrustChange::TrustChange(const TrustBundleSet& before, const TrustBundleSet* after,
                         uint64_t generation, absl::Time now)
    : after_(after), generation_(generation), now_(now) {
  for (const auto& [trust_domain, bundle] : before.bundles()) {
    if (MayLoseTrust(bundle, after->Find(trust_domain))) affected_.insert(trust_domain);
  }
}

absl::string_view TrustChange::WhyNot(const PeerInfo& peer) {
  if (!affected_.contains(peer.peer.id.trust_domain())) return {};
  const auto [it, fresh] = judged_.try_emplace(&peer);
  if (fresh) {
    const absl::Status proven = CheckProven(*after_, peer, now_);
    if (!proven.ok()) {
      it->second = end_reason::For(DefectOf(proven));
    } else if (peer.proof != nullptr) {
      const absl::string_view lost = peer.proof->Judge(*after_, generation_, now_);
      if (peer.peer_until() <= now_) it->second = lost;
    }
  }
  return it->second;
}

}  // namespace byrnie
