#ifndef BYRNIE_COMMON_HTTP_HTTP_MESSAGE_H_
#define BYRNIE_COMMON_HTTP_HTTP_MESSAGE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/net/socket_address.h"

namespace byrnie {

// A request as a handler sees it. A value.
struct HttpRequest {
  std::string method;                                      // "GET"; also "HEAD" for a GET route.
  std::string path;                                        // Without the query: "/logging"
  std::vector<std::pair<std::string, std::string>> query;  // Percent-decoded, in order.
  std::string content_type;  // The field of that name; empty: there was none.
  std::string user_agent;    // Likewise.
  std::string body;
  SocketAddress peer;
  SocketAddress local;  // The server's end.
  // First value of `name`, or empty.
  absl::string_view QueryValue(absl::string_view name) const;
};

// What a handler answers. A value.
struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  // Further header fields, name and value; of the server's own making.
  std::vector<std::pair<std::string, std::string>> headers = {};
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP_HTTP_MESSAGE_H_
