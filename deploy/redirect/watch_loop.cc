#include "deploy/redirect/watch_loop.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/unique_fd.h"

namespace byrnie {
namespace {

constexpr int kEveryMilliseconds = 1000;
// Between two checks while somebody keeps changing nf_tables: so many times what a check takes, so
// that it costs no CPU to speak of.
constexpr int kShare = 20;
constexpr int kAtLeastMilliseconds = 20;

// Hears of each change of nf_tables; none where the kernel does not tell, and then the check each
// second is what is left.
UniqueFd ListenForChanges() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
  if (!fd) return fd;
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1u << (NFNLGRP_NFTABLES - 1);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fd.reset();
  return fd;
}

void Discard(int fd) {
  char buffer[8192];
  // ENOBUFS: more was said than fits, which says the same.
  while (recv(fd, buffer, sizeof(buffer), 0) >= 0 || errno == ENOBUFS) {
  }
}

}  // namespace

absl::Status RunWatch(Watch* watch) {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  sigprocmask(SIG_BLOCK, &ending, nullptr);
  const UniqueFd signals(signalfd(-1, &ending, SFD_CLOEXEC));
  if (!signals) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot listen for signals: ", strerror(errno)));
  }
  // Before the first check, so that no change falls between.
  const UniqueFd changes = ListenForChanges();
  watch->Start();
  while (true) {
    const absl::Time before = absl::Now();
    watch->Check();
    const int64_t pause =
        std::clamp<int64_t>(absl::ToInt64Milliseconds(absl::Now() - before) * kShare,
                            kAtLeastMilliseconds, kEveryMilliseconds);
    // What the check itself has changed is heard of too, and does no harm but one more check.
    pollfd fds[] = {{signals.get(), POLLIN, 0}, {changes.get(), POLLIN, 0}};
    if (poll(fds, 1, static_cast<int>(pause)) > 0) return absl::OkStatus();
    if (poll(fds, 2, static_cast<int>(kEveryMilliseconds - pause)) < 0 && errno != EINTR) {
      return absl::InternalError(absl::StrCat("cannot wait: ", strerror(errno)));
    }
    if (fds[0].revents != 0) return absl::OkStatus();
    if (fds[1].revents != 0) Discard(changes.get());
  }
}

}  // namespace byrnie
