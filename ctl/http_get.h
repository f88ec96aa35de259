#ifndef BYRNIE_CTL_HTTP_GET_H_
#define BYRNIE_CTL_HTTP_GET_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/unique_fd.h"
#include "common/net/socket_address.h"

namespace byrnie {

// What a page answered.
struct HttpPage {
  int status = 0;
  std::string body;
};

// Asks a page of a proxy, an agent or a control plane, over plain HTTP/1.0 (RFC 1945), which all of
// them answer with a close. Blocks, at most `timeout`. Unavailable when nobody listens or there is
// no way there from here (WasRefused() tells which), DeadlineExceeded when nobody answers in time
// (WasTaken() tells whether the connection came about), Aborted when the connection is taken and
// reset, InvalidArgument when what comes is no HTTP.
absl::StatusOr<HttpPage> HttpRequestPage(const SocketAddress& address, absl::string_view method,
                                         absl::string_view path, absl::Duration timeout);
inline absl::StatusOr<HttpPage> HttpGet(const SocketAddress& address, absl::string_view path,
                                        absl::Duration timeout) {
  return HttpRequestPage(address, "GET", path, timeout);
}

// Of an error: there was a connection, and then no answer. That is how a process that hangs looks,
// whose kernel goes on taking connections.
bool WasTaken(const absl::Status& status);
// Marks an error as such.
absl::Status Taken(absl::Status status);

// Of an error: somebody has said that nobody listens there. Without it nothing is known of the
// other end.
bool WasRefused(const absl::Status& status);
// Marks an error as such.
absl::Status Refused(absl::Status status);

// Connects to an address. Errors as above.
absl::StatusOr<UniqueFd> ConnectWithin(const SocketAddress& address, absl::Duration timeout);

// Waits for the other end to say something or to end. True: it has ended or reset the connection;
// false: it is open when `timeout` is over, or has sent something.
bool EndsWithin(const UniqueFd& connection, absl::Duration timeout);

// The port that this end of a connection has.
uint16_t LocalPort(const UniqueFd& connection);

}  // namespace byrnie

#endif  // BYRNIE_CTL_HTTP_GET_H_
