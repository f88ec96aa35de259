#include "controlplane/ca/issuing_window.h"

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::Duration kLength = absl::Minutes(10);

class IssuingWindowTest : public ::testing::Test {
 protected:
  IssuingWindow::Instant Now() const { return {clock_.WallNow(), clock_.MonotonicNow()}; }

  FakeClock clock_;
  IssuingWindow window_{kLength, &clock_};
};

TEST_F(IssuingWindowTest, IsShutWhenNothingWasConfirmedForItsLength) {
  EXPECT_THAT(window_.Check(), IsOk());
  clock_.Advance(kLength);
  EXPECT_THAT(window_.Check(), IsOk());
  EXPECT_EQ(window_.Left(), absl::ZeroDuration());
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(window_.Check(), StatusIs(absl::StatusCode::kUnavailable,
                                        AllOf(HasSubstr("--issue_without_store=10m"),
                                              HasSubstr("10m1s"), HasSubstr("another one"))));
}

TEST_F(IssuingWindowTest, OpensAgainWithTheNextConfirmation) {
  clock_.Advance(absl::Hours(5));
  EXPECT_FALSE(window_.Check().ok());
  window_.Confirm(Now());
  EXPECT_THAT(window_.Check(), IsOk());
}

// An answer that was long on its way confirms what was true when it was asked for.
TEST_F(IssuingWindowTest, CountsFromTheQuestion) {
  const IssuingWindow::Instant asked = Now();
  clock_.Advance(kLength);
  window_.Confirm(asked);
  clock_.Advance(absl::Seconds(1));
  EXPECT_FALSE(window_.Check().ok());
}

TEST_F(IssuingWindowTest, IsNotHeldOpenByAClockThatWasSetBack) {
  clock_.Advance(kLength + absl::Seconds(1));
  clock_.SetWall(clock_.WallNow() - absl::Hours(3));
  EXPECT_FALSE(window_.Check().ok());
}

TEST_F(IssuingWindowTest, CountsTheTimeAMachineWasSuspended) {
  clock_.SetWall(clock_.WallNow() + absl::Hours(3));
  EXPECT_FALSE(window_.Check().ok());
}

}  // namespace
}  // namespace byrnie
