#include "proxy/trust_change.h"

#include <algorithm>
#include <utility>
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

// Whether a chain that was good when it was shown has this defect because no root that there is now
// is the one that signed it. Another one of the same name may have begun later than the chain
// ended, or have ended itself: a chain is judged as of its end, and was valid then.
bool IsOfTheRootAlone(SvidDefect defect) {
  return defect == SvidDefect::kUnknownIssuer || defect == SvidDefect::kNotYetValid ||
         defect == SvidDefect::kExpired;
}

// `before`, each with the revocation lists that `after` has for it.
absl::StatusOr<TrustBundleSet> WithListsOf(const TrustBundleSet& before,
                                           const TrustBundleSet& after) {
  TrustBundleMap map;
  for (const auto& [trust_domain, bundle] : before.bundles()) {
    const TrustBundle* const now = after.Find(trust_domain);
    if (now != nullptr) map[trust_domain] = TrustBundle{bundle.roots, now->crls};
  }
  return TrustBundleSet::Create(std::move(map));
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
    : before_(WithListsOf(before, *after)), after_(after), generation_(generation), now_(now) {
  for (const auto& [trust_domain, bundle] : before.bundles()) {
    if (MayLoseTrust(bundle, after->Find(trust_domain))) affected_.insert(trust_domain);
  }
}

absl::string_view TrustChange::WhyNot(const PeerInfo& peer) {
  if (!affected_.contains(peer.peer.id.trust_domain())) return {};
  const auto [it, fresh] = judged_.try_emplace(&peer);
  if (fresh) it->second = Judge(peer);
  return it->second;
}

absl::string_view TrustChange::Judge(const PeerInfo& peer) const {
  // Asked first, so that what does not hold is dropped whoever lives by it.
  const absl::string_view lost =
      peer.proof == nullptr ? "" : peer.proof->Judge(*after_, generation_, now_);
  const SvidDefect defect = HandshakesDefect(peer, *after_);
  peer.by_proof_alone = peer.by_proof_alone && defect != SvidDefect::kNone;
  if (defect == SvidDefect::kNone) return peer.peer_until() <= now_ ? lost : "";
  if (!IsOfTheRootAlone(defect) || peer.proof == nullptr) return end_reason::For(defect);
  if (!lost.empty()) return lost;
  // The newer proof alone: the handshake's own is none any more, however long it would have been.
  if (peer.proof->until() <= now_ || !before_.ok()) return end_reason::For(defect);
  // Its root may have gone together with a list that names it.
  if (HandshakesDefect(peer, *before_) == SvidDefect::kRevoked) {
    return end_reason::kCertificateRevoked;
  }
  peer.by_proof_alone = true;
  return {};
}

SvidDefect TrustChange::HandshakesDefect(const PeerInfo& peer,
                                         const TrustBundleSet& bundles) const {
  SvidDefect defect;
  return ReverifySvid(peer.peer_chain, bundles, peer.peer.not_after, now_, &defect).ok()
             ? SvidDefect::kNone
             : defect;
}

}  // namespace byrnie
