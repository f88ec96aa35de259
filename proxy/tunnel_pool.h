#ifndef BYRNIE_PROXY_TUNNEL_POOL_H_
#define BYRNIE_PROXY_TUNNEL_POOL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/event/event_loop.h"
#include "common/http2/connect_session.h"
#include "common/identity/spiffe_id.h"
#include "common/net/byte_stream.h"
#include "common/net/socket_address.h"
#include "common/telemetry/metrics.h"
#include "common/tls/tls_context.h"
#include "proxy/identity_expiry.h"
#include "proxy/peer_info.h"
#include "proxy/peer_proofs.h"
#include "proxy/shared_count.h"
#include "proxy/tunnel_dialer.h"

namespace byrnie {

// The outbound tunnels of one worker, shared by its connections: a connection
// to a known peer costs an HTTP/2 stream, not a handshake. Lives on the
// worker's loop. The streams it gives out are destroyed before it.
//
// Two connections share a tunnel only where the peer's address, the identities
// allowed there, this proxy's identity generation and the policy epoch are the
// same. A tunnel takes a bounded number of streams, none while one of them is
// bulk or its peer is silent, and none after its identity or epoch was
// replaced.
//
// Bounded: past `tunnels_before_sharing` streams share whatever tunnels there are,
// also with bulk ones, before another is made; past `max_tunnels`
// in all pools that share a count, this pool's tunnel that has been idle
// longest is closed for a new one, and when none is idle the new one is
// refused. What is being closed does not count.
class TunnelPool {
 public:
  struct Options {
    size_t max_streams_per_tunnel = 100;
    size_t tunnels_before_sharing = 64;
    size_t max_tunnels = 4096;
    // Of the tunnels of all pools; outlives them. Null: of this pool alone.
    SharedCount* count = nullptr;
    // Where the handshakes of its tunnels are recorded; outlives them. Null: nowhere.
    PeerProofs* proofs = nullptr;
    // A stream that has moved more is bulk: it would delay others on its
    // tunnel.
    uint64_t bulk_bytes = 1024 * 1024;
    absl::Duration idle_timeout = absl::Seconds(60);
    IdentityExpiry expiry = IdentityExpiry::kDrain;
    ConnectSession::Options session;
  };
  // May be null each.
  struct Metrics {
    Counter* created = nullptr;
    Gauge* open = nullptr;
  };
  // This proxy's side of new tunnels.
  struct Identity {
    uint64_t generation = 0;
    absl::Time not_before = absl::InfinitePast();
    absl::Time not_after = absl::InfiniteFuture();
    absl::optional<SpiffeId> id;
    std::shared_ptr<const TlsContext> context;
  };
  // A connection's stream, open: the peer's proxy has reached the application.
  struct Opened {
    std::unique_ptr<ByteStream> stream;
    std::shared_ptr<const PeerInfo> peer;
    int32_t stream_id = 0;  // Of HTTP/2; 0 without a tunnel.
  };
  // Runs once, in a later turn: FailedPrecondition without a valid identity;
  // PermissionDenied when the peer's proxy refused; ResourceExhausted, with a
  // reason of tunnel_reason (see ReasonOf), past a limit; what
  // TunnelDialer::Dial says; Unavailable for the rest, with the reason
  // kPeerSilent where the peer said nothing on an open tunnel: another request
  // to it takes another tunnel. May destroy the request.
  using Callback = absl::AnyInvocable<void(absl::StatusOr<Opened>)>;

  // A question under way; destroying it abandons it and the callback does not
  // run. Destroyed before the pool.
  class Request {
   public:
    virtual ~Request() = default;
    // There is no connection to the peer yet, and it is the peer that keeps it waiting. The
    // connection under way is not lost by abandoning the request: others may use it.
    virtual bool WaitsForHandshake() const = 0;
    // `leaving` runs, perhaps more than once, when the request waits for a connection to a peer
    // that says meanwhile that it takes no new streams. Leaves the pool and the request alone.
    virtual void set_on_leaving(absl::AnyInvocable<void()> leaving) {
      static_cast<void>(std::move(leaving));
    }
  };

  // For the admin page.
  struct TunnelView {
    SocketAddress address;
    std::string peer;  // Empty while connecting.
    uint64_t id = 0;   // PeerInfo::tunnel.
    std::string state;
    size_t streams = 0;
    absl::Duration age;
  };

  // Hears how the session of an open tunnel to `address` ended, once. Leaves the pool alone.
  using OnSessionEnd = absl::AnyInvocable<void(const SocketAddress& address, const PeerInfo& peer,
                                               const absl::Status& status)>;

  // `dialer` outlives the pool; `on_session_end` may be null.
  TunnelPool(EventLoop* loop, TunnelDialer* dialer, const Options& options, const Metrics& metrics,
             OnSessionEnd on_session_end = nullptr);
  TunnelPool(const TunnelPool&) = delete;
  TunnelPool& operator=(const TunnelPool&) = delete;
  ~TunnelPool();

  // Identity of new tunnels; those of another generation are drained (or
  // closed, see IdentityExpiry).
  void SetIdentity(Identity identity);
  // Another epoch drains all tunnels.
  void SetPolicyEpoch(uint64_t epoch);

  // Opens a stream to `request`'s authority behind `target`. Tries once more if
  // a pooled tunnel dies before the answer, or the peer ends the connection
  // during the handshake; and again if the identity was replaced during the
  // handshake, or the peer says that it did not process the request.
  std::unique_ptr<Request> Open(TunnelTarget target, ConnectRequest request, Callback done);

  // Makes one more tunnel to `target` for the sake of its handshake: what that proves is recorded,
  // and the tunnel is one like others from then on. One that is being made already is as good. Past
  // a limit, of tunnels or of sockets, it ends with the handshake instead, or with the last stream
  // that waited for it.
  // `done` runs once, in a later turn, with what TunnelDialer::Dial says; not when this fails at
  // once, as Open, nor after the end of the pool. It leaves the pool alone.
  absl::Status Prove(const TunnelTarget& target, absl::AnyInvocable<void(absl::Status)> done);

  // Closes tunnels with an identity that has run out at the wall-clock time
  // `now`, unless they are kept.
  void CloseExpired(absl::Time now);
  // Closes tunnels whose peer `keep` does not accept any more.
  void CloseUnless(absl::AnyInvocable<bool(const PeerInfo& peer)> keep);

  // Whether the peer at `ip` has said within the last seconds that it takes no new streams
  // (GOAWAY) and not that it stays (ConnectSession::peer_stays), and no tunnel to it has been made
  // since: it is likely to be going, and then does not even answer a SYN for a moment.
  bool Leaving(const IpAddress& ip) const;

  size_t size() const { return tunnels_.size(); }
  std::vector<TunnelView> View() const;

 private:
  class Tunnel;
  class PooledStream;
  class PendingRequest;
  struct Key {
    SocketAddress address;
    std::vector<SpiffeId> allowed_peers;
    uint64_t generation;
    uint64_t epoch;
    friend bool operator==(const Key& a, const Key& b) {
      return a.generation == b.generation && a.epoch == b.epoch && a.address == b.address &&
             a.allowed_peers == b.allowed_peers;
    }
    template <typename H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.address, key.allowed_peers, key.generation, key.epoch);
    }
  };

  void Assign(PendingRequest* request, bool fresh);
  // Whether there is an identity to make tunnels to `target` with.
  absl::Status CheckTarget(const TunnelTarget& target) const;
  Key KeyOf(const TunnelTarget& target) const;
  Tunnel* FindUsable(const Key& key) const;
  // Past the limit of tunnels for a key: the least loaded that has room, bulk
  // or not; null: none.
  Tunnel* FindShared(const std::vector<Tunnel*>& tunnels) const;
  // Finds or makes a tunnel; ResourceExhausted past a limit.
  absl::StatusOr<Tunnel*> TunnelFor(const TunnelTarget& target, Key key, bool fresh);
  // Counts one more tunnel; ResourceExhausted past the limit of all.
  absl::Status CountOne();
  // Closes the tunnel that has been idle longest; false when none is idle.
  bool CloseLongestIdle();
  // Makes one that is counted already.
  Tunnel* NewTunnel(const TunnelTarget& target, Key key);
  void DrainAll();
  void NoteLeaving(const IpAddress& ip);
  void ScheduleReap() { reap_->Schedule(); }
  void Reap();

  EventLoop* const loop_;       // Not owned.
  TunnelDialer* const dialer_;  // Not owned.
  const Options options_;
  SharedCount own_count_;
  SharedCount* const count_;  // Not owned.
  const Metrics metrics_;
  OnSessionEnd on_session_end_;
  absl::optional<Identity> identity_;
  uint64_t epoch_ = 0;
  uint64_t made_ = 0;
  std::vector<std::unique_ptr<Tunnel>> tunnels_;
  // Those that may take streams.
  absl::flat_hash_map<Key, std::vector<Tunnel*>> usable_;
  // Until when each is.
  absl::flat_hash_map<IpAddress, absl::Duration> leaving_;
  std::unique_ptr<EventLoop::Deferred> reap_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TUNNEL_POOL_H_
