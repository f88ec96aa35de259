// Clocks that are wrong: this machine's, or the authority's as seen from here.
#include <string>

#include "certagent/testing/renewer_fixture.h"
#include "common/base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RenewerClockTest : public RenewerFixture {};

TEST_F(RenewerClockTest, SaysThatItsClockIsWrongWhenTheCertificateIsNotValidYet) {
  ca_.ahead = absl::Seconds(9);
  ca_.back_dating = absl::Seconds(2);
  renewer_->Start();
  loop_.RunUntilIdle();
  EXPECT_THAT(published_, IsEmpty());
  EXPECT_EQ(renewer_->authority_clock_offset(), absl::Seconds(9));
  EXPECT_THAT(std::string(renewer_->last_error().message()),
              AllOf(HasSubstr("is valid in 7"), HasSubstr("your clock is 9 s behind the mesh")));
}

TEST_F(RenewerClockTest, RenewsWithinASecondOfAClockThatJumpedTwoLivesAhead) {
  StartAndIssue();
  loop_.clock()->SetWall(loop_.WallNow() + absl::Hours(2));
  loop_.RunUntilIdle();
  EXPECT_FALSE(renewer_->HasValidCertificate());
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(published_.size(), 2u);
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_FALSE(ca_.calls.back().with_identity);
}

TEST_F(RenewerClockTest, RenewsWhenTheClockIsSetToBeforeTheCertificate) {
  StartAndIssue();
  loop_.clock()->SetWall(loop_.WallNow() - absl::Hours(1));
  EXPECT_FALSE(renewer_->HasValidCertificate());
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(published_.size(), 2u);
  EXPECT_TRUE(renewer_->HasValidCertificate());
}

TEST_F(RenewerClockTest, RenewsInTimeWhenTheClockIsSetBackButTheCertificateStaysValid) {
  StartAndIssue();
  loop_.AdvanceTime(absl::Minutes(30));
  loop_.clock()->SetWall(loop_.WallNow() - absl::Minutes(29));
  EXPECT_TRUE(renewer_->HasValidCertificate());
  loop_.AdvanceTime(absl::Minutes(2));
  EXPECT_EQ(published_.size(), 2u);
}

TEST_F(RenewerClockTest, RenewsInTimeAfterAMachineSleptThroughTheRenewal) {
  StartAndIssue();
  // The monotonic clock stands still meanwhile.
  loop_.clock()->SetWall(loop_.WallNow() + absl::Minutes(50));
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(published_.size(), 2u);
}

TEST_F(RenewerClockTest, NeitherSpinsNorHammersWhileTheClockIsWrong) {
  StartAndIssue();
  for (const absl::Duration jump : {absl::Hours(2), -absl::Hours(3)}) {
    // The authority's clock stays as it was, so that nothing it issues is valid here.
    ca_.ahead -= jump;
    loop_.clock()->SetWall(loop_.WallNow() + jump);
    const size_t before = ca_.calls.size();
    loop_.AdvanceTime(absl::Seconds(5));
    EXPECT_FALSE(renewer_->HasValidCertificate());
    EXPECT_FALSE(CanSignWithPublished());
    EXPECT_GE(ca_.calls.size(), before + 1);
    EXPECT_LE(ca_.calls.size(), before + 5);
    EXPECT_FALSE(loop_.RunOnce());
    EXPECT_THAT(std::string(renewer_->last_error().message()),
                HasSubstr(jump > absl::ZeroDuration() ? "7200 s ahead of" : "3600 s behind"));
  }
}

TEST_F(RenewerClockTest, RepeatsInTimeWhenTheClockIsSetBackDuringAnOutage) {
  StartAndIssue();
  loop_.AdvanceTime(absl::Minutes(20));
  ca_.failure = absl::UnavailableError("down");
  renewer_->RenewNow();
  loop_.RunUntilIdle();
  ca_.failure = absl::OkStatus();
  loop_.clock()->SetWall(loop_.WallNow() - absl::Minutes(15));
  loop_.AdvanceTime(absl::Seconds(2));
  EXPECT_EQ(published_.size(), 2u);
}

// The authority's clock is right and its window in the middle of the certificate's life; ours is
// ahead of it.
TEST_F(RenewerClockTest, MakesNoLoopOfAClockThatIsAhead) {
  for (const absl::Duration ahead : {absl::Minutes(30), absl::Minutes(40), absl::Minutes(59)}) {
    SCOPED_TRACE(ahead);
    ca_.ahead = -ahead;
    const absl::Time issued = loop_.WallNow() - ahead;
    ca_.window = RenewalWindow{issued + absl::Minutes(27), issued + absl::Minutes(36)};
    const size_t before = ca_.calls.size();
    Make(absl::nullopt);
    renewer_->Start();
    loop_.AdvanceTime(absl::Seconds(10));
    EXPECT_TRUE(renewer_->HasValidCertificate());
    EXPECT_LE(ca_.calls.size(), before + 11);
  }
}

TEST_F(RenewerClockTest, SaysThatItsClockIsWrongWhenTheAuthorityIsNotReached) {
  ca_.ahead = absl::Seconds(9);
  StartAndIssue();
  ca_.failure = absl::UnavailableError("down");
  SetRetryAfter(&ca_.failure, absl::Minutes(2));
  renewer_->RenewNow();
  loop_.AdvanceTime(absl::Seconds(10));
  EXPECT_THAT(std::string(renewer_->last_error().message()),
              HasSubstr("down; your clock is 9 s behind the mesh"));
  EXPECT_EQ(ca_.calls.size(), 2u);  // Retry-after is kept.
}

}  // namespace
}  // namespace byrnie
