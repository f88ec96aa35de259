#ifndef BYRNIE_TEST_BENCH_LOAD_HISTOGRAM_H_
#define BYRNIE_TEST_BENCH_LOAD_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace byrnie::load {

// Counts durations in buckets whose width grows with what is in them: nanoseconds up to 256 ns,
// above that 128 buckets for each power of two. A bucket stands for its middle, so a quantile is
// off by less than 0.4 % of itself (1/256). Least and greatest are kept as they were. What is
// longer than about 18 minutes counts as that, below zero as zero.
//
// Lives on one thread. 34 KiB, whatever is recorded.
class Histogram {
 public:
  Histogram();

  void Record(absl::Duration value);
  void Clear();

  uint64_t count() const { return count_; }
  // Zero when nothing was recorded, like all below.
  absl::Duration min() const { return absl::Nanoseconds(count_ == 0 ? 0 : min_); }
  absl::Duration max() const { return absl::Nanoseconds(max_); }
  absl::Duration mean() const;
  // The least value that a part `quantile` of all, 0 to 1, does not exceed.
  absl::Duration Quantile(double quantile) const;
  // How many were at least `low` and less than `high`, each as its bucket says.
  uint64_t CountBetween(absl::Duration low, absl::Duration high) const;

 private:
  static size_t IndexOf(uint64_t nanoseconds);
  static int64_t MiddleOf(size_t index);

  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  int64_t min_ = 0;
  int64_t max_ = 0;
  double sum_ = 0;  // Of so many nanoseconds that an integer might overflow.
};

}  // namespace byrnie::load

#endif  // BYRNIE_TEST_BENCH_LOAD_HISTOGRAM_H_
