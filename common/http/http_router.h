#ifndef BYRNIE_COMMON_HTTP_HTTP_ROUTER_H_
#define BYRNIE_COMMON_HTTP_HTTP_ROUTER_H_

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/http/http_codec.h"
#include "common/http/http_message.h"

namespace byrnie {

// Decides who may change something. Called on the server's loop.
class MutationGuard {
 public:
  virtual ~MutationGuard() = default;
  // Anything but OK refuses the request; the message goes to the client.
  virtual absl::Status Check(const HttpRequest& request) const = 0;
};

// Finds the handler of a request and says no to what may not reach one. Lives on one loop.
class HttpRouter {
 public:
  using Handler = absl::AnyInvocable<HttpResponse(const HttpRequest&)>;
  struct Options {
    // Serve only requests whose Host, and Origin if any, is localhost, 127.0.0.1 or [::1].
    bool require_loopback_host = false;
    // Asked before each handler that is not of GET; null: everybody may. Outlives the router.
    const MutationGuard* guard = nullptr;
  };
  struct Route {
    std::string method;  // "GET" or "POST"
    std::string path;
    Handler handler;  // Runs on the loop; must not block.
  };
  struct Answer {
    HttpResponse response;
    std::string allow;  // For the Allow field; empty: none.
  };

  HttpRouter(const Options& options, std::vector<Route> routes);

  // Answers one request: what the handler says, or 400 (no Host or several, RFC 9112 section 3.2),
  // 403, 404, 405.
  Answer Handle(const ParsedHttpRequest& request);

 private:
  const Options options_;
  std::vector<Route> routes_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP_HTTP_ROUTER_H_
