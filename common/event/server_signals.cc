#include "common/event/server_signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {

absl::StatusOr<std::unique_ptr<ServerSignals>> ServerSignals::Create(EventLoop* loop,
                                                                     Handlers handlers) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  if (pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0) {
    return absl::InternalError("cannot block signals");
  }
  // A signal that is ignored is never queued: nohup ignores this one for its children.
  signal(SIGHUP, SIG_DFL);
  signal(SIGPIPE, SIG_IGN);
  UniqueFd fd(signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd.valid()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no descriptor for signals: ", strerror(errno)));
  }
  auto result = absl::WrapUnique(new ServerSignals(std::move(fd), std::move(handlers)));
  ASSIGN_OR_RETURN(result->watch_,
                   loop->Watch(result->fd_.get(), [signals = result.get()](EventLoop::FdEvents) {
                     signals->OnReadable();
                   }));
  return result;
}

ServerSignals::ServerSignals(UniqueFd fd, Handlers handlers)
    : fd_(std::move(fd)), handlers_(std::move(handlers)) {}

ServerSignals::~ServerSignals() = default;

void ServerSignals::OnReadable() {
  signalfd_siginfo info;
  while (read(fd_.get(), &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo == SIGHUP) {
      handlers_.on_hangup();
    } else {
      handlers_.on_end();
    }
  }
}

}  // namespace byrnie
