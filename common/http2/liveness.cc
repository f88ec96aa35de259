#include "common/http2/liveness.h"

#include <algorithm>

namespace byrnie {

Liveness::Look Liveness::OnTimer(absl::Duration now) {
  if (!asked_) {
    const absl::Duration quiet = now - last_heard_;
    if (quiet < interval_) return {Verdict::kWait, interval_ - quiet, quiet};
    asked_ = true;
    asked_at_ = now;
    return {Verdict::kSendPing, timeout_, quiet};
  }
  const absl::Duration silent = now - std::max(asked_at_, last_heard_);
  if (silent < timeout_) return {Verdict::kWait, timeout_ - silent, silent};
  return {Verdict::kDead, absl::InfiniteDuration(), silent};
}

}  // namespace byrnie
