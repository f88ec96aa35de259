#include "controlplane/server/server_identity.h"

#include <memory>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/ca/testing/self_signed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class ServerIdentityTest : public ::testing::Test {
 protected:
  // Asks until nothing is due.
  bool Rotate() {
    const absl::StatusOr<bool> rotated = identity_->RotateIfDue();
    EXPECT_THAT(rotated, IsOk());
    EXPECT_THAT(identity_->RotateIfDue(), IsOkAndHolds(false));
    return rotated.value_or(false);
  }
  bool IsValid() const {
    const auto current = identity_->current();
    return current->not_before <= clock_.WallNow() && clock_.WallNow() < current->not_after;
  }

  FakeClock clock_;
  // The CA is older than what it signs.
  Authority authority_{SelfSigned("td", clock_.WallNow() - absl::Hours(48)), &clock_};
  std::unique_ptr<ServerIdentity> identity_ = *ServerIdentity::Create(&authority_, &clock_);
};

TEST_F(ServerIdentityTest, IsRenewedInTime) {
  EXPECT_FALSE(Rotate());
  clock_.Advance(ServerIdentity::kTtl * 0.39);
  EXPECT_FALSE(Rotate());
  clock_.Advance(ServerIdentity::kTtl * 0.02);
  EXPECT_TRUE(Rotate());
}

TEST_F(ServerIdentityTest, IsRenewedOnceAClockThatRanAheadIsRightAgain) {
  const absl::Time right = clock_.WallNow();
  for (const absl::Duration ahead : {absl::Hours(13), absl::Hours(24 * 60)}) {
    clock_.SetWall(right + ahead);
    EXPECT_TRUE(Rotate());
    clock_.SetWall(right);
    EXPECT_FALSE(IsValid());
    EXPECT_TRUE(Rotate());
    EXPECT_TRUE(IsValid());
  }
}

TEST_F(ServerIdentityTest, StaysWhereTheCaIsNotValidYetEither) {
  clock_.SetWall(clock_.WallNow() - absl::Hours(24 * 60));
  EXPECT_FALSE(IsValid());
  EXPECT_FALSE(Rotate());
}

TEST_F(ServerIdentityTest, StaysWhereTheClockIsSetBackALittle) {
  clock_.SetWall(clock_.WallNow() - absl::Seconds(30));
  EXPECT_FALSE(Rotate());
  EXPECT_TRUE(IsValid());
}

}  // namespace
}  // namespace byrnie
