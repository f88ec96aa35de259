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

// How a session ends, and what becomes of its streams.
class SessionEndTest : public SessionPairTest {};

INSTANTIATE_TEST_SUITE_P(Quotas, SessionEndTest, ::testing::Values(1, 17, 1 << 20));

TEST_P(SessionEndTest, DrainsWithStreamsOpenAndEndsWithTheLast) {
  for (bool by_server : {true, false}) {
    Connect(GetParam());
    client_.closed.reset();
    server_.closed.reset();
    client_.goaways = server_.goaways = 0;
    Talker* talker = client_.Open();
    Run();
    Talker* peer = server_.talkers.back().get();
    End& drainer = by_server ? server_ : client_;
    End& other = by_server ? client_ : server_;
    drainer.session->Drain();
    drainer.session->Drain();
    Run();
    EXPECT_EQ(other.goaways, 1);
    EXPECT_FALSE(client_.session->CanOpenStream());
    EXPECT_EQ(client_.Open(), nullptr);
    EXPECT_THAT(client_.open_status, StatusIs(absl::StatusCode::kUnavailable));
    talker->Send(Pattern(20000));
    Run();
    EXPECT_EQ(peer->received, Pattern(20000));
    EXPECT_FALSE(client_.closed.has_value());
    EXPECT_FALSE(server_.closed.has_value());
    talker->stream->ShutdownWrite();
    peer->Send("last words");
    peer->stream->ShutdownWrite();
    Run();
    EXPECT_EQ(talker->received, "last words");
    EXPECT_TRUE(talker->eof);
    ASSERT_TRUE(client_.closed.has_value());
    ASSERT_TRUE(server_.closed.has_value());
    EXPECT_THAT(*client_.closed, IsOk());
    EXPECT_THAT(*server_.closed, IsOk());
    client_.talkers.clear();
    server_.talkers.clear();
    client_.answers.clear();
  }
}

TEST_P(SessionEndTest, BreaksStreamsWhenClosedAndLetsThemOutliveIt) {
  Connect(GetParam());
  client_.destroy_when_closed = true;
  Talker* talker = client_.Open();
  Run();
  client_.session->Close();
  Run();
  ASSERT_TRUE(client_.closed.has_value());
  EXPECT_THAT(*client_.closed, IsOk());
  EXPECT_EQ(client_.session, nullptr);
  EXPECT_TRUE(talker->error);
  EXPECT_THAT(talker->stream->error(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(talker->stream->Flushed());
  talker->stream->ShutdownWrite();
  talker->stream->Reset();
  EXPECT_TRUE(server_.talkers[0]->error);
  ASSERT_TRUE(server_.closed.has_value());
}

TEST_P(SessionEndTest, TellsStreamsOfASessionThatIsDestroyed) {
  Connect(GetParam());
  server_.answer = false;
  Talker* unanswered = client_.Open();
  Run();
  client_.session.reset();
  EXPECT_FALSE(unanswered->error);
  Run();
  EXPECT_TRUE(unanswered->error);
  ASSERT_NE(client_.answers[0], nullptr);
  EXPECT_THAT(client_.answers[0]->status, StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_TRUE(server_.closed.has_value());
}

TEST_P(SessionEndTest, MeasuresTheRoundTripAndNoticesASilentPeer) {
  Connect(GetParam());
  Talker* talker = client_.Open();
  Run();
  EXPECT_EQ(client_.session->round_trip(), absl::ZeroDuration());
  loop_.AdvanceTime(absl::Seconds(35));
  EXPECT_FALSE(client_.closed.has_value());
  frozen_ = true;
  loop_.AdvanceTime(absl::Seconds(60));
  ASSERT_TRUE(client_.closed.has_value());
  EXPECT_THAT(*client_.closed, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("silent")));
  EXPECT_TRUE(talker->error);
}

TEST_P(SessionEndTest, SurvivesDestructionInEveryState) {
  for (int step = 0; step < 60; ++step) {
    for (int victim = 0; victim < 4; ++victim) {
      Connect(GetParam());
      server_.echo = true;
      Talker* talker = client_.Open();
      talker->shutdown_when_sent = true;
      talker->Send(Pattern(400));
      for (int i = 0; i < step; ++i) loop_.RunOnce();
      if (victim == 0) client_.session.reset();
      if (victim == 1) server_.session.reset();
      if (victim == 2) client_.talkers.clear();
      if (victim == 3) server_.talkers.clear();
      Run();
      client_.talkers.clear();
      server_.talkers.clear();
      client_.session.reset();
      server_.session.reset();
      client_.answers.clear();
      client_.closed.reset();
      server_.closed.reset();
      Run();
    }
  }
}

}  // namespace
}  // namespace byrnie
