#include "common/base/backoff.h"

#include <algorithm>

#include "absl/random/uniform_real_distribution.h"
#include "common/base/check.h"

namespace byrnie {

Backoff::Backoff(const Options& options, absl::BitGenRef random)
    : options_(options), random_(random), limit_(options.initial) {
  CHECK_GT(options.initial, absl::ZeroDuration());
  CHECK_GE(options.max, options.initial);
  CHECK_LE(options.min, options.initial);
  CHECK_GE(options.multiplier, 1.0);
  CHECK(options.jitter >= 0.0 && options.jitter <= 1.0);
}

absl::Duration Backoff::Next() {
  const absl::Duration limit = limit_;
  limit_ = std::min(limit_ * options_.multiplier, options_.max);
  absl::uniform_real_distribution<double> unit(0.0, 1.0);
  const double keep = 1.0 - options_.jitter * unit(random_);
  return std::max(limit * keep, options_.min);
}

}  // namespace byrnie
