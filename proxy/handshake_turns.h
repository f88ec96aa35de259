#ifndef BYRNIE_PROXY_HANDSHAKE_TURNS_H_
#define BYRNIE_PROXY_HANDSHAKE_TURNS_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"
#include "common/telemetry/metrics.h"
#include "proxy/handshake_counts.h"
#include "proxy/handshake_queue.h"

namespace byrnie {

// Whose handshake of direct mTLS begins next: clients that have spoken wait here for their turn, of
// which there is one per turn of the loop; sources take turns, each with no more than its share.
// Those that have not spoken are counted, and make room first. Beside HandshakeGate, which has the
// connections to the tunnel port, and owns them; these belong to themselves. Lives on one loop.
class HandshakeTurns {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    // It is silent and about to make room: to see what has come meanwhile, and speak or leave.
    virtual void LookAgain() = 0;
    // It is this one's turn: shake hands.
    virtual void OnTurn() = 0;
    // It has to end, to make room, silent, waiting or shaking hands. Not counted any more.
    virtual void OnEvicted() = 0;
  };
  struct Place {
    HandshakeQueue::Outcome outcome = HandshakeQueue::Outcome::kAdmitted;
    // Of Leave, when it is admitted.
    uint64_t id = 0;
  };

  // `limits` are those of all that share `counts`. `open` shows how many are here, beside what
  // others add to it. Both outlive this.
  HandshakeTurns(EventLoop* loop, const HandshakeQueue::Limits& limits, HandshakeCounts* counts,
                 Gauge* open);
  HandshakeTurns(const HandshakeTurns&) = delete;
  HandshakeTurns& operator=(const HandshakeTurns&) = delete;

  // Takes `client`, which lives until it leaves or is evicted, as a silent one. May evict another
  // one at once.
  Place Join(const IpAddress& source, Client* client);
  // It is not silent any more: puts it in line; OnTurn comes in a later turn. Nothing for one that
  // is not silent.
  void Spoke(uint64_t id);
  // It is gone, or its handshake is over. Nothing for one that was evicted.
  void Leave(uint64_t id);

  // See HandshakeQueue.
  bool Crowded(const IpAddress& source) const { return queue_.Crowded(source); }
  // Those who are silent, wait or shake hands.
  size_t size() const { return queue_.size(); }
  const HandshakeQueue::Limits& limits() const { return queue_.limits(); }

 private:
  void Turn();

  HandshakeQueue queue_;
  Gauge* const open_;                               // Not owned.
  absl::flat_hash_map<uint64_t, Client*> clients_;  // Not owned.
  std::unique_ptr<EventLoop::Deferred> turn_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_HANDSHAKE_TURNS_H_
