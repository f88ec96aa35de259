#ifndef BYRNIE_COMMON_HTTP2_LIVENESS_H_
#define BYRNIE_COMMON_HTTP2_LIVENESS_H_

#include <utility>

#include "absl/time/time.h"

namespace byrnie {

// Whether the peer is there: a PING once it has been quiet for `interval`, or for `patience` while
// an answer of it is waited for; it counts as silent when it says nothing for `silence`, and as
// dead for `timeout` after the PING. Whatever it sends proves it alive, also while the answer waits
// behind bulk data, and however long it takes for what it was asked. Times are the loop's.
//
// Needs one timer, and costs nothing beside the PINGs while nothing is asked: what is looked at
// earlier for a request, or for a PING, is so only until the answer.
class Liveness {
 public:
  struct Options {
    absl::Duration interval;
    absl::Duration timeout;
    // Shorter than `silence`.
    absl::Duration patience;
    absl::Duration silence;
  };
  enum class Verdict {
    kWait,      // Look again after `next`.
    kSendPing,  // Send one now; look again after `next`.
    kSilent,    // For `silent`, and not known before; look again after `next`.
    kDead,      // Silent for `silent`.
  };
  struct Look {
    Verdict verdict = Verdict::kWait;
    absl::Duration next;
    absl::Duration silent;
  };

  Liveness(const Options& options, absl::Duration now)
      : options_(options), last_heard_(now), request_at_(now) {}

  // An infinite interval never asks.
  bool enabled() const { return options_.interval != absl::InfiniteDuration(); }
  absl::Duration round_trip() const { return round_trip_; }
  // Nothing is to be asked of it until it is heard.
  bool silent() const { return silent_; }
  // A PING is not answered.
  bool asked() const { return asked_; }

  // The peer owes an answer to more than a PING. True for the first time since it was heard: look
  // again after `patience`.
  bool OnRequest(absl::Duration now);
  absl::Duration patience() const { return options_.patience; }
  // True when it had been silent.
  bool OnHeard(absl::Duration now) {
    last_heard_ = now;
    return std::exchange(silent_, false);
  }
  // Of a PING. False when no answer was due; else look again after next().
  bool OnAnswer(absl::Duration now);
  absl::Duration next() const { return for_request_ ? options_.patience : options_.interval; }
  // `waiting`: an answer to more than a PING is owed.
  Look OnTimer(absl::Duration now, bool waiting);

 private:
  // Since when the peer could have been heard, but was not.
  absl::Duration UnheardSince(bool waiting) const;

  const Options options_;
  absl::Duration last_heard_;
  // Of the first since the peer was heard; not later than that when nothing is waited for.
  absl::Duration request_at_;
  absl::Duration asked_at_;
  absl::Duration round_trip_ = absl::ZeroDuration();
  bool asked_ = false;
  bool for_request_ = false;  // An answer was waited for when the last PING was sent, or later.
  bool silent_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_LIVENESS_H_
