#ifndef BYRNIE_PROXY_DRAIN_H_
#define BYRNIE_PROXY_DRAIN_H_

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "proxy/connection_counts.h"

namespace byrnie {

// The orderly end of the proxy. Lives on the control loop.
//
// States: serving → holding (Begin: readiness is off, but whoever has not heard of it is served; as
// long as Options::hold) → draining (no new inbound, outbound goes on for the application that
// still runs) → aborting (the deadline passed, or Quit: what is open is reset) → giving up
// (what resets wait for is dropped) → finished.
class Drain {
 public:
  // What is drained. Calls come on the control loop.
  class Host {
   public:
    virtual ~Host() = default;
    // Once, before StopInbound: says that this proxy takes no more.
    virtual void StopReadiness() = 0;
    // Once.
    virtual void StopInbound() = 0;
    // `done` runs on the control loop.
    virtual void CountConnections(absl::AnyInvocable<void(ConnectionCounts counts)> done) = 0;
    // Once. `why` is for people, of the access log: whether the deadline passed or somebody did not
    // want to wait.
    virtual void AbortConnections(absl::string_view why) = 0;
    // Once, a second after AbortConnections: ends what it has not ended, whose readers do not read.
    virtual void GiveUpConnections(absl::string_view why) = 0;
    // Nothing is left, or it does not end. Once.
    virtual void OnDrained() = 0;
  };

  struct Options {
    // From Begin until what is still open is reset.
    absl::Duration timeout = absl::Seconds(30);
    // From Begin until StopInbound: the time until others know that this proxy goes.
    absl::Duration hold;
    // No connection must have been open or have begun for this long, after the hold: an application
    // that ends opens its last connections one after the other. Nobody tells the proxy that the
    // application has gone.
    absl::Duration quiet = absl::Milliseconds(250);
  };

  Drain(EventLoop* loop, Host* host, const Options& options, Logger* logger);
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;

  // Idempotent.
  void Begin();
  // Does not wait for connections. Idempotent.
  void Quit();

  bool draining() const { return state_ != State::kServing; }

 private:
  enum class State { kServing, kHolding, kDraining, kAborting, kGivingUp, kFinished };

  void Poll();
  void OnCount(ConnectionCounts counts);
  void Stop();
  void Abort(absl::string_view why);
  void Finish();

  EventLoop* const loop_;  // Not owned.
  Host* const host_;       // Not owned.
  const Options options_;
  Logger* const logger_;  // Not owned.
  State state_ = State::kServing;
  // Of the present state.
  absl::Duration deadline_;
  absl::string_view why_;  // From AbortConnections on.
  absl::Duration hold_until_;
  // Since when nothing has been open and nothing has begun.
  absl::optional<absl::Duration> quiet_since_;
  uint64_t begun_ = 0;
  std::unique_ptr<EventLoop::Timer> poll_timer_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_DRAIN_H_
