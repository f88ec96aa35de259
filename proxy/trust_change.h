#ifndef BYRNIE_PROXY_TRUST_CHANGE_H_
#define BYRNIE_PROXY_TRUST_CHANGE_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/identity/svid_verifier.h"
#include "common/identity/trust_bundle.h"
#include "proxy/peer_info.h"

namespace byrnie {

// OK when the peer's own certificates prove it by `bundles` at `now`. Else Unauthenticated, with
// DefectOf (common/tls/handshake_fault.h): it lost our trust since its handshake. Certificates that
// have run out meanwhile are judged as of their end: what expiry means for open tunnels is
// IdentityExpiry's to say, and trust alone is asked for here.
absl::Status CheckProven(const TrustBundleSet& bundles, const PeerInfo& peer, absl::Time now);

// What a new set of bundles takes away from peers that were proven with the old one. Peers of trust
// domains that lose no root and whose revocation lists are the same keep their proof without a
// look; the others must be proven by what there is now: by the handshake that their connections
// began with or, where the only fault of that is that its root is gone, by a newer one (PeerProof).
// Lives within one turn of a loop.
class TrustChange {
 public:
  // `after`, which came with the identity of `generation`, outlives this.
  TrustChange(const TrustBundleSet& before, const TrustBundleSet* after, uint64_t generation,
              absl::Time now);

  bool RemovesAnything() const { return !affected_.empty(); }
  // Why `peer` is trusted no longer, of the closed set of end_reason; empty while it is. A newer
  // proof of it that is none any more is dropped: that is the reason where its handshake's own has
  // run out, or its root has gone. Judges each PeerInfo object once, however many of a tunnel's
  // connections ask.
  absl::string_view WhyNot(const PeerInfo& peer);

 private:
  absl::string_view Judge(const PeerInfo& peer) const;
  // Of the certificates of its handshake, by `bundles`.
  SvidDefect HandshakesDefect(const PeerInfo& peer, const TrustBundleSet& bundles) const;

  // What was trusted, with the new lists.
  const absl::StatusOr<TrustBundleSet> before_;
  const TrustBundleSet* const after_;  // Not owned.
  const uint64_t generation_;
  const absl::Time now_;
  absl::flat_hash_set<std::string> affected_;
  absl::flat_hash_map<const PeerInfo*, absl::string_view> judged_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TRUST_CHANGE_H_
