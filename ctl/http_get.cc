#include "ctl/http_get.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

constexpr size_t kMaxPage = 64 * 1024 * 1024;
constexpr char kTaken[] = "byrnie/taken";
constexpr char kRefused[] = "byrnie/refused";

// How long is left, counted from its making.
class Deadline {
 public:
  explicit Deadline(absl::Duration timeout) : end_(clock_.MonotonicNow() + timeout) {}
  int LeftMs() const {
    return static_cast<int>(
        std::max<int64_t>(0, absl::ToInt64Milliseconds(
                                 absl::Ceil(end_ - clock_.MonotonicNow(), absl::Milliseconds(1)))));
  }

 private:
  const SystemClock clock_;
  const absl::Duration end_;
};

absl::Status Late(const SocketAddress& address) {
  return absl::DeadlineExceededError(absl::StrCat(address.ToString(), " does not answer"));
}

absl::Status Failed(const SocketAddress& address, int error) {
  absl::Status status =
      absl::UnavailableError(absl::StrCat(address.ToString(), ": ", ::strerror(error)));
  // All else is of this machine or of the way: no route, no such family, no right to go there.
  return error == ECONNREFUSED ? Refused(std::move(status)) : status;
}

// Somebody took the connection, and ended it without an answer.
absl::Status Ended(const SocketAddress& address, int error) {
  return absl::AbortedError(
      absl::StrCat(address.ToString(), " ended the connection: ", ::strerror(error)));
}

bool WaitFor(int fd, short events, const Deadline& deadline) {
  pollfd waiting{fd, events, 0};
  int ready;
  do {
    ready = ::poll(&waiting, 1, deadline.LeftMs());
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

absl::StatusOr<UniqueFd> Connect(const SocketAddress& address, const Deadline& deadline) {
  sockaddr_storage storage;
  const socklen_t length = address.ToSockaddr(&storage);
  UniqueFd fd(::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Failed(address, errno);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) == 0) return fd;
  if (errno != EINPROGRESS) return Failed(address, errno);
  if (!WaitFor(fd.get(), POLLOUT, deadline)) return Late(address);
  int error = 0;
  socklen_t size = sizeof(error);
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  // One that was taken and reset at once is a connection, too.
  if (error != 0 && error != ECONNRESET) return Failed(address, error);
  return fd;
}

absl::StatusOr<HttpPage> Parse(const std::string& answer) {
  HttpPage page;
  const size_t end = answer.find("\r\n\r\n");
  if (!absl::StartsWith(answer, "HTTP/1.") || end == std::string::npos || answer.size() < 12 ||
      !absl::SimpleAtoi(answer.substr(9, 3), &page.status)) {
    return absl::InvalidArgumentError("the answer is not HTTP");
  }
  page.body = answer.substr(end + 4);
  return page;
}

}  // namespace

absl::StatusOr<HttpPage> HttpRequestPage(const SocketAddress& address, absl::string_view method,
                                         absl::string_view path, absl::Duration timeout) {
  const Deadline deadline(timeout);
  ASSIGN_OR_RETURN(UniqueFd fd, Connect(address, deadline));
  // Admin pages answer to loopback names alone, which is what a forwarded port is, too.
  const std::string request = absl::StrCat(method, " ", path, " HTTP/1.0\r\nHost: localhost\r\n",
                                           "Content-Length: 0\r\nConnection: close\r\n\r\n");
  size_t sent = 0;
  while (sent < request.size()) {
    if (!WaitFor(fd.get(), POLLOUT, deadline)) return Taken(Late(address));
    const ssize_t n = ::send(fd.get(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return Ended(address, errno);
    if (n > 0) sent += static_cast<size_t>(n);
  }
  std::string answer;
  char buffer[16384];
  for (;;) {
    if (!WaitFor(fd.get(), POLLIN, deadline)) return Taken(Late(address));
    const ssize_t n = ::recv(fd.get(), buffer, sizeof(buffer), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0) return Ended(address, errno);
    if (n == 0) return Parse(answer);
    answer.append(buffer, static_cast<size_t>(n));
    if (answer.size() > kMaxPage) return absl::InvalidArgumentError("the page is too long");
  }
}

bool WasTaken(const absl::Status& status) { return status.GetPayload(kTaken).has_value(); }

absl::Status Taken(absl::Status status) {
  status.SetPayload(kTaken, absl::Cord());
  return status;
}

bool WasRefused(const absl::Status& status) { return status.GetPayload(kRefused).has_value(); }

absl::Status Refused(absl::Status status) {
  status.SetPayload(kRefused, absl::Cord());
  return status;
}

absl::StatusOr<UniqueFd> ConnectWithin(const SocketAddress& address, absl::Duration timeout) {
  return Connect(address, Deadline(timeout));
}

bool EndsWithin(const UniqueFd& connection, absl::Duration timeout) {
  if (!WaitFor(connection.get(), POLLIN, Deadline(timeout))) return false;
  char byte;
  return ::recv(connection.get(), &byte, 1, MSG_PEEK) <= 0;
}

uint16_t LocalPort(const UniqueFd& connection) {
  sockaddr_storage storage;
  socklen_t length = sizeof(storage);
  if (::getsockname(connection.get(), reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
    return 0;
  }
  const absl::StatusOr<SocketAddress> address = SocketAddress::FromSockaddr(storage);
  return address.ok() ? address->port() : 0;
}

}  // namespace byrnie
