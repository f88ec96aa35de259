#include "test/bench/load/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/net/socket.h"
#include "test/bench/load/bulk_order.h"
#include "test/bench/load/filler.h"

namespace byrnie::load {
namespace {

constexpr int kBacklog = 4096;
constexpr size_t kBlock = 64 * 1024;
constexpr int kAcceptedPerEvent = 64;

// Whether a call that returned `result` has met the connection's end.
bool Ended(ssize_t result) {
  return result == 0 || (result < 0 && errno != EAGAIN && errno != EINTR);
}

class EchoConnection final : public Handler {
 public:
  EchoConnection(Poller* poller, UniqueFd fd) : Handler(std::move(fd)), poller_(poller) {}

  bool OnEvents(uint32_t /*events*/) override {
    return unsent_.empty() ? OnReadable() : OnWritable();
  }

 private:
  bool OnReadable() {
    static char block[kBlock];
    const ssize_t got = recv(fd(), block, sizeof(block), 0);
    if (got <= 0) return !Ended(got);
    const ssize_t sent = send(fd(), block, static_cast<size_t>(got), MSG_NOSIGNAL);
    if (sent < 0 && Ended(sent)) return false;
    const size_t taken = static_cast<size_t>(std::max<ssize_t>(sent, 0));
    if (taken < static_cast<size_t>(got)) {
      unsent_.assign(block + taken, static_cast<size_t>(got) - taken);
      poller_->Watch(*this, EPOLLOUT);
    }
    return true;
  }

  bool OnWritable() {
    const ssize_t sent = send(fd(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent < 0) return !Ended(sent);
    unsent_.erase(0, static_cast<size_t>(sent));
    if (unsent_.empty()) poller_->Watch(*this, EPOLLIN);
    return true;
  }

  Poller* const poller_;  // Not owned.
  std::string unsent_;
};

class BulkConnection final : public Handler {
 public:
  BulkConnection(Poller* poller, UniqueFd fd) : Handler(std::move(fd)), poller_(poller) {}

  bool OnEvents(uint32_t /*events*/) override {
    if (to_send_ > 0) return Send();
    if (to_take_ > 0) return Take();
    return TakeOrder();
  }

 private:
  // A client waits for what it ordered before it orders anything else; so what comes with an order
  // belongs to it.
  bool TakeOrder() {
    char text[16];
    // No more than can belong to the order, for the rest is to be discarded where it is.
    const ssize_t got = recv(fd(), text, parser_.missing(), 0);
    if (got <= 0) return !Ended(got);
    absl::string_view data(text, static_cast<size_t>(got));
    switch (parser_.Parse(&data)) {
      case BulkOrderParser::State::kIncomplete:
        return true;
      case BulkOrderParser::State::kBad:
        return false;
      case BulkOrderParser::State::kComplete:
        break;
    }
    const BulkOrder order = parser_.order();
    parser_.Next();
    if (order.upload) {
      to_take_ = order.bytes;
    } else {
      to_send_ = order.bytes;
      poller_->Watch(*this, EPOLLOUT);
    }
    return true;
  }

  bool Take() {
    const ssize_t got = Discard(fd(), to_take_);
    if (got <= 0) return !Ended(got);
    to_take_ -= static_cast<uint64_t>(got);
    if (to_take_ == 0) {
      to_send_ = 1;
      poller_->Watch(*this, EPOLLOUT);
    }
    return true;
  }

  bool Send() {
    const ssize_t sent = SendFiller(fd(), to_send_);
    if (sent < 0) return !Ended(sent);
    to_send_ -= static_cast<uint64_t>(sent);
    if (to_send_ == 0) poller_->Watch(*this, EPOLLIN);
    return true;
  }

  Poller* const poller_;  // Not owned.
  BulkOrderParser parser_;
  uint64_t to_take_ = 0;
  uint64_t to_send_ = 0;
};

class Listener final : public Handler {
 public:
  using Factory = std::function<std::unique_ptr<Handler>(UniqueFd fd)>;

  Listener(Poller* poller, UniqueFd fd, Factory factory)
      : Handler(std::move(fd)), poller_(poller), factory_(std::move(factory)) {}

  bool OnEvents(uint32_t /*events*/) override {
    for (int i = 0; i < kAcceptedPerEvent; ++i) {
      UniqueFd accepted(accept4(fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!accepted) break;
      // What cannot be watched is closed, and its client notices.
      poller_->Add(factory_(std::move(accepted)), EPOLLIN).IgnoreError();
    }
    return true;
  }

 private:
  Poller* const poller_;  // Not owned.
  const Factory factory_;
};

absl::StatusOr<UniqueFd> Listen(uint16_t port) {
  ASSIGN_OR_RETURN(UniqueFd fd, NewStreamSocket(AF_INET6));
  const int on = 1;
  const int off = 0;
  // What is accepted inherits TCP_NODELAY.
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  sockaddr_in6 any = {};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(port);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(any)) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on port ", port, ": ", strerror(errno)));
  }
  return fd;
}

}  // namespace

absl::Status StartServer(const Options& options, Poller* poller) {
  ASSIGN_OR_RETURN(UniqueFd echo, Listen(options.echo_port));
  ASSIGN_OR_RETURN(UniqueFd bulk, Listen(options.bulk_port));
  RETURN_IF_ERROR(poller->Add(std::make_unique<Listener>(poller, std::move(echo),
                                                         [poller](UniqueFd fd) {
                                                           return std::make_unique<EchoConnection>(
                                                               poller, std::move(fd));
                                                         }),
                              EPOLLIN));
  return poller->Add(std::make_unique<Listener>(poller, std::move(bulk),
                                                [poller](UniqueFd fd) {
                                                  return std::make_unique<BulkConnection>(
                                                      poller, std::move(fd));
                                                }),
                     EPOLLIN);
}

}  // namespace byrnie::load
