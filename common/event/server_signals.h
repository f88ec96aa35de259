#ifndef BYRNIE_COMMON_EVENT_SERVER_SIGNALS_H_
#define BYRNIE_COMMON_EVENT_SERVER_SIGNALS_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "common/base/unique_fd.h"
#include "common/event/event_loop.h"

namespace byrnie {

// What a server makes of its signals: SIGTERM and SIGINT ask it to end. SIGHUP does not: a terminal
// that went away, or somebody who expects it to read its configuration anew, is no reason to stop
// serving. SIGPIPE is ignored: a write to a connection that is gone is an error of that connection.
// Lives on one loop.
class ServerSignals {
 public:
  // Each runs on the loop, once a signal.
  struct Handlers {
    absl::AnyInvocable<void()> on_end;
    absl::AnyInvocable<void()> on_hangup;
  };

  // Takes the signals from the calling thread and those it makes later: call it before the first
  // one. ResourceExhausted without a descriptor.
  static absl::StatusOr<std::unique_ptr<ServerSignals>> Create(EventLoop* loop, Handlers handlers);
  ServerSignals(const ServerSignals&) = delete;
  ServerSignals& operator=(const ServerSignals&) = delete;
  // The signals stay blocked.
  ~ServerSignals();

 private:
  ServerSignals(UniqueFd fd, Handlers handlers);
  void OnReadable();

  const UniqueFd fd_;
  Handlers handlers_;
  std::unique_ptr<EventLoop::FdWatch> watch_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_EVENT_SERVER_SIGNALS_H_
