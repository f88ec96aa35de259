#ifndef BYRNIE_COMMON_NET_UNIX_LISTENER_H_
#define BYRNIE_COMMON_NET_UNIX_LISTENER_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "common/event/event_loop.h"
#include "common/net/tcp_stream.h"

namespace byrnie {

// A listening Unix stream socket in the file system on one loop. Its file is removed
// when the listener is destroyed, unless another has taken its place.
class UnixListener {
 public:
  using AcceptCallback = absl::AnyInvocable<void(std::unique_ptr<TcpStream>)>;

  // A socket file that nobody listens on any more is replaced. AlreadyExists when somebody does, or
  // when something else than a socket is there; NotFound when the folder is missing;
  // PermissionDenied; InvalidArgument when the path is longer than a Unix address can be (107
  // bytes). Each names the path. `on_accept` may destroy the listener. `mode` is the file's: who
  // may connect.
  static absl::StatusOr<std::unique_ptr<UnixListener>> Create(
      EventLoop* loop, const std::string& path, AcceptCallback on_accept,
      std::function<void(const absl::Status&)> on_pause = nullptr, mode_t mode = 0600);
  virtual ~UnixListener() = default;

  virtual const std::string& path() const = 0;
  // As TcpListener.
  virtual void AcceptAll() = 0;
  virtual uint64_t pauses() const = 0;
};

// Connects to the Unix stream socket at `path`. Does not wait: Unavailable when nobody listens
// there or the queue of the listener is full, PermissionDenied, InvalidArgument when the path is
// too long. Each names the path.
absl::StatusOr<std::unique_ptr<TcpStream>> ConnectUnix(EventLoop* loop, const std::string& path);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_UNIX_LISTENER_H_
