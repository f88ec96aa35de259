#ifndef BYRNIE_COMMON_HTTP_HTTP_SERVER_H_
#define BYRNIE_COMMON_HTTP_HTTP_SERVER_H_

#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "common/event/event_loop.h"
#include "common/http/http_message.h"
#include "common/http/http_router.h"
#include "common/net/socket_address.h"

namespace byrnie {

// A small HTTP/1.1 server (RFC 9112) for admin pages, metrics and readiness; Boost.Beast's parser
// and serializer are fenced in the .cc. Lives on one loop, never a data loop. Requests are limited
// to 8 KiB of headers and 64 KiB of body, 64 connections and 10 s per request; a larger, slower or
// malformed one is answered 4xx and closed.
//
// A connection beyond the 64 is closed at once. Handlers must not destroy the server: Post that.
//
// Routes are exact. GET implies HEAD. An unknown path is 404 with the list of paths; a known path
// with another method is 405 with Allow. Where `require_loopback_host` is set, a Host other than
// localhost, 127.0.0.1 or [::1] (any port) is 403, against DNS rebinding and requests forged
// through the application.
class HttpServer {
 public:
  using Handler = HttpRouter::Handler;
  using Options = HttpRouter::Options;
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
