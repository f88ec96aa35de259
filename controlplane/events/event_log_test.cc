#include "controlplane/events/event_log.h"

#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class EventLogTest : public ::testing::Test {
 protected:
  // The subjects of what is kept after `cursor`.
  static std::vector<std::string> Read(const EventLog& log, EventCursor cursor) {
    std::vector<std::string> subjects;
    for (;;) {
      const EventLog::Answer answer = log.Next(cursor);
      if (!answer.event.has_value()) return subjects;
      subjects.push_back(answer.event->subject);
      cursor = log.After(*answer.event);
    }
  }

  void Add(EventLog* log, const std::string& subject) {
    log->Add(EventKind::kPolicyChanged, subject, "changed", "me");
  }

  FakeClock clock_;
  EventLog log_{&clock_, 3};
};

TEST_F(EventLogTest, AReaderThatComesBackGoesOnWhereItWas) {
  Add(&log_, "a");
  Add(&log_, "b");
  const EventCursor cursor = log_.After(*log_.Next({}).event);
  auto parsed = EventCursor::Parse(cursor.ToString());
  ASSERT_THAT(parsed, IsOk());
  Add(&log_, "c");
  EXPECT_THAT(Read(log_, *parsed), ElementsAre("b", "c"));
  EXPECT_EQ(log_.Next(*parsed).missed, 0u);
  EXPECT_FALSE(log_.Next(*parsed).restarted);
}

TEST_F(EventLogTest, AReaderIsToldHowManyItMissed) {
  Add(&log_, "a");
  const EventCursor cursor = log_.After(*log_.Next({}).event);
  for (const char* subject : {"b", "c", "d", "e"}) Add(&log_, subject);
  const EventLog::Answer answer = log_.Next(cursor);
  EXPECT_EQ(answer.missed, 1u);
  EXPECT_EQ(answer.event->subject, "c");
  EXPECT_THAT(Read(log_, cursor), ElementsAre("c", "d", "e"));
}

TEST_F(EventLogTest, AReaderOfAnEarlierProcessIsToldThatNobodyKnows) {
  Add(&log_, "a");
  clock_.Advance(absl::Seconds(1));
  EventLog next(&clock_, 3);
  Add(&next, "b");
  const EventLog::Answer answer = next.Next(log_.After(*log_.Next({}).event));
  EXPECT_TRUE(answer.restarted);
  EXPECT_EQ(answer.event->subject, "b");
}

TEST_F(EventLogTest, ANewReaderHasMissedNothing) {
  for (const char* subject : {"a", "b", "c", "d"}) Add(&log_, subject);
  const EventLog::Answer answer = log_.Next({});
  EXPECT_EQ(answer.missed, 0u);
  EXPECT_FALSE(answer.restarted);
  EXPECT_EQ(answer.event->subject, "b");
}

TEST_F(EventLogTest, TheEndIsNoEvent) {
  EXPECT_FALSE(log_.Next({}).event.has_value());
  Add(&log_, "a");
  const EventCursor end = log_.After(*log_.Next({}).event);
  EXPECT_FALSE(log_.Next(end).event.has_value());
  // A place beyond it is no way to make the log count backwards.
  EXPECT_THAT(Read(log_, EventCursor{end.log, 1000}), IsEmpty());
}

TEST_F(EventLogTest, OneNoisyIdentityDoesNotPushOutTheOthers) {
  EventLog log(&clock_, 2 * EventLog::kShares);
  Add(&log, "quiet");
  for (int i = 0; i < 1000; ++i) Add(&log, "noisy");
  Add(&log, "another");
  EXPECT_THAT(Read(log, {}), ElementsAre("quiet", "noisy", "noisy", "another"));
  // A gap is told where it is.
  const EventLog::Answer after_quiet = log.Next(log.After(*log.Next({}).event));
  EXPECT_EQ(after_quiet.missed, 998u);
  EXPECT_EQ(after_quiet.event->sequence, 1000u);
  // What the same one does of another kind is not hidden either.
  log.Add(EventKind::kCertificateRefused, "noisy", "refused");
  EXPECT_THAT(Read(log, {}), SizeIs(5));
}

TEST_F(EventLogTest, AFullLogForgetsTheOldestWhoeverItIsAbout) {
  EventLog log(&clock_, EventLog::kShares);
  for (size_t i = 0; i < 2 * EventLog::kShares; ++i) Add(&log, std::to_string(i));
  const std::vector<std::string> kept = Read(log, {});
  ASSERT_THAT(kept, SizeIs(EventLog::kShares));
  EXPECT_EQ(kept.front(), std::to_string(EventLog::kShares));
}

TEST_F(EventLogTest, StrangersDoNotPushOutWhatMatters) {
  Add(&log_, "a");
  for (int i = 0; i < 100; ++i) {
    log_.AddOfStranger(EventKind::kOperatorRefused, "10.0.0.9", "no token");
  }
  EXPECT_THAT(Read(log_, {}), ElementsAre("a", "10.0.0.9"));
  clock_.Advance(EventLog::kStrangersPace);
  log_.AddOfStranger(EventKind::kOperatorRefused, "10.0.0.9", "no token");
  const EventLog::Answer last =
      log_.Next(log_.After(*log_.Next(EventCursor{log_.Begin().log, 1}).event));
  EXPECT_EQ(last.event->message, "no token (and 99 more before it)");
}

TEST_F(EventLogTest, TellsItsListener) {
  int told = 0;
  log_.SetListener([&] {
    ++told;
    EXPECT_TRUE(log_.Next({}).event.has_value());
  });
  Add(&log_, "a");
  log_.SetListener(nullptr);
  Add(&log_, "b");
  EXPECT_EQ(told, 1);
}

TEST(EventCursorTest, RefusesWhatIsNone) {
  for (const char* text : {"", "x", "1", "1-2-3", "g-1", "1-x"}) {
    EXPECT_THAT(EventCursor::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

}  // namespace
}  // namespace byrnie
