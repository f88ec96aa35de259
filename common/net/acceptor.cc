#include "common/net/acceptor.h"

#include <errno.h>
#include <sys/socket.h>

#include <limits>
#include <utility>

#include "common/base/status_macros.h"
#include "common/net/socket.h"
#include "common/net/socket_address.h"

namespace byrnie {
namespace {

std::unique_ptr<const SocketAddress> SourceOf(TcpStream::Family family,
                                              const sockaddr_storage& from) {
  if (family != TcpStream::Family::kTcp) return nullptr;
  const absl::StatusOr<SocketAddress> address = SocketAddress::FromSockaddr(from);
  return address.ok() ? std::make_unique<const SocketAddress>(*address) : nullptr;
}

// One that was aborted before it was taken, or an error of its network that accept(2) passes on.
// Others, of descriptors, memory or what this process may do, would be there for the next one too.
bool IsOfOneConnection(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case ECONNRESET:
    case ETIMEDOUT:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Create(EventLoop* loop, UniqueFd fd,
                                                           TcpStream::Family family,
                                                           AcceptCallback on_accept,
                                                           PauseCallback on_pause) {
  std::unique_ptr<Acceptor> acceptor(
      new Acceptor(loop, std::move(fd), family, std::move(on_accept), std::move(on_pause)));
  Acceptor* raw = acceptor.get();
  ASSIGN_OR_RETURN(acceptor->watch_, loop->Watch(raw->fd(), [raw](EventLoop::FdEvents) {
    if (!raw->resume_->scheduled()) raw->AcceptUpTo(kMaxAcceptsPerTurn);
  }));
  return acceptor;
}

Acceptor::Acceptor(EventLoop* loop, UniqueFd fd, TcpStream::Family family, AcceptCallback on_accept,
                   PauseCallback on_pause)
    : loop_(loop),
      fd_(std::move(fd)),
      family_(family),
      on_accept_(std::make_shared<AcceptCallback>(std::move(on_accept))),
      on_pause_(std::move(on_pause)),
      more_(loop->NewDeferred([this] { AcceptUpTo(kMaxAcceptsPerTurn); })),
      resume_(loop->NewTimer([this] { AcceptUpTo(kMaxAcceptsPerTurn); })) {}

Acceptor::~Acceptor() {
  if (destroyed_ != nullptr) *destroyed_ = true;
  watch_.reset();
}

void Acceptor::AcceptAll() { AcceptUpTo(std::numeric_limits<int>::max()); }

void Acceptor::AcceptUpTo(int limit) {
  for (int i = 0; i < limit; ++i) {
    // With the peer's address, which the kernel says here alone once the peer has reset the
    // connection: nobody is to be let in as somebody from nowhere.
    sockaddr_storage from = {};
    socklen_t size = sizeof(from);
    UniqueFd fd(accept4(fd_.get(), reinterpret_cast<sockaddr*>(&from), &size,
                        SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == EAGAIN) return;
      if (IsOfOneConnection(errno)) continue;
      Pause(ConnectionError(errno, "cannot accept a connection"));
      return;
    }
    absl::StatusOr<std::unique_ptr<TcpStream>> stream =
        TcpStream::CreateConfigured(loop_, std::move(fd), family_, SourceOf(family_, from));
    if (!stream.ok()) {
      Pause(stream.status());
      return;
    }
    bool destroyed = false;
    destroyed_ = &destroyed;
    const std::shared_ptr<AcceptCallback> on_accept = on_accept_;
    (*on_accept)(*std::move(stream));
    if (destroyed) return;
    destroyed_ = nullptr;
  }
  more_->Schedule();
}

void Acceptor::Pause(const absl::Status& why) {
  ++pauses_;
  resume_->Schedule(kPause);
  if (on_pause_) on_pause_(why);
}

}  // namespace byrnie
