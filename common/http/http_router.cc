#include "common/http/http_router.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace byrnie {
namespace {

// "localhost", "localhost:15000", "127.0.0.1:1", "[::1]:1"; the port may be any number.
bool IsLoopbackHost(absl::string_view host) {
  for (const absl::string_view name : {"localhost", "127.0.0.1", "[::1]"}) {
    if (!absl::StartsWithIgnoreCase(host, name)) continue;
    absl::string_view port = host.substr(name.size());
    if (port.empty()) return true;
    if (port.size() < 2 || port[0] != ':') continue;
    port.remove_prefix(1);
    if (std::all_of(port.begin(), port.end(), absl::ascii_isdigit)) return true;
  }
  return false;
}

// An Origin is "null" or "scheme://host:port" (RFC 6454 section 7).
bool IsLoopbackOrigin(absl::string_view origin) {
  const size_t separator = origin.find("://");
  return separator != absl::string_view::npos && IsLoopbackHost(origin.substr(separator + 3));
}

HttpRouter::Answer Refuse(int status, std::string text) {
  HttpRouter::Answer answer;
  answer.response.status = status;
  answer.response.body = std::move(text);
  return answer;
}

}  // namespace

HttpRouter::HttpRouter(const Options& options, std::vector<Route> routes)
    : options_(options), routes_(std::move(routes)) {}

HttpRouter::Answer HttpRouter::Handle(const ParsedHttpRequest& request, Respond respond) {
  if (request.hosts.size() > 1 || (request.hosts.empty() && request.version >= 11)) {
    return Refuse(400, "exactly one Host header is needed\n");
  }
  if (options_.require_loopback_host) {
    if (request.hosts.empty() || !IsLoopbackHost(request.hosts[0])) {
      return Refuse(403, "this server is for the loopback only; use localhost as the host\n");
    }
    if (!std::all_of(request.origins.begin(), request.origins.end(), IsLoopbackOrigin)) {
      return Refuse(403, "requests made by pages of other origins are refused\n");
    }
  }
  std::set<std::string> allowed;
  for (Route& route : routes_) {
    if (route.path != request.message.path) continue;
    const bool is_get = route.method == "GET";
    if (request.message.method == route.method || (is_get && request.message.method == "HEAD")) {
      if (!is_get && options_.guard != nullptr) {
        const absl::Status allowed_to = options_.guard->Check(request.message);
        if (!allowed_to.ok()) return Refuse(403, absl::StrCat(allowed_to.message(), "\n"));
      }
      if (route.deferred == nullptr) return {route.handler(request.message), ""};
      Answer answer;
      answer.pending = route.deferred(request.message, std::move(respond));
      return answer;
    }
    allowed.insert(route.method);
    if (is_get) allowed.insert("HEAD");
  }
  if (!allowed.empty()) {
    Answer answer = Refuse(405, "");
    answer.allow = absl::StrJoin(allowed, ", ");
    answer.response.body = absl::StrCat("method not allowed; use ", answer.allow, "\n");
    return answer;
  }
  std::set<std::string> paths;
  for (const Route& route : routes_) paths.insert(route.path);
  return Refuse(404, absl::StrCat("not found; there are ", absl::StrJoin(paths, ", "), "\n"));
}

}  // namespace byrnie
