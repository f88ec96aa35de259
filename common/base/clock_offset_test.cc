#include "common/base/clock_offset.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);

TEST(ClockOffsetTest, IsUnknownBeforeTheFirstExchange) {
  EXPECT_EQ(ClockOffset().value(), absl::nullopt);
  EXPECT_EQ(ClockOffsetHint(ClockOffset().value()), "");
}

TEST(ClockOffsetTest, ComparesWithTheMiddleOfTheExchange) {
  ClockOffset offset;
  offset.OnExchange(absl::Seconds(2), kNow, kNow + absl::Seconds(8));
  EXPECT_EQ(offset.value(), absl::Seconds(9));
  EXPECT_EQ(ClockOffsetHint(offset.value()), "your clock is 9 s behind the mesh");
}

TEST(ClockOffsetTest, DoesNotClaimMoreThanAnExchangeCanTell) {
  ClockOffset offset;
  offset.OnExchange(absl::Seconds(10), kNow, kNow - absl::Seconds(9));
  EXPECT_EQ(offset.value(), absl::ZeroDuration());
  EXPECT_EQ(ClockOffsetHint(offset.value()), "");
}

TEST(ClockOffsetTest, FollowsAClockThatIsSet) {
  ClockOffset offset;
  offset.OnJump(absl::Hours(1));
  EXPECT_EQ(offset.value(), absl::nullopt);
  offset.OnExchange(absl::ZeroDuration(), kNow, kNow);
  offset.OnJump(absl::Hours(1));
  EXPECT_EQ(offset.value(), -absl::Hours(1));
  EXPECT_EQ(ClockOffsetHint(offset.value()), "your clock is 3600 s ahead of the mesh");
}

}  // namespace
}  // namespace byrnie
