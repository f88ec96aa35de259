#ifndef BYRNIE_CTL_EVENT_FOLLOWER_H_
#define BYRNIE_CTL_EVENT_FOLLOWER_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "byrnie/operator/v1/operator.pb.h"
#include "common/base/backoff.h"

namespace byrnie {

// Follows the events of one control plane for good: where the stream breaks it is opened again from
// the last event that was seen, so that each comes once; what is not kept any more is told as
// missed. Lives on one thread.
class EventFollower {
 public:
  using Request = byrnie::operator_::v1::WatchEventsRequest;
  using Response = byrnie::operator_::v1::WatchEventsResponse;

  struct Hooks {
    // As OperatorClient::WatchEvents.
    std::function<absl::Status(const Request&, const std::function<bool(const Response&)>&)> watch;
    // Whether the control plane takes a connection now; asked once, before the first stream. What
    // that one brings does not tell: where nothing happens it brings nothing for hours.
    std::function<bool()> reaches;
    std::function<void(const Response&)> show;
    // The stream has broken, or could not be opened; told once until something comes again.
    std::function<void(const absl::Status& why)> on_broken;
    std::function<void(absl::Duration)> wait;
  };

  EventFollower(Hooks hooks, Backoff backoff);

  // Returns when it is of no use to try again, with the reason: the caller is not let in (any
  // more), or what is asked is refused; and, unless `patient`, where it was never reached.
  absl::Status Run(Request request, bool patient);

 private:
  const Hooks hooks_;
  Backoff backoff_;
};

}  // namespace byrnie

#endif  // BYRNIE_CTL_EVENT_FOLLOWER_H_
