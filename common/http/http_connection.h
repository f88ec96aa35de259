#ifndef BYRNIE_COMMON_HTTP_HTTP_CONNECTION_H_
#define BYRNIE_COMMON_HTTP_HTTP_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/event/event_loop.h"
#include "common/http/http_codec.h"
#include "common/http/http_router.h"
#include "common/net/byte_stream.h"
#include "common/net/socket_address.h"

namespace byrnie {

// What the requests of one server hold that have not come whole, and the bodies of those whose
// answer is deferred: its connections share it.
struct HttpRequestMemory {
  size_t max = std::numeric_limits<size_t>::max();
  // Of one client address, so that none has it all.
  size_t max_of_client = std::numeric_limits<size_t>::max();
  size_t held = 0;
  absl::flat_hash_map<IpAddress, size_t> held_of_client = {};
};

// What a connection may take, of time and of memory.
struct HttpConnectionLimits {
  // From the first byte of a request until its answer is taken by the peer; a deferred answer comes
  // when it comes, and has as long to be taken.
  absl::Duration request = absl::Seconds(10);
  // From the start until the first byte of the first request: enough for a lost packet to be sent
  // again, little enough to be worth nothing to a hoarder.
  absl::Duration first_byte = absl::Seconds(2);
  // Between two requests. A client that keeps connections for longer may send a request to one that
  // is closed just then, and cannot know whether it was done.
  absl::Duration idle = absl::Seconds(10);
  size_t max_body = HttpRequestParser::kMaxBodySize;
};

// One server-side HTTP/1.1 connection over any ByteStream: reads a request, answers it, and only
// then reads on, so that pipelined requests wait in the transport. Lives on one loop.
//
// States: serving → lingering (the last answer is sent; what still comes is dropped so that the
// kernel does not reset the answer away, RFC 9112 section 9.6) → done. A request that comes too
// slowly is answered 408, one for which there is no memory 503.
//
// While an answer is deferred next to nothing is read: enough to hear that the client has left,
// which ends the wait.
class HttpConnection final : public ByteStream::Observer {
 public:
  static constexpr absl::Duration kLingerTimeout = absl::Seconds(2);

  // What would be lost if the connection were dropped now, least first.
  enum class Standing {
    kIdle,        // Nothing: its requests are answered, or it waits to be closed.
    kUnanswered,  // A request that has not come yet, wholly or in part.
    kAnswering,   // An answer that the peer has not taken yet, or that is still being made.
  };

  // `peer` and `local` are the two ends. `router` and `memory`, null for no limit, outlive this.
  // `on_done` runs once, from the loop or from TakeWhatHasCome, and must not destroy this before
  // the end of the turn.
  HttpConnection(EventLoop* loop, std::unique_ptr<ByteStream> stream, const SocketAddress& peer,
                 const SocketAddress& local, HttpRouter* router, absl::AnyInvocable<void()> on_done,
                 const HttpConnectionLimits& limits = {}, HttpRequestMemory* memory = nullptr);
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;
  ~HttpConnection() override;

  // Closes the connection once the requests that have come are answered; on_done follows when the
  // peer has closed it too, possibly in this call.
  void Drain();

  // Reads at once what lies in the transport, and answers it where that makes a request, or begins
  // to; true when it did.
  bool TakeWhatHasCome();
  Standing standing() const;
  const SocketAddress& peer() const { return peer_; }

  void OnReadable() override;
  void OnWritable() override;

 private:
  enum class State { kServing, kLingering, kDone };
  enum class Progress { kMore, kBlocked };

  void Run();
  Progress Step();
  Progress Await();
  Progress WriteOutput();
  Progress ReadInput();
  void BeginRequest();
  // Counts what has come of a request; false: there is no memory for it.
  bool Hold(size_t bytes);
  // Counts no more than `rest` from now on.
  void Release(size_t rest = 0);
  // Uses what has been read; false when more is needed.
  bool ParseInput();
  void Answer(HttpResponse response, const std::string& allow, const ParsedHttpRequest* request);
  void OnTimeout();
  Progress Linger();
  void Finish();

  EventLoop* const loop_;  // Not owned.
  const std::unique_ptr<ByteStream> stream_;
  const SocketAddress peer_;
  const SocketAddress local_;
  HttpRouter* const router_;  // Not owned.
  absl::AnyInvocable<void()> on_done_;
  const HttpConnectionLimits limits_;
  HttpRequestMemory* const memory_;  // Not owned; may be null.

  State state_ = State::kServing;
  std::unique_ptr<HttpRequestParser> parser_;
  std::string input_;
  size_t held_ = 0;
  bool request_begun_ = false;
  uint64_t answers_ = 0;
  // A deferred answer, what was asked, and the answer once it is there.
  std::unique_ptr<PendingHttpAnswer> pending_;
  ParsedHttpRequest asked_;
  absl::optional<HttpResponse> deferred_;
  // On its way, and what follows it; nothing follows an empty one.
  std::string output_;
  size_t output_sent_ = 0;
  std::string body_;
  bool close_after_output_ = false;
  bool draining_ = false;
  size_t lingered_ = 0;

  std::unique_ptr<EventLoop::Timer> timeout_;
  std::unique_ptr<EventLoop::Deferred> resume_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP_HTTP_CONNECTION_H_
