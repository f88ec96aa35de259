#ifndef BYRNIE_PROXY_PEER_PROOFS_H_
#define BYRNIE_PROXY_PEER_PROOFS_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/identity/identity_snapshot.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "proxy/peer_info.h"
#include "proxy/peer_proof.h"

namespace byrnie {

// Of all peers that the process has a tunnel or a connection with, what they have proven: one
// PeerProof for each pair of an address and an identity, held by those tunnels and connections and
// gone with the last of them. Thread-safe; its lock is taken when a handshake is done and when the
// last tunnel of a peer ends, never for a byte.
//
// Holds nothing before SetOwn, so that where connections do not depend on proofs nobody has one.
class PeerProofs {
 public:
  // Uniform in [0, 1).
  using Random = absl::AnyInvocable<double()>;

  PeerProofs();
  explicit PeerProofs(Random random) : random_(std::move(random)) {}
  PeerProofs(const PeerProofs&) = delete;
  PeerProofs& operator=(const PeerProofs&) = delete;

  // This proxy's own identity, which is in use from now on, until `not_after`.
  void SetOwn(const SpiffeId& id, absl::Time not_after);

  // A handshake with `address`, whose port does not matter, is done, and `made` says what it
  // proved, by the bundles of `trust`. Gives it the proof that it shares; none where it was made
  // with another own identity than the one in use, for nothing is known of the peer beyond it then.
  void Record(const SocketAddress& address, const IdentitySnapshot& trust, absl::Time now,
              PeerInfo* made);

  // Whether something is open with a peer at `ip` that lives by its proof.
  bool Knows(const IpAddress& ip) const;

  // Peers that there is a proof of.
  size_t size() const;

 private:
  using Key = std::pair<SocketAddress, SpiffeId>;
  // Apart, because proofs may outlive this.
  struct Entries {
    // Not absl::Mutex: ThreadSanitizer does not see through that of a library built without it.
    std::mutex mutex;
    absl::flat_hash_map<Key, std::weak_ptr<PeerProof>> proofs;
    // How many of them each address has.
    absl::flat_hash_map<IpAddress, size_t> addresses;
  };

  std::shared_ptr<PeerProof> Find(Key key, const SpiffeId& own_id, double* random);

  const std::shared_ptr<Entries> entries_ = std::make_shared<Entries>();
  // Both guarded by the mutex of entries_.
  std::shared_ptr<OwnProof> own_;
  Random random_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_PEER_PROOFS_H_
