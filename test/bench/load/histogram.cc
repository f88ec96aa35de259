#include "test/bench/load/histogram.h"

#include <algorithm>
#include <cmath>

namespace byrnie::load {
namespace {

constexpr int kBitsPerPower = 7;
constexpr uint64_t kPerPower = uint64_t{1} << kBitsPerPower;
// Below it each number has a bucket.
constexpr uint64_t kExact = 2 * kPerPower;
constexpr int kHighestPower = 40;
constexpr uint64_t kMost = (uint64_t{1} << kHighestPower) - 1;
constexpr size_t kBuckets = kExact + (kHighestPower - kBitsPerPower - 1) * kPerPower;

}  // namespace

Histogram::Histogram() : buckets_(kBuckets) {}

size_t Histogram::IndexOf(uint64_t nanoseconds) {
  if (nanoseconds < kExact) return nanoseconds;
  // So that what is left are the highest eight bits.
  const int shift = 63 - __builtin_clzll(nanoseconds) - kBitsPerPower;
  return kExact + (shift - 1) * kPerPower + ((nanoseconds >> shift) - kPerPower);
}

int64_t Histogram::MiddleOf(size_t index) {
  if (index < kExact) return static_cast<int64_t>(index);
  const int shift = static_cast<int>((index - kExact) / kPerPower) + 1;
  const uint64_t low = ((index - kExact) % kPerPower + kPerPower) << shift;
  return static_cast<int64_t>(low + (uint64_t{1} << shift) / 2);
}

void Histogram::Record(absl::Duration value) {
  const int64_t nanoseconds =
      std::clamp<int64_t>(absl::ToInt64Nanoseconds(value), 0, static_cast<int64_t>(kMost));
  ++buckets_[IndexOf(static_cast<uint64_t>(nanoseconds))];
  min_ = count_ == 0 ? nanoseconds : std::min(min_, nanoseconds);
  max_ = std::max(max_, nanoseconds);
  sum_ += static_cast<double>(nanoseconds);
  ++count_;
}

void Histogram::Clear() {
  std::fill(buckets_.begin(), buckets_.end(), 0);
  count_ = 0;
  min_ = max_ = 0;
  sum_ = 0;
}

absl::Duration Histogram::mean() const {
  return count_ == 0 ? absl::ZeroDuration() : absl::Nanoseconds(sum_ / static_cast<double>(count_));
}

absl::Duration Histogram::Quantile(double quantile) const {
  if (count_ == 0) return absl::ZeroDuration();
  const double wanted = std::ceil(std::clamp(quantile, 0.0, 1.0) * static_cast<double>(count_));
  const uint64_t rank = std::max<uint64_t>(1, static_cast<uint64_t>(wanted));
  uint64_t seen = 0;
  size_t index = 0;
  while ((seen += buckets_[index]) < rank) ++index;
  // The middle of a bucket that is not full may lie beyond what was recorded.
  return absl::Nanoseconds(std::clamp(MiddleOf(index), min_, max_));
}

uint64_t Histogram::CountBetween(absl::Duration low, absl::Duration high) const {
  uint64_t found = 0;
  for (size_t index = 0; index < buckets_.size(); ++index) {
    const absl::Duration value = absl::Nanoseconds(MiddleOf(index));
    if (value >= low && value < high) found += buckets_[index];
  }
  return found;
}

}  // namespace byrnie::load
