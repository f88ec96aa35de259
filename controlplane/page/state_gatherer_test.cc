#include "controlplane/page/state_gatherer.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/testing/fake_clock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class StateGathererTest : public ::testing::Test {
 protected:
  // What is there once what was asked for has been made.
  std::string LookUntil(const std::string& wanted) {
    while (true) {
      const std::shared_ptr<const std::string> text = gatherer_.Look();
      if (text != nullptr && *text == wanted) return *text;
      std::this_thread::yield();
    }
  }

  FakeClock clock_;
  std::atomic<int> made_{0};
  StateGatherer gatherer_{&clock_, [this] { return absl::StrCat(++made_); }};
};

TEST_F(StateGathererTest, MakesNothingUntilSomebodyAsks) {
  EXPECT_EQ(made_, 0);
  EXPECT_EQ(gatherer_.Look(), nullptr);
  EXPECT_EQ(LookUntil("1"), "1");
}

TEST_F(StateGathererTest, MakesOneForAllWhoAskAtATime) {
  LookUntil("1");
  for (int i = 0; i < 100; ++i) EXPECT_EQ(*gatherer_.Look(), "1");
  clock_.Advance(StateGatherer::kFresh);
  EXPECT_NE(gatherer_.Look(), nullptr) << "the last one, while the next is made";
  EXPECT_EQ(LookUntil("2"), "2");
  EXPECT_EQ(made_, 2);
}

TEST_F(StateGathererTest, GivesNobodyWhatSaysNothingAboutNow) {
  LookUntil("1");
  clock_.Advance(StateGatherer::kTooOld);
  EXPECT_EQ(gatherer_.Look(), nullptr);
  EXPECT_EQ(LookUntil("2"), "2");
}

TEST(StateGathererThreadTest, DoesNotWaitForATextAndEndsAfterIt) {
  FakeClock clock;
  absl::Notification began, go_on;
  std::atomic<bool> ended{false};
  auto gatherer = std::make_unique<StateGatherer>(&clock, [&] {
    began.Notify();
    go_on.WaitForNotification();
    ended = true;
    return std::string();
  });
  EXPECT_EQ(gatherer->Look(), nullptr);
  began.WaitForNotification();
  EXPECT_EQ(gatherer->Look(), nullptr);
  go_on.Notify();
  gatherer = nullptr;
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace byrnie
