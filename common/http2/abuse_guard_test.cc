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

TEST(AbuseGuardTest, TakesSeveralAtOnce) {
  AbuseGuard guard(absl::ZeroDuration(), 10);
  EXPECT_FALSE(guard.Note(absl::Seconds(1), 0, 10));
  EXPECT_TRUE(guard.Note(absl::Seconds(1), 0, 1));
}

TEST(AbuseGuardTest, ForgetsAfterItsWindow) {
  AbuseGuard guard(absl::ZeroDuration());
  for (size_t i = 0; i < AbuseGuard::kLimit; ++i) ASSERT_FALSE(guard.Note(absl::Seconds(1), 0));
  EXPECT_FALSE(guard.Note(AbuseGuard::kWindow + absl::Seconds(1), 0));
}

TEST(FrameCreditTest, HasNothingForThoseThatNothingWasSentFor) {
  FrameCredit credit;
  EXPECT_EQ(credit.Spend(3), 3u);
  credit.OnStream();
  EXPECT_EQ(credit.Spend(FrameCredit::kPerStream - 1), 0u);
  EXPECT_EQ(credit.Spend(3), 2u);
  EXPECT_EQ(credit.Spend(1), 1u);
}

TEST(FrameCreditTest, HasMoreForLargerFrames) {
  FrameCredit credit;
  credit.OnDataSent(1);
  EXPECT_EQ(credit.Spend(100), 100 - FrameCredit::kPerDataFrame);
  credit.OnDataSent(16384);
  EXPECT_EQ(credit.Spend(1000), 1000 - FrameCredit::kPerDataFrame - 128);
}

TEST(FrameCreditTest, KeepsNoMoreThanSomeoneMayNeed) {
  FrameCredit credit;
  for (int i = 0; i < 100000; ++i) credit.OnDataSent(16384);
  EXPECT_EQ(credit.Spend(FrameCredit::kMost + 7), 7u);
}

}  // namespace
}  // namespace byrnie
