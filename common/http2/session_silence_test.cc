// A peer that says nothing more, behind a connection that stays open: frozen, or cut off without a
// word.
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "common/http2/connect_session.h"
#include "common/http2/testing/session_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class SessionSilenceTest : public SessionPairTest {
 protected:
  void Freeze() { frozen_ = true; }
  void Thaw() {
    frozen_ = false;
    valve_->Thaw();
    Run();
  }
};

INSTANTIATE_TEST_SUITE_P(Quotas, SessionSilenceTest, ::testing::Values(17, 1 << 20));

TEST_P(SessionSilenceTest, ARequestThatIsNotAnsweredMakesThePeerBeAskedAfterASecond) {
  Connect(GetParam());
  Run();
  Freeze();
  client_.Open();
  loop_.AdvanceTime(absl::Seconds(2.5));
  EXPECT_EQ(client_.answers[0], nullptr);
  Thaw();
  EXPECT_THAT(client_.answers[0]->status, IsOk());
  EXPECT_EQ(client_.session->round_trip(), absl::Seconds(1.5));
}

TEST_P(SessionSilenceTest, RequestsEndAfterThreeSecondsOfSilenceAndOpenStreamsStay) {
  Connect(GetParam());
  Talker* open = client_.Open();
  Run();
  loop_.AdvanceTime(absl::Seconds(5));
  Freeze();
  client_.Open();
  client_.Open();
  loop_.AdvanceTime(absl::Seconds(2.9));
  EXPECT_EQ(client_.answers[1], nullptr);
  EXPECT_FALSE(client_.session->silent());
  loop_.AdvanceTime(absl::Seconds(0.2));
  for (int i : {1, 2}) {
    ASSERT_NE(client_.answers[i], nullptr);
    EXPECT_THAT(client_.answers[i]->status,
                StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("silent for 3s")));
    EXPECT_EQ(client_.answers[i]->http_status, 0);
  }
  EXPECT_TRUE(client_.session->silent());
  EXPECT_FALSE(client_.session->CanOpenStream());
  EXPECT_EQ(client_.Open(), nullptr);
  EXPECT_THAT(client_.open_status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(open->stream->error(), IsOk());
  EXPECT_FALSE(client_.closed.has_value());
}

TEST_P(SessionSilenceTest, APeerThatIsHeardAgainTakesStreamsAgainAndIsToldOfThoseGivenUp) {
  Connect(GetParam());
  Talker* open = client_.Open();
  Run();
  Freeze();
  client_.Open();
  loop_.AdvanceTime(absl::Seconds(8));
  EXPECT_TRUE(client_.session->silent());
  client_.changes = 0;
  Thaw();
  EXPECT_FALSE(client_.session->silent());
  EXPECT_TRUE(client_.session->CanOpenStream());
  EXPECT_GT(client_.changes, 0);
  EXPECT_EQ(client_.session->open_streams(), 1u);
  EXPECT_EQ(server_.session->open_streams(), 1u);
  open->Send("still here");
  Run();
  EXPECT_EQ(server_.talkers[0]->received, "still here");
  client_.Open();
  Run();
  EXPECT_THAT(client_.answers.back()->status, IsOk());
}

TEST_P(SessionSilenceTest, ASlowAnswerIsWaitedForWhileThePeerAnswersPings) {
  Connect(GetParam());
  server_.answer = false;
  client_.Open();
  loop_.AdvanceTime(absl::Seconds(60));
  EXPECT_EQ(client_.answers[0], nullptr);
  EXPECT_FALSE(client_.session->silent());
  ASSERT_EQ(server_.waiting.size(), 1u);
  server_.waiting[0]->Accept();
  Run();
  EXPECT_THAT(client_.answers[0]->status, IsOk());
}

TEST_P(SessionSilenceTest, SilenceThatBeganWhileAnAnswerWasSlowIsNoticedToo) {
  Connect(GetParam());
  server_.answer = false;
  client_.Open();
  loop_.AdvanceTime(absl::Seconds(20));
  Freeze();
  loop_.AdvanceTime(absl::Seconds(4.1));
  ASSERT_NE(client_.answers[0], nullptr);
  EXPECT_THAT(client_.answers[0]->status, StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_P(SessionSilenceTest, AnIdlePeerThatDoesNotAnswerAPingTakesNoStreams) {
  Connect(GetParam());
  Run();
  Freeze();
  loop_.AdvanceTime(absl::Seconds(13.1));
  EXPECT_FALSE(client_.session->CanOpenStream());
  EXPECT_FALSE(client_.closed.has_value());
  Thaw();
  EXPECT_TRUE(client_.session->CanOpenStream());
}

TEST_P(SessionSilenceTest, ARequestWithdrawnDuringTheSilenceIsNotMissed) {
  Connect(GetParam());
  Run();
  Freeze();
  client_.Open();
  client_.Open();
  loop_.AdvanceTime(absl::Seconds(2));
  client_.talkers.clear();
  loop_.AdvanceTime(absl::Seconds(2));
  EXPECT_EQ(client_.answers[0], nullptr);
  Thaw();
  EXPECT_TRUE(client_.session->CanOpenStream());
  EXPECT_EQ(client_.session->open_streams(), 0u);
}

TEST_P(SessionSilenceTest, OpenStreamsCountAsHeardOfUntilThePeerIsGivenUpWithinHalfAMinute) {
  Connect(GetParam());
  Talker* open = client_.Open();
  Run();
  loop_.AdvanceTime(absl::Hours(1));
  EXPECT_EQ(open->stream->Unheard(), absl::ZeroDuration());
  EXPECT_EQ(server_.talkers[0]->stream->Unheard(), absl::ZeroDuration());
  Freeze();
  loop_.AdvanceTime(absl::Seconds(30) + absl::Milliseconds(100));
  EXPECT_TRUE(open->error);
  EXPECT_TRUE(server_.talkers[0]->error);
  EXPECT_EQ(open->stream->Unheard(), absl::InfiniteDuration());
}

TEST_P(SessionSilenceTest, APeerThatStaysSilentIsGivenUpAsBefore) {
  Connect(GetParam());
  Talker* open = client_.Open();
  Run();
  Freeze();
  client_.Open();
  loop_.AdvanceTime(absl::Seconds(20.9));
  EXPECT_FALSE(client_.closed.has_value());
  loop_.AdvanceTime(absl::Seconds(0.2));
  ASSERT_TRUE(client_.closed.has_value());
  EXPECT_TRUE(open->error);
}

}  // namespace
}  // namespace byrnie
