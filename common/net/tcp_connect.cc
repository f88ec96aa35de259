// TcpStream::Connect: the attempt, apart from the stream it makes.
#include <errno.h>
#include <sys/socket.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/net/socket.h"
#include "common/net/tcp_stream.h"

namespace byrnie {

class TcpStream::AttemptImpl final : public TcpStream::Attempt {
 public:
  AttemptImpl(EventLoop* loop, const SocketAddress& remote, const ConnectOptions& options,
              ConnectCallback done)
      : loop_(loop), remote_(remote), done_(std::move(done)) {
    result_ = Start(options);
    // Reported from the loop, never inside Connect().
    finish_ = loop_->NewDeferred([this] { Finish(); });
    if (!result_.ok()) {
      finish_->Schedule();
      return;
    }
    deadline_ = loop_->NewTimer([this] {
      result_ = absl::DeadlineExceededError(
          absl::StrCat("cannot connect to ", remote_.ToString(), ": no answer in time"));
      Finish();
    });
    deadline_->Schedule(options.timeout);
  }
  // The other end may have a connection by now, which nobody has had a word of: no clean end.
  ~AttemptImpl() override {
    if (fd_) SetResetOnClose(fd_.get());
  }

 private:
  absl::Status Start(const ConnectOptions& options) {
    const std::string what = absl::StrCat("cannot connect to ", remote_.ToString());
    ASSIGN_OR_RETURN(fd_, NewStreamSocket(remote_.ip().is_v4() ? AF_INET : AF_INET6));
    RETURN_IF_ERROR(SetTcpOptions(fd_.get()));
    if (options.mark != 0 &&
        setsockopt(fd_.get(), SOL_SOCKET, SO_MARK, &options.mark, sizeof(options.mark)) != 0) {
      return absl::PermissionDeniedError(
          absl::StrCat(what, ": cannot set the socket's mark; it needs CAP_NET_ADMIN"));
    }
    if (options.priority != 0 && setsockopt(fd_.get(), SOL_SOCKET, SO_PRIORITY, &options.priority,
                                            sizeof(options.priority)) != 0) {
      return ConnectionError(errno, what);
    }
    if (options.source) {
      RETURN_IF_ERROR(BindToSource(fd_.get(), *options.source, options.transparent));
    }
    const int error = ConnectFrom(options.source ? absl::nullopt : options.source_ports);
    if (error != 0 && error != EINPROGRESS) return ConnectError(error);
    ASSIGN_OR_RETURN(watch_, loop_->Watch(fd_.get(), [this](EventLoop::FdEvents events) {
      if (events.writable) OnWritable(events.error);
    }));
    return absl::OkStatus();
  }

  // From one of the ports, or from any when none is free. What connect() says: 0 or an error.
  int ConnectFrom(absl::optional<PortRange> ports) {
    sockaddr_storage storage;
    const socklen_t size = remote_.ToSockaddr(&storage);
    const auto connect_now = [&] {
      return connect(fd_.get(), reinterpret_cast<const sockaddr*>(&storage), size) == 0 ? 0 : errno;
    };
    const bool narrowed = ports && SetSourcePorts(fd_.get(), ports);
    const int error = connect_now();
    if (error != EADDRNOTAVAIL || !narrowed) return error;
    SetSourcePorts(fd_.get(), absl::nullopt);
    return connect_now();
  }

  // `broken`: the edge is one of an error or a hang-up. One of neither comes once there is a
  // connection, for until then a socket takes no bytes.
  void OnWritable(bool broken) {
    if (broken) {
      const int error = TakeSocketError(fd_.get());
      // What refuses a connection is another error (RFC 9293 section 3.10.7.3): this one ends a
      // connection that there was, and its peer may have sent something before.
      if (error == ECONNRESET || error == EPIPE) {
        broken_ = error;
        Finish();
        return;
      }
      if (error != 0) {
        Fail(error);
        return;
      }
      if (!PeerSocketAddress(fd_.get()).ok()) return;  // Not yet: an edge of something else.
    }
    // A socket may connect to itself when the port chosen for it is the one it dials on this host.
    const absl::StatusOr<SocketAddress> local = LocalSocketAddress(fd_.get());
    if (local.ok() && local->port() == remote_.port()) {
      const absl::StatusOr<SocketAddress> peer = PeerSocketAddress(fd_.get());
      if (peer.ok() && *local == *peer) {
        Fail(ECONNREFUSED);
        return;
      }
    }
    Finish();
  }

  // What connect() said.
  absl::Status ConnectError(int error) const {
    const std::string what = absl::StrCat("cannot connect to ", remote_.ToString());
    if (error != EINVAL) return ConnectionError(error, what);
    // Of a socket that is as it should be the kernel says that where a blackhole route leads to the
    // address: it is the network's doing, not a fault of ours.
    return absl::UnavailableError(
        absl::StrCat(what, ": Invalid argument, a blackhole route leads there"));
  }

  void Fail(int error) {
    result_ = ConnectError(error);
    Finish();
  }

  void Finish() {
    watch_.reset();
    if (deadline_ != nullptr) deadline_->Cancel();
    absl::StatusOr<std::unique_ptr<TcpStream>> stream =
        result_.ok() ? TcpStream::CreateConfigured(loop_, std::move(fd_), Family::kTcp)
                     : absl::StatusOr<std::unique_ptr<TcpStream>>(result_);
    fd_.reset();
    if (stream.ok() && broken_ != 0) (void)(*stream)->Fail(broken_);
    // Last: it may destroy this.
    ConnectCallback done = std::move(done_);
    std::move(done)(std::move(stream));
  }

  EventLoop* const loop_;  // Not owned.
  const SocketAddress remote_;
  ConnectCallback done_;
  absl::Status result_;
  int broken_ = 0;  // Why the connection, which there was, has ended again.
  UniqueFd fd_;     // Before what ends first.
  std::unique_ptr<EventLoop::FdWatch> watch_;
  std::unique_ptr<EventLoop::Timer> deadline_;
  std::unique_ptr<EventLoop::Deferred> finish_;
};

std::unique_ptr<TcpStream::Attempt> TcpStream::Connect(EventLoop* loop, const SocketAddress& remote,
                                                       const ConnectOptions& options,
                                                       ConnectCallback done) {
  return std::make_unique<AttemptImpl>(loop, remote, options, std::move(done));
}

}  // namespace byrnie
