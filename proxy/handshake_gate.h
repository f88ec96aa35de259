#ifndef BYRNIE_PROXY_HANDSHAKE_GATE_H_
#define BYRNIE_PROXY_HANDSHAKE_GATE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_stream.h"
#include "proxy/handshake_queue.h"

namespace byrnie {

// Connections to the tunnel port before their handshake. One that says nothing costs a socket, not
// a TLS session, and is ended after `first_byte_timeout` where others need the room or the worker
// drains, else when the time for its handshake is over; the others are handed on one per turn of
// the loop, sources taking turns, so that in a flood of handshakes the
// data of the tunnels that are there is served in between. Lives on one loop; its limits are of all
// gates that share their counts.
class HandshakeGate {
 public:
  struct Options {
    HandshakeQueue::Limits limits;
    absl::Duration first_byte_timeout = absl::Seconds(1);
    // From the arrival to the end of the handshake; the gate ends what is silent or still in line
    // by then.
    absl::Duration handshake_timeout = absl::Seconds(5);
  };
  struct Note {
    virtual ~Note() = default;
  };
  struct Arrival {
    uint64_t id = 0;
    std::unique_ptr<TcpStream> stream;
    SocketAddress source;
    IpAddress local;
    absl::Duration arrived;
    // What the owner of the gate needs to know again at OnTurn.
    std::unique_ptr<Note> note;
  };
  // Owns nothing that the gate needs; may call the gate.
  class Handler {
   public:
    virtual ~Handler() = default;
    // It is the arrival's turn: shake hands, and say Done(id) when that is over.
    virtual void OnTurn(Arrival arrival) = 0;
    // The connection has been ended; `reason` is of tunnel_reason. `stream` is for addresses alone.
    virtual void OnRefused(const Arrival& arrival, absl::string_view reason,
                           std::string detail) = 0;
    // A handshake under way has to end, to make room. Not counted any more.
    virtual void OnEvicted(uint64_t id) = 0;
  };

  // `counts` and `handler` outlive the gate.
  HandshakeGate(EventLoop* loop, const Options& options, HandshakeCounts* counts, Handler* handler);
  HandshakeGate(const HandshakeGate&) = delete;
  HandshakeGate& operator=(const HandshakeGate&) = delete;
  ~HandshakeGate();

  void Accept(std::unique_ptr<TcpStream> stream, const SocketAddress& source,
              const IpAddress& local, std::unique_ptr<Note> note = nullptr);
  // The handshake of `id` is over, whatever came of it.
  void Done(uint64_t id) { queue_.Remove(id); }

  // Whoever is silent for `first_byte_timeout` is ended from now on: the worker is to end soon.
  void Hurry() { hurried_ = true; }

  // Connections here that have not proven themselves, those handed on included.
  size_t size() const { return queue_.size(); }

 private:
  class Waiting;

  void OnFirstByte(Waiting* waiting);
  void OnTimeout(Waiting* waiting);
  void Refuse(Waiting* waiting, absl::string_view reason, std::string detail);
  void Evict(uint64_t id);
  void Turn();

  EventLoop* const loop_;  // Not owned.
  const Options options_;
  Handler* const handler_;  // Not owned.
  HandshakeQueue queue_;
  bool hurried_ = false;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Waiting>> waiting_;
  // Dead at the end of the turn: some are in their own upcall.
  std::vector<std::unique_ptr<Waiting>> ended_;
  std::unique_ptr<EventLoop::Deferred> turn_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_HANDSHAKE_GATE_H_
