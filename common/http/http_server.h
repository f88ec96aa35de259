#ifndef BYRNIE_COMMON_HTTP_HTTP_SERVER_H_
#define BYRNIE_COMMON_HTTP_HTTP_SERVER_H_

#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "common/event/event_loop.h"
#include "common/http/http_connection.h"
#include "common/http/http_message.h"
#include "common/http/http_router.h"
#include "common/net/byte_stream.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_stream.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// A small HTTP/1.1 server (RFC 9112) for admin pages, metrics and readiness; Boost.Beast's parser
// and serializer are fenced in the .cc. Lives on one loop, never a data loop. Requests are limited
// to 8 KiB of headers and to what Options says, unless told otherwise 64 KiB of body, 10 s and 64
// connections; a larger, slower or malformed one is answered 4xx and closed.
//
// A connection beyond the limit takes the place of another one, so that nobody who opens
// connections and says nothing can keep a probe out: of the client address with the most
// connections, the one that has least to lose and is oldest. What has come on it by then is still
// answered. Handlers must not destroy the server: Post that.
//
// Routes are exact. GET implies HEAD. An unknown path is 404 with the list of paths; a known path
// with another method is 405 with Allow. Where `require_loopback_host` is set, a Host other than
// localhost, 127.0.0.1 or [::1] (any port) is 403, against DNS rebinding and requests forged
// through the application.
class HttpServer {
 public:
  static constexpr size_t kMaxConnections = 64;
  using Handler = HttpRouter::Handler;
  struct Options : HttpRouter::Options {
    // Counts connections that were closed to make room. May be null; outlives the server.
    Counter* evicted = nullptr;
    // At least 1.
    size_t max_connections = kMaxConnections;
    HttpConnectionLimits limits;
    // Of the requests of all connections that have not come whole, and the bodies of those whose
    // answer is deferred; one more byte is 503. Of one client address, and of all.
    size_t max_held_of_client = std::numeric_limits<size_t>::max();
    size_t max_held = std::numeric_limits<size_t>::max();
    // What a connection is spoken over, such as TLS, of what was accepted. Null, or an answer of
    // null: the bytes are the socket's, or the connection is dropped. Runs on the loop.
    std::function<std::unique_ptr<ByteStream>(std::unique_ptr<TcpStream>)> transport;
  };
  using Route = HttpRouter::Route;

  // Errors as TcpListener::Create.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Create(EventLoop* loop,
                                                            const SocketAddress& address,
                                                            const Options& options,
                                                            std::vector<Route> routes);
  virtual ~HttpServer() = default;
  virtual SocketAddress address() const = 0;
  // Accepts no more, answers the requests that have come, and closes each connection when its peer
  // has taken the answer. `done` runs once, in a later turn, when none is left; nothing waits for
  // it, so whoever is in a hurry destroys the server. Call once.
  virtual void Drain(absl::AnyInvocable<void()> done) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP_HTTP_SERVER_H_
