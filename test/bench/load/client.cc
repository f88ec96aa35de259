#include "test/bench/load/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/net/socket.h"

namespace byrnie::load {

absl::StatusOr<UniqueFd> StartConnecting(const SocketAddress& to) {
  ASSIGN_OR_RETURN(UniqueFd fd, NewStreamSocket(to.ip().is_v4() ? AF_INET : AF_INET6));
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  sockaddr_storage storage;
  const socklen_t size = to.ToSockaddr(&storage);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&storage), size) != 0 &&
      errno != EINPROGRESS) {
    return ConnectionError(errno, absl::StrCat("cannot connect to ", to.ToString()));
  }
  return fd;
}

bool RunWindow(const Options& options, Poller* poller, Measurement* measurement) {
  const absl::Duration begin = measurement->Now() + options.warm_up;
  const absl::Duration end = begin + options.window;
  while (measurement->status().ok()) {
    const absl::Duration now = measurement->Now();
    if (now >= begin && measurement->state() == Measurement::State::kBefore) measurement->Begin();
    if (now >= end) {
      measurement->End();
      if (measurement->operations() == 0) {
        measurement->Fail(absl::DeadlineExceededError("nothing was answered"));
      }
      break;
    }
    poller->Turn((now < begin ? begin : end) - now);
  }
  return measurement->status().ok();
}

}  // namespace byrnie::load
