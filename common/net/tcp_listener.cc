#include "common/net/tcp_listener.h"

#include <errno.h>
#include <linux/filter.h>
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

// A socket filter sees a packet from its TCP header on. Accepted sockets inherit it, to which such
// packets mean nothing.
void DropConnectionRequests(int fd) {
  constexpr uint32_t kFlags = 13;  // Offset, RFC 9293 section 3.1.
  constexpr uint32_t kSyn = 0x02;
  constexpr uint32_t kAck = 0x10;
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kFlags),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, kSyn | kAck),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kSyn, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
  };
  const sock_fprog program = {static_cast<unsigned short>(sizeof(code) / sizeof(code[0])), code};
  // Where it fails, late clients are reset instead of ignored.
  setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

class TcpListenerImpl final : public TcpListener {
 public:
  TcpListenerImpl(std::unique_ptr<Acceptor> acceptor, const SocketAddress& address)
      : acceptor_(std::move(acceptor)), address_(address) {}
  SocketAddress address() const override { return address_; }
  void IgnoreNewConnections() override { DropConnectionRequests(acceptor_->fd()); }
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
  ASSIGN_OR_RETURN(std::unique_ptr<Acceptor> acceptor,
                   Acceptor::Create(loop, std::move(fd), std::move(on_accept), options.on_pause));
  return std::make_unique<TcpListenerImpl>(std::move(acceptor), bound);
}

}  // namespace byrnie
