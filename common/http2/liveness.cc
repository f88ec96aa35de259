#include "common/http2/liveness.h"

#include <algorithm>

namespace byrnie {

bool Liveness::OnRequest(absl::Duration now) {
  for_request_ = true;
  if (request_at_ > last_heard_) return false;
  request_at_ = now;
  return true;
}

bool Liveness::OnAnswer(absl::Duration now) {
  if (!asked_) return false;
  asked_ = false;
  round_trip_ = now - asked_at_;
  return true;
}

absl::Duration Liveness::UnheardSince(bool waiting) const {
  absl::Duration since = asked_ ? asked_at_ : request_at_;
  if (waiting) since = std::min(since, request_at_);
  return std::max(since, last_heard_);
}

Liveness::Look Liveness::OnTimer(absl::Duration now, bool waiting) {
  if (!waiting) request_at_ = last_heard_;
  if (!asked_) {
    const absl::Duration quiet = now - last_heard_;
    absl::Duration due = options_.interval - quiet;
    if (waiting) due = std::min(due, options_.patience - (now - UnheardSince(waiting)));
    if (due > absl::ZeroDuration()) return {Verdict::kWait, due, quiet};
    asked_ = true;
    asked_at_ = now;
    for_request_ = waiting;
    // Of what was asked before, the PING has its own time to be answered all the same: this process
    // may have slept.
    const absl::Duration left = UnheardSince(waiting) + options_.silence - now;
    const absl::Duration next = std::max(left, options_.silence - options_.patience);
    return {Verdict::kSendPing, std::min(next, options_.timeout), quiet};
  }
  const absl::Duration silent = now - std::max(asked_at_, last_heard_);
  const absl::Duration left = options_.timeout - silent;
  if (left <= absl::ZeroDuration()) return {Verdict::kDead, absl::InfiniteDuration(), silent};
  if (silent_) return {Verdict::kWait, left, silent};
  const absl::Duration unheard = now - UnheardSince(waiting);
  const absl::Duration until = std::max(options_.silence - unheard,
                                        options_.silence - options_.patience - (now - asked_at_));
  if (until > absl::ZeroDuration()) return {Verdict::kWait, std::min(until, left), silent};
  silent_ = true;
  return {Verdict::kSilent, left, unheard};
}

}  // namespace byrnie
