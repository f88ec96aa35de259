#include "common/base/end_deadline.h"

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(EndDeadlineTest, SaysThatItIsOverdueWhileWhatTakesTooLongGoesOn) {
  absl::Notification said;
  const EndDeadline deadline(absl::Milliseconds(1), [&] { said.Notify(); });
  said.WaitForNotification();
}

TEST(EndDeadlineTest, SaysNothingAboutWhatEndsInTime) {
  bool said = false;
  {
    const EndDeadline deadline(absl::Hours(1), [&] { said = true; });
  }
  EXPECT_FALSE(said);
}

}  // namespace
}  // namespace byrnie
