#include "common/telemetry/line_budget.h"

#include <algorithm>
#include <utility>

namespace byrnie {

constexpr double LineBudget::kAtOnce;
constexpr double LineBudget::kPerSecond;

absl::optional<uint64_t> LineBudget::Admit(absl::Duration now) {
  absl::MutexLock lock(&mu_);
  left_ = std::min(kAtOnce, left_ + absl::ToDoubleSeconds(now - filled_) * kPerSecond);
  filled_ = now;
  if (left_ < 1) {
    ++unsaid_;
    return absl::nullopt;
  }
  left_ -= 1;
  return std::exchange(unsaid_, 0);
}

}  // namespace byrnie
