#ifndef BYRNIE_COMMON_NET_TCP_LISTENER_H_
#define BYRNIE_COMMON_NET_TCP_LISTENER_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_stream.h"

namespace byrnie {

// A listening TCP socket on one loop. Accepts a bounded number per turn; when descriptors or memory
// run out it pauses for 100 ms instead of spinning, while the kernel queues what arrives.
class TcpListener {
 public:
  struct Options {
    // SO_REUSEPORT: each worker has its own listener on the same port.
    bool reuse_port = false;
    // Binds [::] for both families when the address is unspecified IPv6; ignored for IPv4.
    bool dual_stack = true;
    int backlog = 4096;
    // IP_TRANSPARENT: also takes connections that a tproxy rule gives it, whatever their
    // destination; that is the local address of their streams. Needs CAP_NET_ADMIN.
    bool transparent = false;
    // Told of each pause; optional. Must not destroy the listener.
    std::function<void(const absl::Status&)> on_pause;
  };
  using AcceptCallback = absl::AnyInvocable<void(std::unique_ptr<TcpStream>)>;

  // Binds and listens. AlreadyExists when the port is taken, PermissionDenied when it may not be
  // bound or made transparent, InvalidArgument when the address is not of this host; each names the
  // address. `on_accept` runs per connection and may destroy the listener.
  static absl::StatusOr<std::unique_ptr<TcpListener>> Create(EventLoop* loop,
                                                             const SocketAddress& address,
                                                             const Options& options,
                                                             AcceptCallback on_accept);
  virtual ~TcpListener() = default;

  // The bound address, with the port the kernel chose for port 0.
  virtual SocketAddress address() const = 0;
  // From now on the kernel drops requests for new connections, unanswered; those in the middle of
  // TCP's handshake complete it and are accepted. A while before AcceptAll and closing, for closing
  // resets both. Clients that come too late try again and then find nobody. Needs no privilege. Two
  // are missed: a client on the same link that sends with a TTL of 255, which is accepted, and a
  // handshake that the kernel, flooded, keeps as a SYN cookie alone, which is reset. After an error
  // all are accepted as before, and closing resets the last ones.
  virtual absl::Status IgnoreNewConnections() = 0;
  // Takes every connection the kernel has already completed, so that closing afterwards resets
  // none.
  virtual void AcceptAll() = 0;
  // How often it has paused for want of descriptors or memory.
  virtual uint64_t pauses() const = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_TCP_LISTENER_H_
