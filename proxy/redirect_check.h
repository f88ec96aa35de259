#ifndef BYRNIE_PROXY_REDIRECT_CHECK_H_
#define BYRNIE_PROXY_REDIRECT_CHECK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/unique_fd.h"
#include "common/event/event_loop.h"
#include "common/net/byte_stream.h"
#include "common/net/socket_address.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "proxy/probe_dialer.h"

namespace byrnie {

// Takes a port of this network namespace on all addresses, so that nobody listens there as long as
// the result lives. FailedPrecondition when somebody does already.
absl::StatusOr<UniqueFd> TakePort(uint16_t port);

// Finds out, without any privilege, whether the rules of byrnie-redirect are in place: it connects
// to a port where nobody can listen, and from where the rules alone lead this user's connections to
// one that answers. Lives on one loop; all pointers outlive it.
//
// States: not seen yet → in place ⇄ gone. Refused, the rules are gone at once. Unanswered, they are
// after three times in a row: rules that somebody has emptied drop everything, but so may a host be
// slow. At the start they may be about to be made, and are gone after kStartTakes. What says
// nothing of the rules, as a lack of descriptors, changes nothing.
class RedirectCheck {
 public:
  // Between two looks; as long as the rules have not been seen, a pod's start waits for the next.
  static constexpr absl::Duration kInterval = absl::Seconds(2);
  static constexpr absl::Duration kFirstInterval = absl::Milliseconds(100);
  static constexpr absl::Duration kStartTakes = absl::Seconds(30);
  static constexpr absl::Duration kTimeout = absl::Seconds(1);

  // `in_place` is 1 while they are, else 0. `port` is one that TakePort has taken.
  RedirectCheck(EventLoop* loop, uint16_t port, ProbeDialer* dialer, Gauge* in_place,
                Logger* logger);
  RedirectCheck(const RedirectCheck&) = delete;
  RedirectCheck& operator=(const RedirectCheck&) = delete;

  // Why the proxy is not ready; none while the rules are in place.
  absl::optional<std::string> WhyNotReady() const;

 private:
  enum class State { kNotSeen, kInPlace, kGone };

  void Look();
  void OnAnswer(absl::StatusOr<std::unique_ptr<ByteStream>> stream);
  void OnFailure(const absl::Status& why);
  void SetState(State state, const absl::Status& why);

  EventLoop* const loop_;  // Not owned.
  const absl::Duration began_;
  const SocketAddress address_;
  ProbeDialer* const dialer_;  // Not owned.
  Gauge* const in_place_;      // Not owned.
  Logger* const logger_;       // Not owned.
  State state_ = State::kNotSeen;
  // In a row.
  int unanswered_ = 0;
  const std::unique_ptr<EventLoop::Timer> timer_;
  std::unique_ptr<ProbeDialer::Attempt> attempt_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_REDIRECT_CHECK_H_
