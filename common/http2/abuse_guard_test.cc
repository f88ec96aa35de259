#include "common/http2/abuse_guard.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(AbuseGuardTest, SaysSoOfEachThatIsTooMuchBesideWhatIsOpen) {
  AbuseGuard guard(absl::ZeroDuration());
  for (size_t i = 0; i < AbuseGuard::kLimit + 5; ++i) {
    ASSERT_FALSE(guard.Note(absl::Seconds(1), /*open_streams=*/5)) << i;
  }
  EXPECT_TRUE(guard.Note(absl::Seconds(1), 5));
  EXPECT_TRUE(guard.Note(absl::Seconds(1), 5));
}

TEST(AbuseGuardTest, IsNotPassedByOpeningStreamsAndEndingThem) {
  AbuseGuard guard(absl::ZeroDuration());
  for (size_t i = 0; i < AbuseGuard::kLimit + 50; ++i) {
    ASSERT_FALSE(guard.Note(absl::Seconds(1), /*open_streams=*/100)) << i;
  }
  EXPECT_TRUE(guard.Note(absl::Seconds(1), 0));
}

TEST(AbuseGuardTest, TakesAnotherLimit) {
  AbuseGuard guard(absl::ZeroDuration(), 2);
  EXPECT_FALSE(guard.Note(absl::Seconds(1), 0));
  EXPECT_FALSE(guard.Note(absl::Seconds(1), 0));
  EXPECT_TRUE(guard.Note(absl::Seconds(1), 0));
}

TEST(AbuseGuardTest, ForgetsAfterItsWindow) {
  AbuseGuard guard(absl::ZeroDuration());
  for (size_t i = 0; i < AbuseGuard::kLimit; ++i) ASSERT_FALSE(guard.Note(absl::Seconds(1), 0));
  EXPECT_FALSE(guard.Note(AbuseGuard::kWindow + absl::Seconds(1), 0));
}

}  // namespace
}  // namespace byrnie
