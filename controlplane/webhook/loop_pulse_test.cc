#include "controlplane/webhook/loop_pulse.h"

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/event/testing/manual_event_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

TEST(LoopPulseTest, ALoopThatTurnsIsWell) {
  ManualEventLoop loop;
  LoopPulse pulse(&loop, loop.clock());
  for (int i = 0; i < 100; ++i) {
    loop.AdvanceTime(LoopPulse::kBeat);
    EXPECT_THAT(pulse.Check(), IsOk());
  }
}

TEST(LoopPulseTest, ALoopThatDoesNotTurnIsMissed) {
  ManualEventLoop loop;
  // Which goes on while the loop stands still.
  FakeClock clock;
  LoopPulse pulse(&loop, &clock);
  clock.Advance(LoopPulse::kTooLate);
  EXPECT_THAT(pulse.Check(), IsOk());
  clock.Advance(absl::Seconds(2));
  EXPECT_THAT(pulse.Check(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("nothing for 7 s")));
  // Which is no reason yet to begin anew.
  EXPECT_THAT(pulse.Check(LoopPulse::kStuck), IsOk());
  clock.Advance(LoopPulse::kStuck);
  EXPECT_THAT(pulse.Check(LoopPulse::kStuck),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("nothing for 27 s")));
  // It was slow, no more.
  loop.AdvanceTime(LoopPulse::kBeat);
  EXPECT_THAT(pulse.Check(), IsOk());
}

}  // namespace
}  // namespace byrnie
