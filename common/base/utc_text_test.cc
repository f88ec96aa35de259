#include "common/base/utc_text.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(UtcTextTest, IsToTheSecondAndEndsInZ) {
  EXPECT_EQ(UtcText(absl::UnixEpoch()), "1970-01-01T00:00:00Z");
  EXPECT_EQ(UtcText(absl::FromUnixMillis(1795855374999)), "2026-11-28T08:42:54Z");
  EXPECT_EQ(UtcText(absl::FromUnixMillis(-1)), "1969-12-31T23:59:59Z");
}

TEST(UtcTextTest, IsToTheMillisecondWhereOrderCounts) {
  EXPECT_EQ(UtcMillisText(absl::UnixEpoch()), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(UtcMillisText(absl::FromUnixNanos(1795855374120999999)), "2026-11-28T08:42:54.120Z");
}

TEST(UtcTextTest, SaysWhatIsInfinite) {
  EXPECT_EQ(UtcText(absl::InfiniteFuture()), "infinite-future");
  EXPECT_EQ(UtcText(absl::InfinitePast()), "infinite-past");
}

}  // namespace
}  // namespace byrnie
