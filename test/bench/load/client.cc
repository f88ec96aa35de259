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

namespace {

// Lets time pass up to `when`. False when something failed before.
bool RunTo(absl::Duration when, Poller* poller, Measurement* measurement) {
  absl::Duration now = measurement->Now();
  for (; measurement->status().ok() && now < when; now = measurement->Now()) {
    poller->Turn(when - now);
  }
  return measurement->status().ok();
}

}  // namespace

bool RunWindow(const Options& options, Poller* poller, Measurement* measurement) {
  // On a machine that is busy with other things the first answer may take longer than the warm-up,
  // and a window may pass without any: neither is what is to be measured.
  if (!RunUntil(poller, measurement, "nothing was answered",
                [measurement] { return measurement->completed() > 0; }) ||
      !RunTo(measurement->Now() + options.warm_up, poller, measurement)) {
    return false;
  }
  measurement->Begin();
  if (!RunTo(measurement->Now() + options.window, poller, measurement) ||
      !RunUntil(poller, measurement, "nothing was answered in the window",
                [measurement] { return measurement->operations() > 0; })) {
    return false;
  }
  measurement->End();
  return measurement->status().ok();
}

}  // namespace byrnie::load
