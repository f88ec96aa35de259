#include "controlplane/stream/stream_waker.h"

#include <atomic>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(StreamWakerTest, ManyChangesDuringARoundAreOneMore) {
  absl::Notification first_runs, first_may_end, second_ran;
  std::atomic<int> rounds{0};
  {
    StreamWaker waker([&] {
      if (++rounds == 1) {
        first_runs.Notify();
        first_may_end.WaitForNotification();
      } else {
        second_ran.Notify();  // A third would abort.
      }
    });
    waker.Wake();
    first_runs.WaitForNotification();
    for (int i = 0; i < 100; ++i) waker.Wake();
    first_may_end.Notify();
    second_ran.WaitForNotification();
  }
  EXPECT_EQ(rounds, 2);
}

TEST(StreamWakerTest, EndsWithoutARound) {
  StreamWaker waker([] { FAIL(); });
}

}  // namespace
}  // namespace byrnie
