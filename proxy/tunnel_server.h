#ifndef BYRNIE_PROXY_TUNNEL_SERVER_H_
#define BYRNIE_PROXY_TUNNEL_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/http2/connect_session.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_stream.h"
#include "proxy/access_record.h"
#include "proxy/handshake_gate.h"
#include "proxy/identity_expiry.h"
#include "proxy/overload.h"
#include "proxy/peer_info.h"
#include "proxy/peer_usage.h"
#include "proxy/worker_context.h"

namespace byrnie {

// The inbound tunnels of one worker (HBONE, port 15008): shakes hands, as HandshakeGate lets it,
// serves HTTP/2, and makes an InboundConnection of each CONNECT. Lives on the worker's loop. The
// connections outlive their tunnel; it owns none of them. The limits of tunnels and of a peer's
// tunnels and connections are of all workers together (see ProcessCounts).
class TunnelServer : private HandshakeGate::Handler {
 public:
  struct TunnelView {
    SocketAddress source;
    std::string peer;  // Empty during the handshake.
    uint64_t id = 0;   // PeerInfo::tunnel.
    std::string state;
    size_t streams = 0;
    absl::Duration age;
  };

  TunnelServer(WorkerContext* context, const ConnectSession::Options& session);
  TunnelServer(const TunnelServer&) = delete;
  TunnelServer& operator=(const TunnelServer&) = delete;
  ~TunnelServer() override;

  // Takes a connection to port 15008. Without an identity it is refused.
  void Accept(std::unique_ptr<TcpStream> stream);
  // Takes no new connections through the tunnels there are; those open go on. Later tunnels are
  // drained as well.
  void Drain();
  // Closes the tunnels through which no connection goes now: whoever needs one makes it anew.
  void CloseIdle();
  // Closes tunnels as TunnelPool's methods of the same names.
  void CloseExpired(absl::Time now);
  void CloseUnless(absl::AnyInvocable<bool(const PeerInfo& peer)> keep);
  // After this proxy's identity was replaced: no new connections through tunnels made with another
  // one.
  void DrainOtherGenerations(uint64_t generation);
  void CloseOtherGenerations(uint64_t generation);

  size_t size() const { return tunnels_.size(); }
  // Handshakes under way or waited for: connections that may be about to begin.
  size_t handshakes() const { return gate_.size(); }
  std::vector<TunnelView> View() const;

 private:
  class Tunnel;

  // HandshakeGate::Handler:
  void OnTurn(HandshakeGate::Arrival arrival) override;
  void OnRefused(const HandshakeGate::Arrival& arrival, absl::string_view reason,
                 std::string detail) override;
  void OnEvicted(uint64_t id) override;

  // False, and said so in the log, when there is no identity to shake hands with.
  bool HasIdentity(const SocketAddress& source, const IpAddress& local, absl::Duration duration);
  // For a connection from `source` for which there is no room, because of `shed`: a place for its
  // handshake alone, where connections that are open here live by what such a one proves. Null:
  // none; `*why_not` says why where they do.
  std::unique_ptr<HandshakeGate::Note> TakeForProof(int fd, const IpAddress& source,
                                                    const Overload::Shed& shed,
                                                    absl::string_view* why_not);
  void HandshakeOver(uint64_t id);
  void CountHandshakes();
  void Remove(Tunnel* tunnel);
  void LogRefused(const SocketAddress& source, const IpAddress& local, AccessRecord::Result result,
                  absl::string_view reason, std::string detail, absl::Duration duration,
                  const SpiffeId* peer = nullptr);
  // False when `tunnel`, which is counted already, is one more than the peer, or all peers
  // together, may have, and none of this worker's is idle; otherwise the one here that has been
  // idle longest is closed where the limit is exceeded.
  bool MakeRoomFor(const SpiffeId& peer, const PeerUsage::Tunnel& tunnel);
  template <typename Tunnels>
  static bool CloseLongestIdle(const Tunnels& tunnels);

  WorkerContext* const context_;  // Not owned.
  const ConnectSession::Options session_options_;
  const size_t max_tunnels_;
  const size_t max_tunnels_per_peer_;
  const size_t max_streams_per_peer_;
  bool draining_ = false;
  HandshakeGate gate_;
  size_t handshakes_counted_ = 0;
  // Those of tunnels_ whose handshake is under way, by the gate's number.
  absl::flat_hash_map<uint64_t, Tunnel*> shaking_;
  uint64_t made_ = 0;
  absl::flat_hash_map<Tunnel*, std::unique_ptr<Tunnel>> tunnels_;
  // Those of tunnels_ with a verified peer, by its identity.
  absl::flat_hash_map<std::string, absl::flat_hash_set<Tunnel*>> peers_;
  std::vector<std::unique_ptr<Tunnel>> ended_;
  std::unique_ptr<EventLoop::Deferred> bury_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TUNNEL_SERVER_H_
