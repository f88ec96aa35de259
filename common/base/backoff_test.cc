#include "common/base/backoff.h"

#include <random>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

Backoff::Options WithJitter(double jitter) {
  Backoff::Options options;
  options.initial = absl::Milliseconds(100);
  options.max = absl::Milliseconds(500);
  options.min = absl::Milliseconds(1);
  options.jitter = jitter;
  return options;
}

TEST(BackoffTest, DoublesUpToTheCapWithoutJitter) {
  std::mt19937_64 random(1);
  Backoff backoff(WithJitter(0), random);
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(100));
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(200));
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(400));
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(500));
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(500));
}

TEST(BackoffTest, StartsOverAfterReset) {
  std::mt19937_64 random(1);
  Backoff backoff(WithJitter(0), random);
  backoff.Next();
  backoff.Next();
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(100));
}

TEST(BackoffTest, StaysWithinTheJitteredRange) {
  std::mt19937_64 random(7);
  Backoff backoff(WithJitter(0.2), random);
  for (int i = 0; i < 1000; ++i) {
    backoff.Reset();
    absl::Duration wait = backoff.Next();
    ASSERT_GE(wait, absl::Milliseconds(80));
    ASSERT_LE(wait, absl::Milliseconds(100));
  }
}

TEST(BackoffTest, FullJitterSpreadsOverTheWholeRange) {
  std::mt19937_64 random(7);
  Backoff backoff(WithJitter(1), random);
  int low = 0;
  for (int i = 0; i < 1000; ++i) {
    backoff.Reset();
    absl::Duration wait = backoff.Next();
    ASSERT_GE(wait, absl::Milliseconds(1));
    ASSERT_LE(wait, absl::Milliseconds(100));
    if (wait < absl::Milliseconds(50)) ++low;
  }
  EXPECT_GT(low, 400);
  EXPECT_LT(low, 600);
}

TEST(BackoffTest, NeverOverflowsHoweverManyFailures) {
  std::mt19937_64 random(7);
  Backoff backoff(WithJitter(0), random);
  for (int i = 0; i < 10000; ++i) backoff.Next();
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(500));
}

}  // namespace
}  // namespace byrnie
