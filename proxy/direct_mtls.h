#ifndef BYRNIE_PROXY_DIRECT_MTLS_H_
#define BYRNIE_PROXY_DIRECT_MTLS_H_

#include <memory>

#include "common/event/event_loop.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/peer_proofs.h"
#include "proxy/tunnel_dialer.h"
#include "proxy/tunnel_pool.h"

namespace byrnie {

// Opens direct mTLS (ALPN "istio"): one TLS connection for each connection of the application,
// straight to the workload's own port. Beside TunnelPool, for workloads whose proxy takes no
// tunnels. Lives on its worker's loop; what it has opened does not need it any more.
class DirectMtls {
 public:
  // `dialer`, `*mesh`, which always points to the newest snapshot, and `proofs`, where handshakes
  // are recorded, outlive this.
  DirectMtls(EventLoop* loop, TunnelDialer* dialer, const MeshSnapshotPtr* mesh, PeerProofs* proofs)
      : loop_(loop), dialer_(dialer), mesh_(mesh), proofs_(proofs) {}
  DirectMtls(const DirectMtls&) = delete;
  DirectMtls& operator=(const DirectMtls&) = delete;

  // Connects to `target`, whose peer must prove one of its identities. Tries again when the own
  // identity was replaced during the handshake, and once when the peer ended it without a word: no
  // application byte has left by then. `done` hears what TunnelPool::Open says, but
  // PermissionDenied: a refusal by policy is a TLS alert after the handshake, which ends the
  // stream.
  std::unique_ptr<TunnelPool::Request> Open(TunnelTarget target, TunnelPool::Callback done);

 private:
  class Opening;

  EventLoop* const loop_;              // Not owned.
  TunnelDialer* const dialer_;         // Not owned.
  const MeshSnapshotPtr* const mesh_;  // Not owned.
  PeerProofs* const proofs_;           // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_DIRECT_MTLS_H_
