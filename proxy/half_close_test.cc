#include "proxy/half_close.h"

#include "common/net/socket.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(60);

HalfClosed Heard(absl::Duration quiet, absl::Duration downstream, absl::Duration upstream) {
  HalfClosed facts;
  facts.quiet = quiet;
  facts.downstream_unheard = downstream;
  facts.upstream_unheard = upstream;
  return facts;
}

TEST(HalfCloseTest, WaitsUntilItHasBeenQuietForTheTimeout) {
  const absl::Duration never = absl::InfiniteDuration();
  EXPECT_EQ(NextLookAtHalfClosed(Heard(absl::Seconds(1), never, never), kTimeout),
            absl::Seconds(59));
  EXPECT_EQ(NextLookAtHalfClosed(Heard(absl::Seconds(59), never, never), kTimeout),
            absl::Seconds(1));
}

TEST(HalfCloseTest, GoesOnForHoursWhileBothEndsAreThere) {
  for (const absl::Duration quiet : {kTimeout, absl::Minutes(2), absl::Hours(30)}) {
    EXPECT_EQ(NextLookAtHalfClosed(Heard(quiet, absl::Seconds(3), absl::ZeroDuration()), kTimeout),
              kTimeout);
    EXPECT_EQ(NextLookAtHalfClosed(
                  Heard(quiet, kHeardLately - absl::Milliseconds(1), absl::Seconds(3)), kTimeout),
              kTimeout);
  }
}

TEST(HalfCloseTest, EndsWhenEitherEndIsSilent) {
  for (const absl::Duration silent : {kHeardLately, absl::Minutes(1), absl::InfiniteDuration()}) {
    EXPECT_EQ(NextLookAtHalfClosed(Heard(kTimeout, silent, absl::Seconds(1)), kTimeout),
              absl::nullopt);
    EXPECT_EQ(NextLookAtHalfClosed(Heard(kTimeout, absl::Seconds(1), silent), kTimeout),
              absl::nullopt);
    EXPECT_EQ(NextLookAtHalfClosed(Heard(kTimeout, silent, silent), kTimeout), absl::nullopt);
  }
}

TEST(HalfCloseTest, LeavesAReaderThatIsGoneToItsStream) {
  HalfClosed facts = Heard(absl::Hours(1), absl::Minutes(1), absl::Minutes(1));
  facts.undelivered = true;
  EXPECT_EQ(NextLookAtHalfClosed(facts, kTimeout), kTimeout);
}

TEST(HalfCloseTest, LooksNoOftenerThanKeepalivesGo) {
  const HalfClosed facts = Heard(absl::Hours(1), absl::Seconds(1), absl::Seconds(1));
  EXPECT_EQ(NextLookAtHalfClosed(facts, absl::Milliseconds(1)), kShortKeepaliveIdle);
  EXPECT_EQ(NextLookAtHalfClosed(facts, absl::Seconds(5)), absl::Seconds(5));
}

TEST(HalfCloseTest, TakesLostKeepalivesForLostAndTheKernelsVerdictForLater) {
  EXPECT_EQ(kHeardLately, 4 * kShortKeepaliveIdle);
  EXPECT_LT(kHeardLately, (1 + kShortKeepaliveProbes) * kShortKeepaliveIdle);
}

TEST(HalfCloseTest, NamesTheEndThatIsSilent) {
  EXPECT_EQ(
      WhyHalfClosedEnds(Heard(kTimeout, absl::Seconds(3), absl::Milliseconds(12600)), kTimeout),
      "half closed and idle for 1m, upstream not heard of for 12s");
  EXPECT_EQ(WhyHalfClosedEnds(Heard(kTimeout, absl::Seconds(14), absl::Seconds(3)), kTimeout),
            "half closed and idle for 1m, downstream not heard of for 14s");
  EXPECT_EQ(WhyHalfClosedEnds(Heard(kTimeout, absl::InfiniteDuration(), absl::Seconds(3)),
                              absl::Seconds(5)),
            "half closed and idle for 5s, downstream not heard of for inf");
}

}  // namespace
}  // namespace byrnie
