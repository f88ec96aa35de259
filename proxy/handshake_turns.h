#ifndef BYRNIE_PROXY_HANDSHAKE_TURNS_H_
#define BYRNIE_PROXY_HANDSHAKE_TURNS_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"
#include "proxy/handshake_counts.h"
#include "proxy/handshake_queue.h"

namespace byrnie {

// Whose handshake of direct mTLS begins next: clients whose whole ClientHello has come wait here,
// and begin one per turn of the loop, sources taking turns, each with no more than its share.
// Beside HandshakeGate, which has the connections to the tunnel port from before their first byte.
// Lives on one loop.
class HandshakeTurns {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    // It is this one's turn: shake hands.
    virtual void OnTurn() = 0;
    // It has to end, to make room, waiting or shaking hands. Not counted any more.
    virtual void OnEvicted() = 0;
  };
  struct Place {
    HandshakeQueue::Outcome outcome = HandshakeQueue::Outcome::kAdmitted;
    // Of Leave, when it is admitted.
    uint64_t id = 0;
  };

  // `limits` are those of all that share `counts`, which outlives this.
  HandshakeTurns(EventLoop* loop, const HandshakeQueue::Limits& limits, HandshakeCounts* counts);
  HandshakeTurns(const HandshakeTurns&) = delete;
  HandshakeTurns& operator=(const HandshakeTurns&) = delete;

  // Puts `client`, which lives until it leaves or is evicted, in line; OnTurn comes in a later
  // turn. May evict another one at once.
  Place Join(const IpAddress& source, Client* client);
  // It is gone, or its handshake is over. Nothing for one that was evicted.
  void Leave(uint64_t id);

  // Those who wait and those who shake hands.
  size_t size() const { return queue_.size(); }
  const HandshakeQueue::Limits& limits() const { return queue_.limits(); }

 private:
  void Turn();

  HandshakeQueue queue_;
  absl::flat_hash_map<uint64_t, Client*> clients_;  // Not owned.
  std::unique_ptr<EventLoop::Deferred> turn_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_HANDSHAKE_TURNS_H_
