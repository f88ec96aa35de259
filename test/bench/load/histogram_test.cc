#include "test/bench/load/histogram.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace byrnie::load {
namespace {

TEST(HistogramTest, SaysZeroOfNothing) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.Quantile(0.5), absl::ZeroDuration());
  EXPECT_EQ(histogram.min(), absl::ZeroDuration());
  EXPECT_EQ(histogram.max(), absl::ZeroDuration());
  EXPECT_EQ(histogram.mean(), absl::ZeroDuration());
  EXPECT_EQ(histogram.CountBetween(absl::ZeroDuration(), absl::Hours(1)), 0u);
}

TEST(HistogramTest, IsExactAboutAFewNanoseconds) {
  Histogram histogram;
  for (int i = 1; i <= 200; ++i) histogram.Record(absl::Nanoseconds(i));
  EXPECT_EQ(histogram.Quantile(0), absl::Nanoseconds(1));
  EXPECT_EQ(histogram.Quantile(0.5), absl::Nanoseconds(100));
  EXPECT_EQ(histogram.Quantile(0.99), absl::Nanoseconds(198));
  EXPECT_EQ(histogram.Quantile(1), absl::Nanoseconds(200));
  EXPECT_EQ(histogram.mean(), absl::Nanoseconds(100.5));
}

TEST(HistogramTest, OneValueIsEveryQuantile) {
  Histogram histogram;
  histogram.Record(absl::Microseconds(1234567));
  for (const double quantile : {0.0, 0.5, 0.999, 1.0}) {
    EXPECT_EQ(histogram.Quantile(quantile), absl::Microseconds(1234567));
  }
}

// The error that the header promises, for every size there is.
TEST(HistogramTest, IsOffByLessThanOnePartIn256) {
  for (uint64_t value = 1; value < (uint64_t{1} << 39); value += value / 37 + 1) {
    Histogram histogram;
    // Others around it, so that it is not taken from the least and the greatest.
    histogram.Record(absl::ZeroDuration());
    histogram.Record(absl::Nanoseconds(value));
    histogram.Record(absl::Nanoseconds(4 * value));
    const double found = absl::ToDoubleNanoseconds(histogram.Quantile(0.5));
    const double exact = static_cast<double>(value);
    ASSERT_LE(std::abs(found - exact), exact / 256) << value;
  }
}

TEST(HistogramTest, AgreesWithSortedValues) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> spread(11, 2);
  Histogram histogram;
  std::vector<double> values;
  for (int i = 0; i < 20000; ++i) {
    values.push_back(std::floor(spread(random)));
    histogram.Record(absl::Nanoseconds(values.back()));
  }
  std::sort(values.begin(), values.end());
  for (const double quantile : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const double exact =
        values[static_cast<size_t>(std::ceil(quantile * static_cast<double>(values.size()))) - 1];
    EXPECT_NEAR(absl::ToDoubleNanoseconds(histogram.Quantile(quantile)), exact, exact / 256 + 1)
        << quantile;
  }
  EXPECT_EQ(absl::ToDoubleNanoseconds(histogram.max()), values.back());
  EXPECT_EQ(absl::ToDoubleNanoseconds(histogram.min()), values.front());
}

TEST(HistogramTest, NeighbouringValuesNeverSwap) {
  absl::Duration before = absl::ZeroDuration();
  for (int power = 1; power < 40; ++power) {
    for (int64_t offset = -1; offset <= 1; ++offset) {
      Histogram histogram;
      histogram.Record(absl::ZeroDuration());
      histogram.Record(absl::Nanoseconds((int64_t{1} << power) + offset));
      histogram.Record(absl::Hours(1));
      ASSERT_GE(histogram.Quantile(0.5), before) << power;
      before = histogram.Quantile(0.5);
    }
  }
}

TEST(HistogramTest, KeepsWhatIsOutOfItsRange) {
  Histogram histogram;
  histogram.Record(absl::Nanoseconds(-5));
  histogram.Record(absl::InfiniteDuration());
  EXPECT_EQ(histogram.count(), 2u);
  EXPECT_EQ(histogram.min(), absl::ZeroDuration());
  EXPECT_GT(histogram.max(), absl::Minutes(18));
}

TEST(HistogramTest, CountsARange) {
  Histogram histogram;
  for (const int milliseconds : {1, 34, 36, 40, 44, 49, 51, 200}) {
    histogram.Record(absl::Milliseconds(milliseconds));
  }
  EXPECT_EQ(histogram.CountBetween(absl::Milliseconds(35), absl::Milliseconds(50)), 4u);
}

TEST(HistogramTest, ForgetsWhatWasBeforeClear) {
  Histogram histogram;
  histogram.Record(absl::Seconds(1));
  histogram.Clear();
  histogram.Record(absl::Nanoseconds(3));
  EXPECT_EQ(histogram.count(), 1u);
  EXPECT_EQ(histogram.max(), absl::Nanoseconds(3));
  EXPECT_EQ(histogram.Quantile(1), absl::Nanoseconds(3));
}

}  // namespace
}  // namespace byrnie::load
