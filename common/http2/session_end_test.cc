#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/status_matchers.h"
#include "common/http2/connect_session.h"
#include "common/http2/testing/http2_frames.h"
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

TEST_P(SessionEndTest, SaysWithAGoawayWhetherItStays) {
  using After = ConnectSession::After;
  for (const bool stays : {true, false}) {
    for (const bool drain : {true, false}) {
      for (const bool by_server : {true, false}) {
        Connect(GetParam());
        client_.closed.reset();
        server_.closed.reset();
        client_.goaways = server_.goaways = 0;
        Talker* talker = client_.Open();
        Run();
        End& sayer = by_server ? server_ : client_;
        End& hearer = by_server ? client_ : server_;
        EXPECT_FALSE(hearer.session->peer_stays());
        const After after = stays ? After::kStays : After::kLeaves;
        drain ? sayer.session->Drain(after) : sayer.session->Close(after);
        Run();
        EXPECT_EQ(hearer.goaways, 1);
        EXPECT_EQ(hearer.session->peer_stays(), stays);
        if (drain) {
          // Also after the GOAWAY that ends the session.
          EXPECT_FALSE(talker->error);
          client_.talkers.clear();
          server_.talkers.clear();
          Run();
          EXPECT_EQ(hearer.session->peer_stays(), stays);
          ASSERT_TRUE(hearer.closed.has_value());
          EXPECT_THAT(*hearer.closed, IsOk());
        }
        ASSERT_TRUE(sayer.closed.has_value());
        EXPECT_THAT(*sayer.closed, IsOk());
        client_.talkers.clear();
        server_.talkers.clear();
        client_.answers.clear();
      }
    }
  }
}

TEST_P(SessionEndTest, ServesWhatWasOpenedBeforeTheGoawayOfAServerThatStaysWasRead) {
  Connect(GetParam());
  Run();
  server_.echo = true;
  server_.session->Drain(ConnectSession::After::kStays);
  Talker* talker = client_.Open();
  talker->Send(Pattern(5000));
  Run();
  EXPECT_TRUE(client_.session->peer_stays());
  EXPECT_EQ(talker->received, Pattern(5000));
  ASSERT_NE(client_.answers[0], nullptr);
  EXPECT_THAT(client_.answers[0]->status, IsOk());
}

TEST_P(SessionEndTest, TakesAGoawayWithOtherDataForOneOfAnEndThatLeaves) {
  const std::string stays(ConnectSession::kStaysData);
  const std::string any_stream = "\x7f\xff\xff\xff";
  const std::string no_error(4, '\0');
  const std::string error("\0\0\0\x02", 4);
  for (const auto& [code, data, expected] : std::vector<std::tuple<std::string, std::string, bool>>{
           {no_error, stays, true},
           {no_error, "", false},
           {no_error, "graceful_stop", false},
           {no_error, stays.substr(1), false},
           {no_error, stays + '\0', false},
           {no_error, std::string(8000, 'x'), false},
           {error, stays, false}}) {
    auto [end, raw] = MakePair(1 << 20);
    client_.session = ConnectSession::CreateClient(&loop_, std::move(end), {}, &client_);
    client_.goaways = 0;
    client_.closed.reset();
    const std::string sent = Http2Frame(kHttp2Settings, 0, 0, "") +
                             Http2Frame(kHttp2Goaway, 0, 0, any_stream + code + data);
    ASSERT_EQ(
        raw->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(sent.data()), sent.size()))
            .bytes,
        sent.size());
    Run();
    EXPECT_EQ(client_.goaways, 1);
    EXPECT_EQ(client_.session->peer_stays(), expected) << data.substr(0, 40);
    client_.session.reset();
    Run();
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
