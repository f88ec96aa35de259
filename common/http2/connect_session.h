#ifndef BYRNIE_COMMON_HTTP2_CONNECT_SESSION_H_
#define BYRNIE_COMMON_HTTP2_CONNECT_SESSION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/net/buffer_budget.h"
#include "common/net/byte_stream.h"
#include "common/net/scratch_pool.h"

namespace byrnie {

// Header fields beside the pseudo-header fields; names in lower case.
using HeaderList = std::vector<std::pair<std::string, std::string>>;

// An HTTP/2 CONNECT request (RFC 9113 section 8.5).
struct ConnectRequest {
  std::string authority;  // "10.0.0.1:8080"
  HeaderList headers;
};

// One tunnelled connection. States: requested → open (2xx) → each direction ends by itself, or
// refused, or reset. Until open, Read and Write give kWouldBlock on both sides. ShutdownWrite sends
// END_STREAM; Reset sends RST_STREAM after what was accepted. A peer that resets without an error
// after its END_STREAM stops our direction alone: Read gives the rest and kEof, Write kError.
// Destroying a stream that is not closed cancels it and leaves the session and its other streams
// alone. Lives on the session's loop, and may outlive the session: it is broken from then on
// (Unavailable).
class ConnectStream : public ByteStream {
 public:
  // Its number in the session (RFC 9113 section 5.1.1), for people.
  virtual int32_t id() const = 0;
  // Server: answers with 200 and opens the stream. Once, before Reject.
  virtual void Accept(const HeaderList& headers = {}) = 0;
  // Server: answers with `status` and `headers` and END_STREAM; the stream is then broken.
  virtual void Reject(int status, const HeaderList& headers = {}) = 0;
};

// An HTTP/2 connection that carries CONNECT streams (RFC 9113), over a ByteStream that is already
// authenticated; nghttp2 is fenced in the .cc. Lives on one loop. Both roles.
//
// Flow control: a stream's window is given back only as its reader takes the bytes, so memory is
// bounded by the readers; the connection window is the sum of what the streams may have open, so
// one slow reader never stalls another stream. A window begins small, grows while the peer uses all
// of it, the reader keeps up and the budget has room, and is not given back whole when the budget
// is short; `least_window` of it always is. A writer is told kWouldBlock past 64 KiB unsent per
// stream, or less when the budget is short.
//
// Liveness: a PING every `ping_interval` without traffic, or once a request has waited for
// `request_patience` without a word of the peer; nothing heard for `ping_timeout` after it breaks
// the session. Before that, after `silence` without a word, requests that are not answered end, and
// no new one is made until the peer is heard; open streams stay.
class ConnectSession {
 public:
  // What a DATA frame carries at most: with its header it is what the largest TLS record holds, so
  // that many in a row leave no small record at their end.
  static constexpr size_t kDataPerRecord = 16 * 1024 - 9;

  struct Options {
    uint32_t max_concurrent_streams = 200;
    // The least and the most a peer may send on a stream before its reader has taken it; the most
    // is that much again for each millisecond of the shortest round trip, up to 16 MiB. While
    // hardly any of the budget is in use it is wide_window: with less, one that sends as fast as it
    // can stands still while its last bytes are passed on.
    uint32_t least_window = 4 * 1024;
    uint32_t stream_window = 256 * 1024;
    uint32_t wide_window = 1024 * 1024;
    uint32_t max_frame_size = 64 * 1024;
    uint32_t max_header_list_size = 16 * 1024;
    absl::Duration ping_interval = absl::Seconds(10);
    absl::Duration ping_timeout = absl::Seconds(20);
    absl::Duration request_patience = absl::Seconds(1);
    absl::Duration silence = absl::Seconds(3);
    // Of the streams' and the session's buffers. Outlives the session and its streams; null: no
    // limit.
    BufferBudget* budget = nullptr;
    // Where what comes and goes within a turn is. Outlives the session; null: smaller memory of its
    // own.
    ScratchPool* scratch = nullptr;
  };

  // Upcalls, never inside a call to the session. The delegate outlives the session and may destroy
  // it in OnSessionClosed.
  class Delegate {
   public:
    virtual ~Delegate() = default;
    // Server: a peer asks for a tunnel. Answer with Accept or Reject, now or later. What is refused
    // by the protocol gets to OnBadRequest.
    virtual void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest request) = 0;
    // Server: a request that becomes no tunnel: InvalidArgument where it is malformed, no CONNECT
    // or too large, ResourceExhausted past the limit of streams. To be rejected with `http_status`,
    // or reset already: then `stream` is null and `http_status` 0. A peer that goes on so is ended.
    virtual void OnBadRequest(std::unique_ptr<ConnectStream> stream, int http_status,
                              const absl::Status& why);
    // The peer will take no new streams (GOAWAY); open ones go on.
    virtual void OnGoaway() = 0;
    // The last stream has ended, or OpenStream may succeed again.
    virtual void OnStreamsChanged() = 0;
    // The session is over; all its streams are broken. OK after a clean end. What the peer is to
    // blame for says so (PeerFaultOf).
    virtual void OnSessionClosed(const absl::Status& status) = 0;
  };

  // Client: the answer to OpenStream: OK for 2xx; PermissionDenied for 401 and 403, InvalidArgument
  // for 400, Unavailable for 503, others and a broken session; with an `http_status` of 0 Aborted
  // when the peer says that it did not process the request (REFUSED_STREAM, or a GOAWAY that names
  // an earlier stream as the last), and DeadlineExceeded when it is silent: it may be made again
  // elsewhere, because no byte of the stream has left. `headers` are the answer's.
  // Runs once, in a later turn; not after the stream has been destroyed.
  using ResponseCallback =
      absl::AnyInvocable<void(absl::Status status, int http_status, const HeaderList& headers)>;

  // What becomes of the end that says GOAWAY. With kStays the debug data of its first GOAWAY (RFC
  // 9113 section 6.8) is kStaysData; a GOAWAY with any other, or none, as everybody else sends it,
  // is one of an end that leaves.
  enum class After { kLeaves, kStays };
  static constexpr absl::string_view kStaysData = "byrnie: takes new connections";

  static std::unique_ptr<ConnectSession> CreateClient(EventLoop* loop,
                                                      std::unique_ptr<ByteStream> transport,
                                                      const Options& options, Delegate* delegate);
  static std::unique_ptr<ConnectSession> CreateServer(EventLoop* loop,
                                                      std::unique_ptr<ByteStream> transport,
                                                      const Options& options, Delegate* delegate);
  virtual ~ConnectSession() = default;

  // Client: opens a stream. ResourceExhausted at the peer's stream limit, Unavailable after GOAWAY
  // or the end, DeadlineExceeded while the peer is silent.
  virtual absl::StatusOr<std::unique_ptr<ConnectStream>> OpenStream(
      const ConnectRequest& request, ResponseCallback on_response) = 0;
  // True while OpenStream would succeed.
  virtual bool CanOpenStream() const = 0;
  // Client: nothing has been heard for Options::silence though it was asked.
  virtual bool silent() const = 0;
  virtual size_t open_streams() const = 0;
  // How many may be open at once: our limit, and for a client also what the peer has said by now.
  virtual size_t stream_limit() const = 0;
  // Says GOAWAY: no new streams from the peer; open ones go on; the session closes when the last
  // has ended. Idempotent: what the first call says of this end stays said.
  virtual void Drain(After after) = 0;
  void Drain() { Drain(After::kLeaves); }
  // GOAWAY with NO_ERROR and the end of the transport now, whatever is open. `after` is told unless
  // Drain has.
  virtual void Close(After after) = 0;
  void Close() { Close(After::kLeaves); }
  // The peer has said GOAWAY, and with it that it goes on taking connections: it has a new
  // certificate, say. Known when OnGoaway runs.
  virtual bool peer_stays() const = 0;
  // The transport, still owned by the session.
  virtual const ByteStream& transport() const = 0;
  // Client: from a PING sent to its answer, the last one measured; zero before.
  virtual absl::Duration round_trip() const = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_CONNECT_SESSION_H_
