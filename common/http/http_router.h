#ifndef BYRNIE_COMMON_HTTP_HTTP_ROUTER_H_
#define BYRNIE_COMMON_HTTP_HTTP_ROUTER_H_

#include <memory>
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

// A request whose answer comes later. Destroying it says that nobody waits for the answer any more.
class PendingHttpAnswer {
 public:
  virtual ~PendingHttpAnswer() = default;
};

// Finds the handler of a request and says no to what may not reach one. Lives on one loop.
class HttpRouter {
 public:
  using Handler = absl::AnyInvocable<HttpResponse(const HttpRequest&)>;
  // Gives the answer to a request that waits for it.
  using Respond = absl::AnyInvocable<void(HttpResponse)>;
  // Begins with what takes its time, and calls `respond` once, in a later turn, unless what it
  // returned is destroyed before. Nothing but this ends the wait, save a client that leaves: it has
  // a deadline of its own.
  using DeferredHandler =
      absl::AnyInvocable<std::unique_ptr<PendingHttpAnswer>(const HttpRequest&, Respond respond)>;
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
    // In place of `handler`, which is null then. Runs on the loop, too.
    DeferredHandler deferred = nullptr;
  };
  struct Answer {
    HttpResponse response;
    std::string allow;  // For the Allow field; empty: none.
    // Not null: the answer is given to `respond`, and the rest of this is nothing.
    std::unique_ptr<PendingHttpAnswer> pending = nullptr;
  };

  HttpRouter(const Options& options, std::vector<Route> routes);

  // Answers one request: what the handler says, or 400 (no Host or several, RFC 9112 section 3.2),
  // 403, 404, 405. `respond` is called by a deferred handler alone.
  Answer Handle(const ParsedHttpRequest& request, Respond respond);

 private:
  const Options options_;
  std::vector<Route> routes_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP_HTTP_ROUTER_H_
