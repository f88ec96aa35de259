#include "controlplane/server/server_identity.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/telemetry/log.h"
#include "controlplane/ca/testing/self_signed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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

TEST_F(ServerIdentityTest, SaysOnceAMinuteThatTheCaHasEnded) {
  const int log_fd = memfd_create("log", MFD_CLOEXEC);
  {
    Logger logger(log_fd, Logger::Format::kText, LogLevel::kInfo);
    clock_.Advance(absl::Hours(24 * 365 * 30));
    for (int i = 0; i < 150; ++i) {
      identity_->KeepCurrent("control plane", &logger);
      clock_.Advance(absl::Milliseconds(500));
    }
  }
  std::string text(lseek(log_fd, 0, SEEK_CUR), '\0');
  EXPECT_EQ(pread(log_fd, &text[0], text.size(), 0), static_cast<ssize_t>(text.size()));
  close(log_fd);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << text;
  EXPECT_THAT(text, AllOf(HasSubstr("cannot renew an own certificate"), HasSubstr("not_logged=0"),
                          HasSubstr("not_logged=119")));
}

}  // namespace
}  // namespace byrnie
