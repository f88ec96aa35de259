// What is not a matter of a whole store; the rest is in store_conformance_test.

#include "controlplane/store/watch_hub.h"

#include <memory>
#include <string>

#include "absl/synchronization/notification.h"
#include "controlplane/store/testing/recording_listener.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(WatchHubTest, AListenerThatIsFarBehindReadsAgain) {
  WatchHub hub;
  RecordingListener listener;
  absl::Notification reading, published;
  bool first = true;
  listener.ReadWith([&] {
    if (first) {
      first = false;
      reading.Notify();
      published.WaitForNotification();
    }
    return absl::OkStatus();
  });
  const std::unique_ptr<StoreWatch> watch = hub.Watch("", &listener);
  reading.WaitForNotification();
  for (int i = 1; i <= 5000; ++i) hub.Publish({{"a", "1"}}, i);
  published.Notify();
  EXPECT_TRUE(listener.AwaitResets(2));
  hub.Publish({{"a", "2"}}, 5001);
  EXPECT_TRUE(listener.Await("a=2 ; ")) << listener.text();
}

TEST(WatchHubTest, AResetBeginsEveryWatchAnew) {
  WatchHub hub;
  RecordingListener one;
  RecordingListener other;
  const std::unique_ptr<StoreWatch> watch_one = hub.Watch("a", &one);
  const std::unique_ptr<StoreWatch> watch_other = hub.Watch("b", &other);
  ASSERT_TRUE(one.AwaitResets(1) && other.AwaitResets(1));
  hub.Reset();
  EXPECT_TRUE(one.AwaitResets(2) && other.AwaitResets(2));
}

TEST(WatchHubTest, AWatchMayEndWhileAnotherIsTold) {
  WatchHub hub;
  RecordingListener slow;
  absl::Notification reading, go_on;
  slow.ReadWith([&] {
    reading.Notify();
    go_on.WaitForNotification();
    return absl::OkStatus();
  });
  const std::unique_ptr<StoreWatch> watch = hub.Watch("", &slow);
  RecordingListener quick;
  std::unique_ptr<StoreWatch> other = hub.Watch("", &quick);
  reading.WaitForNotification();
  other = nullptr;
  go_on.Notify();
  EXPECT_TRUE(slow.AwaitResets(1));
}

}  // namespace
}  // namespace byrnie
