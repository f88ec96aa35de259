#ifndef BYRNIE_COMMON_NET_ACCEPTOR_H_
#define BYRNIE_COMMON_NET_ACCEPTOR_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/unique_fd.h"
#include "common/event/event_loop.h"
#include "common/net/tcp_stream.h"

namespace byrnie {

// Accepts connections of a listening socket: what TcpListener and UnixListener share. Lives on one
// loop.
class Acceptor {
 public:
  // More wait for the end of the turn, so that those already open get their share.
  static constexpr int kMaxAcceptsPerTurn = 64;
  static constexpr absl::Duration kPause = absl::Milliseconds(100);

  using AcceptCallback = absl::AnyInvocable<void(std::unique_ptr<TcpStream>)>;
  using PauseCallback = std::function<void(const absl::Status&)>;

  // `fd` listens and has the options its connections are to inherit. `on_accept` may destroy the
  // acceptor; `on_pause` may be empty.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Create(EventLoop* loop, UniqueFd fd,
                                                          TcpStream::Family family,
                                                          AcceptCallback on_accept,
                                                          PauseCallback on_pause);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();

  int fd() const { return fd_.get(); }
  void AcceptAll();
  uint64_t pauses() const { return pauses_; }

 private:
  Acceptor(EventLoop* loop, UniqueFd fd, TcpStream::Family family, AcceptCallback on_accept,
           PauseCallback on_pause);
  void AcceptUpTo(int limit);
  void Pause(const absl::Status& why);

  EventLoop* const loop_;  // Not owned.
  UniqueFd fd_;
  const TcpStream::Family family_;
  // Shared with the stack while it runs, because it may destroy this.
  std::shared_ptr<AcceptCallback> on_accept_;
  PauseCallback on_pause_;
  std::unique_ptr<EventLoop::FdWatch> watch_;
  std::unique_ptr<EventLoop::Deferred> more_;
  std::unique_ptr<EventLoop::Timer> resume_;
  bool* destroyed_ = nullptr;  // Set while the callback runs.
  uint64_t pauses_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_ACCEPTOR_H_
