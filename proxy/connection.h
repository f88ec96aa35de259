#ifndef BYRNIE_PROXY_CONNECTION_H_
#define BYRNIE_PROXY_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/event/event_loop.h"
#include "common/net/byte_stream.h"
#include "common/net/tcp_stream.h"
#include "proxy/access_record.h"
#include "proxy/flow_shard.h"
#include "proxy/hbone_headers.h"
#include "proxy/peer_info.h"
#include "proxy/relay.h"
#include "proxy/resolver.h"
#include "proxy/stage_times.h"
#include "proxy/tcp_metrics.h"
#include "proxy/worker_context.h"

namespace byrnie {

// What an end has sent that has reset since is delivered to one that can be connected to within
// this time: also where the first SYN was lost, which Linux sends again after a second.
constexpr absl::Duration kLastWords = absl::Milliseconds(1500);

// One application connection through the proxy, from accept to its line in the access log. Lives on
// its worker's loop; owned by the ConnectionRegistry.
//
// States: deciding → connecting → open (a relay runs) → ended. Whatever the way, Finish is reached
// once: it logs, counts and asks the registry for the end of the object at the end of the turn.
class Connection {
 public:
  // For the admin page, which makes text of it: a worker has thousands of them to give.
  struct View {
    uint64_t id = 0;
    AccessRecord::Direction direction = AccessRecord::Direction::kOutbound;
    absl::string_view state;  // A literal.
    SocketAddress source;
    SocketAddress original_destination;
    absl::optional<SocketAddress> destination;
    std::string service;
    // Null for plaintext.
    std::shared_ptr<const PeerInfo> peer;
    // As set_admitted_by; null: nothing has decided.
    std::shared_ptr<const std::string> admitted_by;
    // Its HTTP/2 stream in its tunnel, PeerInfo::tunnel; 0: none.
    int32_t stream = 0;
    StageTimes stages;
    uint64_t bytes_sent = 0;
    uint64_t bytes_received = 0;
    uint64_t buffered = 0;
    absl::Duration age;
  };

  // What to show; empty: anything.
  struct Filter {
    absl::optional<AccessRecord::Direction> direction;
    std::string peer;
    // Of each worker, the oldest first.
    size_t limit = 10000;

    bool Admits(const Connection& connection) const;
  };

  // Whether it is one of the connections open from the beginning, or from when it says so.
  enum class Counted { kAtOnce, kLater };

  Connection(WorkerContext* context, AccessRecord::Direction direction,
             AccessRecord::Protocol protocol, Counted counted = Counted::kAtOnce);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  virtual ~Connection();

  uint64_t id() const { return id_; }
  void set_id(uint64_t id) { id_ = id; }
  AccessRecord::Direction direction() const { return direction_; }

  // For the record: what was said with the request for it.
  void set_claims(ConnectClaims claims) {
    claims_ = std::make_unique<ConnectClaims>(std::move(claims));
  }

  // Begins; called once by the registry.
  virtual void Start() = 0;
  // The answer to WorkerContext::resolve.
  virtual void OnResolved(Resolver::Outcome outcome) { static_cast<void>(outcome); }
  // Whether it may go on after policies or trust have changed; otherwise the reason. Only asked
  // while it is not ended.
  virtual absl::optional<std::string> Recheck() { return absl::nullopt; }

  // Ends it, both sides reset after what they have taken, unless it is ending already.
  void Abort(absl::string_view reason, absl::string_view detail);
  // The same for one that is not allowed any more: nothing that waits for a slow reader is
  // delivered, nor is anything of an end that has begun already.
  void Cut(absl::string_view reason, absl::string_view detail);

  // Ends one that Abort may have begun to end, for the process does: what is not delivered is
  // dropped, but for what the kernel delivers by itself.
  void GiveUp(absl::string_view reason, absl::string_view detail);

  // Ends it when it has been open for as long as connections may.
  void AbortIfAged();

  // Both ends of its tunnel; null without one.
  const std::shared_ptr<const PeerInfo>& peer() const { return peer_; }
  View MakeView() const;
  // Adds to the metrics what has moved since the last call.
  void CountBytes();

 protected:
  EventLoop* loop() const { return context_->loop; }
  WorkerContext* context() const { return context_; }
  bool ended() const { return ended_; }
  // It is one of the connections open from now on, as far as limits and metrics go. One that ends
  // before is counted as opened and closed at once.
  void Count();
  bool counted() const { return counted_; }

  // For the record.
  void set_source(const SocketAddress& source) { source_ = source; }
  const SocketAddress& source() const { return source_; }
  void set_original_destination(const SocketAddress& address) {
    original_destination_ = address;
    Complete(StageTimes::kDestination);
  }
  const SocketAddress& original_destination() const { return original_destination_; }
  void set_destination(const SocketAddress& address) { destination_ = address; }
  void set_service(std::string service) { service_ = std::move(service); }
  void set_route(AccessRecord::Route route) {
    route_ = route;
    Complete(StageTimes::kPolicy);
  }
  void set_attempts(int attempts) { attempts_ = attempts; }
  void set_last_failure(std::string failure) { last_failure_ = std::move(failure); }
  void set_lookup_failure(absl::string_view reason) { lookup_failure_ = reason; }
  void set_protocol(AccessRecord::Protocol protocol) { protocol_ = protocol; }
  // When the peer is verified, or is that of a tunnel.
  void set_peer(std::shared_ptr<const PeerInfo> peer);
  // The HTTP/2 stream that carries it.
  void set_stream(int32_t stream) { stream_ = stream; }
  // Why an inbound connection may be: of decision_reason with its policy's key, or that it is a
  // probe. Told again when it is decided again.
  void set_admitted_by(absl::string_view reason);
  // What the other end's proxy said when it refused or ended it, of the closed set.
  void set_peer_reason(absl::string_view reason) { peer_reason_ = reason; }
  // Has it asked, for telemetry, who has the source's address, where nobody has yet; not for each
  // connection, and nothing waits for the answer. Of a peer that is proven.
  void LearnSource();
  // For a stage that the calls above and StartRelay do not tell of.
  void Complete(StageTimes::Stage stage) { stages_.Complete(stage, loop()->Now()); }

  // Relays until both directions have ended. `first` and `second` are the sockets among the
  // streams, that are to be reset if this process dies; may be null.
  void StartRelay(std::unique_ptr<ByteStream> downstream, std::unique_ptr<ByteStream> upstream,
                  TcpStream* first, TcpStream* second);
  // Ends one that was under way to be carried, for what ends open ones.
  virtual void RefuseLate(AccessRecord::Result result, absl::string_view reason,
                          std::string detail) {
    Refuse(result, reason, std::move(detail));
  }
  // Ends a connection that carried nothing.
  void Refuse(AccessRecord::Result result, absl::string_view reason, std::string detail);

 private:
  void OnRelayDone(const RelayResult& result);
  void Finish(AccessRecord::Result result, absl::string_view reason, std::string detail,
              uint64_t bytes_sent, uint64_t bytes_received);
  void AddBytes(uint64_t sent, uint64_t received);
  void OpenSeries();
  FlowKeyView FlowKeyOf(AccessRecord::Result verdict) const;
  void NoteFirstBytes();
  AccessRecord MakeRecord() const;

  WorkerContext* const context_;  // Not owned.
  uint64_t id_ = 0;
  const AccessRecord::Direction direction_;
  AccessRecord::Protocol protocol_;
  AccessRecord::Route route_ = AccessRecord::Route::kNone;
  bool ended_ = false;
  bool counted_ = false;
  absl::Duration ends_at_ = absl::InfiniteDuration();
  StageTimes stages_;
  SocketAddress source_;
  SocketAddress original_destination_;
  absl::optional<SocketAddress> destination_;
  std::string service_;
  int attempts_ = 0;
  std::string last_failure_;
  absl::string_view lookup_failure_;  // Of a closed set.
  std::shared_ptr<const PeerInfo> peer_;
  std::unique_ptr<const ConnectClaims> claims_;  // Null: none.
  absl::string_view peer_reason_;
  std::shared_ptr<const std::string> admitted_by_;
  int32_t stream_ = 0;
  TcpSeries series_;
  FlowShard::Handle flow_ = nullptr;  // Null: it is not carried, or nobody counts.
  // What the metrics have been given.
  uint64_t counted_sent_ = 0;
  uint64_t counted_received_ = 0;
  // Of Abort or Cut; empty otherwise.
  std::string abort_reason_;
  std::unique_ptr<Relay> relay_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_CONNECTION_H_
