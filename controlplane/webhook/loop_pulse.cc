#include "controlplane/webhook/loop_pulse.h"

#include "absl/strings/str_cat.h"

namespace byrnie {

LoopPulse::LoopPulse(EventLoop* loop, const Clock* clock)
    : clock_(clock), next_(loop->NewTimer([this] { Beat(); })) {
  Beat();
}

void LoopPulse::Beat() {
  last_beat_.store(absl::ToInt64Nanoseconds(clock_->MonotonicNow()), std::memory_order_relaxed);
  next_->Schedule(kBeat);
}

absl::Status LoopPulse::Check(absl::Duration patience) const {
  const absl::Duration since =
      clock_->MonotonicNow() - absl::Nanoseconds(last_beat_.load(std::memory_order_relaxed));
  if (since <= patience) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("its thread has done nothing for ", absl::ToInt64Seconds(since), " s"));
}

}  // namespace byrnie
