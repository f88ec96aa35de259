#ifndef BYRNIE_COMMON_HTTP2_LIVENESS_H_
#define BYRNIE_COMMON_HTTP2_LIVENESS_H_

#include "absl/time/time.h"

namespace byrnie {

// Whether the peer is there: a PING once it has been quiet for an interval, and a verdict when it
// stays silent after that. Whatever it sends proves it alive, also while the answer waits behind
// bulk data. Times are the loop's.
class Liveness {
 public:
  enum class Verdict {
    kWait,      // Look again after `next`.
    kSendPing,  // Send one now; look again after `next`.
    kDead,      // Silent for `silent`.
  };
  struct Look {
    Verdict verdict = Verdict::kWait;
    absl::Duration next;
    absl::Duration silent;
  };

  Liveness(absl::Duration interval, absl::Duration timeout, absl::Duration now)
      : interval_(interval), timeout_(timeout), last_heard_(now) {}

  // An infinite interval never asks.
  bool enabled() const { return interval_ != absl::InfiniteDuration(); }
  absl::Duration interval() const { return interval_; }
  absl::Duration round_trip() const { return round_trip_; }

  void OnHeard(absl::Duration now) { last_heard_ = now; }
  // False when no answer was due.
  bool OnAnswer(absl::Duration now) {
    if (!asked_) return false;
    asked_ = false;
    round_trip_ = now - asked_at_;
    return true;
  }
  Look OnTimer(absl::Duration now);

 private:
  const absl::Duration interval_;
  const absl::Duration timeout_;
  absl::Duration last_heard_;
  absl::Duration asked_at_;
  absl::Duration round_trip_ = absl::ZeroDuration();
  bool asked_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_LIVENESS_H_
