#ifndef BYRNIE_COMMON_HTTP_HTTP_SERVER_H_
#define BYRNIE_COMMON_HTTP_HTTP_SERVER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"

namespace byrnie {

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // Without the query: "/logging"
  std::vector<std::pair<std::string, std::string>> query;  // Percent-decoded, in order.
  std::string body;
  SocketAddress peer;
  // First value of `name`, or empty.
  absl::string_view QueryValue(absl::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// A small HTTP/1.1 server (RFC 9112) for admin pages, metrics and readiness; Boost.Beast's parser and serializer are
// fenced in the .cc. Lives on one loop, never a data loop. Requests are limited to 8 KiB of headers and 64 KiB of body, 64
// connections and 10 s per request; a larger, slower or malformed one is answered 4xx and closed.
//
// Routes are exact. GET implies HEAD. An unknown path is 404 with the list of paths; a known path with another method
// is 405 with Allow. Where `require_loopback_host` is set, a Host other than localhost, 127.0.0.1 or [::1] (any port)
// is 403, against DNS rebinding and requests forged through the application.
class HttpServer {
 public:
  using Handler = absl::AnyInvocable<HttpResponse(const HttpRequest&)>;
  struct Options {
    bool require_loopback_host = false;
  };
  struct Route {
    std::string method;  // "GET" or "POST"
    std::string path;
    Handler handler;  // Runs on the loop; must not block.
  };

  // Errors as TcpListener::Create.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Create(EventLoop* loop, const SocketAddress& address,
                                                            const Options& options,
                                                            std::vector<Route> routes);
  virtual ~HttpServer() = default;
  virtual SocketAddress address() const = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP_HTTP_SERVER_H_
