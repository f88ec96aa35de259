#ifndef BYRNIE_PROXY_PEER_INFO_H_
#define BYRNIE_PROXY_PEER_INFO_H_

#include <algorithm>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/crypto/certificate.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/svid_verifier.h"
#include "common/tls/tls_stream.h"
#include "proxy/peer_proof.h"

namespace byrnie {

// Both ends of one tunnel, as proven by its handshake and, where it has a `proof`, by later ones.
// Immutable but for that and what becomes of its root, and shared by the tunnel's connections.
struct PeerInfo {
  VerifiedSvid peer;
  TlsSessionInfo session;
  // The identity that this proxy used, and the local generation it belongs to.
  absl::optional<SpiffeId> own_id;
  uint64_t own_generation = 0;
  absl::Time own_not_after = absl::InfiniteFuture();
  // What `peer` was proven by, for proving it again.
  CertificateChain peer_chain;

  // When its TCP connection was made and its handshake was done, by the clock of its loop; zero:
  // not known. A connection that waited for them owes them its time.
  absl::Duration dialled_at = absl::ZeroDuration();
  absl::Duration verified_at = absl::ZeroDuration();

  // Its tunnel's number among those of its kind and worker, as on the admin page; 0: no tunnel.
  uint64_t tunnel = 0;

  // What is known of the two beyond this handshake; null: nothing, it alone counts.
  std::shared_ptr<PeerProof> proof = nullptr;
  // Its handshake proves the peer no longer, because its root has gone, and `proof` stands in for
  // it: set by TrustChange, on the loop of all that share this.
  mutable bool by_proof_alone = false;

  // Until when each end is proven, by this handshake or a newer one.
  absl::Time own_until() const {
    return proof == nullptr ? own_not_after : std::max(own_not_after, proof->own()->until());
  }
  absl::Time peer_until() const {
    if (proof == nullptr) return peer.not_after;
    return by_proof_alone ? proof->until() : std::max(peer.not_after, proof->until());
  }
  // When the proof of either end runs out.
  absl::Time not_after() const { return std::min(own_until(), peer_until()); }
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_PEER_INFO_H_
