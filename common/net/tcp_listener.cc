#include "common/net/tcp_listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/net/acceptor.h"
#include "common/net/socket.h"

namespace byrnie {
namespace {

absl::Status BindError(int error, const SocketAddress& address) {
  const std::string message =
      absl::StrCat("cannot listen on ", address.ToString(), ": ", strerror(error));
  switch (error) {
    case EADDRINUSE:
      return absl::AlreadyExistsError(
          absl::StrCat(message, "; stop what uses the port or choose another"));
    case EACCES:
      return absl::PermissionDeniedError(absl::StrCat(
          message, "; ports below 1024 need the capability NET_BIND_SERVICE, choose another"));
    case EPERM:
      return absl::PermissionDeniedError(message);
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return absl::InvalidArgumentError(message);
    default:
      return absl::UnavailableError(message);
  }
}

struct Families {
  bool v4 = false;
  bool v6 = false;
};

// The least TTL of a packet for the socket (RFC 5082); 0 is any. The kernel judges by it requests
// for a connection and packets of an accepted one, but not the packet that completes a handshake,
// which it finds in the table of those under way. Needs no privilege, unlike a socket filter, which
// newer kernels let only CAP_NET_ADMIN attach to a TCP socket.
absl::Status SetLeastTtl(int fd, const Families& families, int ttl) {
  if ((families.v4 && setsockopt(fd, SOL_IP, IP_MINTTL, &ttl, sizeof(ttl)) != 0) ||
      (families.v6 && setsockopt(fd, SOL_IPV6, IPV6_MINHOPCOUNT, &ttl, sizeof(ttl)) != 0)) {
    return ConnectionError(errno, "cannot set a socket's least TTL");
  }
  return absl::OkStatus();
}

// Hosts send with 64 or 128; only one on the same link can arrive with this.
constexpr int kHighestTtl = 255;

class TcpListenerImpl final : public TcpListener {
 public:
  TcpListenerImpl(const SocketAddress& address, const Families& families)
      : address_(address), families_(families) {}
  absl::Status Start(EventLoop* loop, UniqueFd fd, AcceptCallback on_accept,
                     const std::function<void(const absl::Status&)>& on_pause) {
    ASSIGN_OR_RETURN(
        acceptor_,
        Acceptor::Create(
            loop, std::move(fd), TcpStream::Family::kTcp,
            [this, on_accept = std::move(on_accept)](std::unique_ptr<TcpStream> stream) mutable {
              // What completed its handshake since has inherited it. Bytes that came before this
              // moment were dropped, and the client sends them again.
              if (ignoring_) SetLeastTtl(stream->fd(), families_, 0).IgnoreError();
              on_accept(std::move(stream));
            },
            on_pause));
    return absl::OkStatus();
  }
  SocketAddress address() const override { return address_; }
  absl::Status IgnoreNewConnections() override {
    ignoring_ = true;
    return SetLeastTtl(acceptor_->fd(), families_, kHighestTtl);
  }
  void AcceptAll() override { acceptor_->AcceptAll(); }
  uint64_t pauses() const override { return acceptor_->pauses(); }

 private:
  const SocketAddress address_;
  const Families families_;
  bool ignoring_ = false;
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TcpListener>> TcpListener::Create(EventLoop* loop,
                                                                 const SocketAddress& address,
                                                                 const Options& options,
                                                                 AcceptCallback on_accept) {
  const bool v4 = address.ip().is_v4();
  UniqueFd fd(socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd && errno == EAFNOSUPPORT && !v4 && options.dual_stack && address.ip().IsUnspecified()) {
    // A kernel without IPv6: the one family is all there are.
    return Create(loop, SocketAddress(*IpAddress::Parse("0.0.0.0"), address.port()), options,
                  std::move(on_accept));
  }
  if (!fd) return BindError(errno, address);
  const int on = 1;
  // A restarted process takes its port back while old connections are in TIME_WAIT.
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (options.reuse_port && setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) {
    return BindError(errno, address);
  }
  Families families{v4, !v4};
  if (!v4) {
    families.v4 = options.dual_stack && address.ip().IsUnspecified();
    const int v6_only = families.v4 ? 0 : 1;
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
  }
  if (options.transparent && !SetTransparent(fd.get(), address.ip().is_v4())) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot take connections to other addresses on ", address.ToString(), ": ",
                     strerror(errno), "; it needs the capability NET_ADMIN"));
  }
  RETURN_IF_ERROR(SetTcpOptions(fd.get()));
  sockaddr_storage storage;
  const socklen_t size = address.ToSockaddr(&storage);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0 ||
      listen(fd.get(), options.backlog) != 0) {
    return BindError(errno, address);
  }
  ASSIGN_OR_RETURN(SocketAddress bound, LocalSocketAddress(fd.get()));
  auto listener = std::make_unique<TcpListenerImpl>(bound, families);
  RETURN_IF_ERROR(listener->Start(loop, std::move(fd), std::move(on_accept), options.on_pause));
  return listener;
}

}  // namespace byrnie
