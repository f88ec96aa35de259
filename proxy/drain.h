#ifndef BYRNIE_PROXY_DRAIN_H_
#define BYRNIE_PROXY_DRAIN_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"

namespace byrnie {

// The orderly end of the proxy. Lives on the control loop.
//
// States: serving → draining (Begin: no new inbound, outbound goes on for the application that
// still runs) → aborting (the deadline passed, or Quit: what is open is reset) → finished.
class Drain {
 public:
  // What is drained. Calls come on the control loop.
  class Host {
   public:
    virtual ~Host() = default;
    virtual void StopInbound() = 0;
    // `done` runs on the control loop: connections that are open or may be about to be.
    virtual void CountConnections(absl::AnyInvocable<void(size_t count)> done) = 0;
    virtual void AbortConnections() = 0;
    // Nothing is left, or it does not end. Once.
    virtual void OnDrained() = 0;
  };

  Drain(EventLoop* loop, Host* host, absl::Duration timeout, Logger* logger);
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;

  // Idempotent.
  void Begin();
  // Does not wait for connections. Idempotent.
  void Quit();

  bool draining() const { return state_ != State::kServing; }

 private:
  enum class State { kServing, kDraining, kAborting, kFinished };

  void Poll();
  void OnCount(size_t count);
  void Abort();
  void Finish();

  EventLoop* const loop_;  // Not owned.
  Host* const host_;       // Not owned.
  const absl::Duration timeout_;
  Logger* const logger_;  // Not owned.
  State state_ = State::kServing;
  // Of the present state.
  absl::Duration deadline_;
  std::unique_ptr<EventLoop::Timer> poll_timer_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_DRAIN_H_
