#include "controlplane/ca/issue_limiter.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/retry_after.h"

namespace byrnie {
namespace {

// Of the rate; the rest is for those who come for the first time.
constexpr double kPartForRetries = 0.8;

}  // namespace

constexpr absl::Duration IssueLimiter::kLongestWait;

IssueLimiter::IssueLimiter(double per_second)
    : per_second_(per_second), burst_(std::max(per_second / 10, 1.0)), tokens_(burst_) {}

absl::Status IssueLimiter::Admit(absl::Duration now) {
  if (per_second_ <= 0) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  if (refilled_ > -absl::InfiniteDuration()) {
    tokens_ += absl::ToDoubleSeconds(now - refilled_) * per_second_;
  }
  refilled_ = now;
  tokens_ = std::min(tokens_, burst_);
  if (tokens_ >= 1) {
    tokens_ -= 1;
    return absl::OkStatus();
  }
  // Not sooner than a second, which is what a client's own first retry waits.
  last_slot_ = std::max(last_slot_, now + absl::Seconds(1)) +
               absl::Seconds(1) / (per_second_ * kPartForRetries);
  last_slot_ = std::min(last_slot_, now + kLongestWait);
  absl::Status refused = absl::ResourceExhaustedError(absl::StrCat(
      "more than ", per_second_, " of these are asked for in a second; come back later"));
  SetRetryAfter(&refused, last_slot_ - now);
  return refused;
}

}  // namespace byrnie
