#include "common/net/tcp_listener.h"

#include <errno.h>
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
    case EPERM:
      return absl::PermissionDeniedError(message);
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return absl::InvalidArgumentError(message);
    default:
      return absl::UnavailableError(message);
  }
}

class TcpListenerImpl final : public TcpListener {
 public:
  TcpListenerImpl(std::unique_ptr<Acceptor> acceptor, const SocketAddress& address)
      : acceptor_(std::move(acceptor)), address_(address) {}
  SocketAddress address() const override { return address_; }
  void AcceptAll() override { acceptor_->AcceptAll(); }
  uint64_t pauses() const override { return acceptor_->pauses(); }

 private:
  const std::unique_ptr<Acceptor> acceptor_;
  const SocketAddress address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TcpListener>> TcpListener::Create(EventLoop* loop,
                                                                 const SocketAddress& address,
                                                                 const Options& options,
                                                                 AcceptCallback on_accept) {
  const bool v4 = address.ip().is_v4();
  UniqueFd fd(socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return BindError(errno, address);
  const int on = 1;
  // A restarted process takes its port back while old connections are in TIME_WAIT.
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (options.reuse_port && setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) {
    return BindError(errno, address);
  }
  if (!v4) {
    const int v6_only = options.dual_stack && address.ip().IsUnspecified() ? 0 : 1;
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
  }
  RETURN_IF_ERROR(SetTcpOptions(fd.get()));
  sockaddr_storage storage;
  const socklen_t size = address.ToSockaddr(&storage);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0 ||
      listen(fd.get(), options.backlog) != 0) {
    return BindError(errno, address);
  }
  ASSIGN_OR_RETURN(SocketAddress bound, LocalSocketAddress(fd.get()));
  ASSIGN_OR_RETURN(std::unique_ptr<Acceptor> acceptor,
                   Acceptor::Create(loop, std::move(fd), std::move(on_accept), options.on_pause));
  return std::make_unique<TcpListenerImpl>(std::move(acceptor), bound);
}

}  // namespace byrnie
