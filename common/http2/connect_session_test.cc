#include "common/http2/connect_session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/http2/peer_end.h"
#include "common/http2/testing/session_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class ConnectSessionTest : public SessionPairTest {};

INSTANTIATE_TEST_SUITE_P(Quotas, ConnectSessionTest, ::testing::Values(1, 17, 1 << 20));

TEST_P(ConnectSessionTest, CarriesARequestItsAnswerAndBytesBothWays) {
  Connect(GetParam());
  server_.echo = true;
  Talker* talker = client_.Open("[fd00::1]:8080", {{"baggage", "k=v"}, {"traceparent", "00-1"}});
  ASSERT_NE(talker, nullptr);
  talker->shutdown_when_sent = true;
  talker->Send(Pattern(3000));
  Run();
  ASSERT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(server_.requests[0].authority, "[fd00::1]:8080");
  EXPECT_EQ(server_.requests[0].headers, (HeaderList{{"baggage", "k=v"}, {"traceparent", "00-1"}}));
  ASSERT_NE(client_.answers[0], nullptr);
  EXPECT_THAT(client_.answers[0]->status, IsOk());
  EXPECT_EQ(client_.answers[0]->http_status, 200);
  EXPECT_EQ(client_.answers[0]->headers, (HeaderList{{"x-by", "end"}}));
  EXPECT_EQ(talker->received, Pattern(3000));
  EXPECT_TRUE(talker->eof);
  EXPECT_TRUE(talker->stream->Flushed());
  EXPECT_TRUE(server_.talkers[0]->eof);
  EXPECT_TRUE(server_.talkers[0]->stream->Flushed());
  EXPECT_EQ(client_.session->open_streams(), 0u);
  EXPECT_EQ(server_.session->open_streams(), 0u);
  EXPECT_GT(client_.changes, 0);
  EXPECT_THAT(talker->stream->error(), IsOk());
}

TEST_P(ConnectSessionTest, ClosesEachDirectionByItself) {
  Connect(GetParam());
  Talker* talker = client_.Open();
  Run();
  Talker* peer = server_.talkers[0].get();
  peer->Send("reply");
  peer->stream->ShutdownWrite();
  Run();
  EXPECT_EQ(talker->received, "reply");
  EXPECT_TRUE(talker->eof);
  EXPECT_FALSE(peer->eof);
  talker->Send("still here");
  Run();
  EXPECT_EQ(peer->received, "still here");
  EXPECT_EQ(client_.session->open_streams(), 1u);
  talker->stream->ShutdownWrite();
  Run();
  EXPECT_TRUE(peer->eof);
  EXPECT_EQ(client_.session->open_streams(), 0u);
  EXPECT_EQ(server_.session->open_streams(), 0u);
}

TEST_P(ConnectSessionTest, DeliversDataBeforeTheResetAfterIt) {
  for (bool by_client : {true, false}) {
    Connect(GetParam());
    Talker* client = client_.Open();
    Run();
    Talker* server = server_.talkers.back().get();
    Talker* resetter = by_client ? client : server;
    Talker* other = by_client ? server : client;
    resetter->Send(Pattern(50000));
    resetter->stream->Reset();
    EXPECT_FALSE(resetter->stream->Flushed());
    Run();
    EXPECT_EQ(other->received, Pattern(50000));
    EXPECT_TRUE(other->error);
    EXPECT_FALSE(other->eof);
    EXPECT_THAT(other->stream->error(), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_TRUE(resetter->stream->Flushed());
    EXPECT_EQ(client_.session->open_streams(), 0u);
    EXPECT_EQ(server_.session->open_streams(), 0u);
    client_.talkers.clear();
    server_.talkers.clear();
    client_.answers.clear();
  }
}

TEST_P(ConnectSessionTest, TellsThePeerForWhatAStreamWasReset) {
  constexpr uint32_t kWhy = 0x62797201;
  for (bool by_client : {true, false}) {
    Connect(GetParam());
    Talker* client = client_.Open();
    Run();
    Talker* resetter = by_client ? client : server_.talkers.back().get();
    Talker* other = by_client ? server_.talkers.back().get() : client;
    resetter->Send(Pattern(50000));
    resetter->stream->ResetWith(kWhy);
    Run();
    EXPECT_EQ(other->received, Pattern(50000)) << "it overtakes nothing";
    ASSERT_TRUE(PeerEndOf(other->stream->error()).has_value());
    EXPECT_EQ(PeerEndOf(other->stream->error())->of, PeerEnd::Of::kStream);
    EXPECT_EQ(PeerEndOf(other->stream->error())->code, kWhy);
    EXPECT_THAT(other->stream->error(),
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr("error 0x62797201")));
    client_.talkers.clear();
    server_.talkers.clear();
    client_.answers.clear();
  }
}

TEST_P(ConnectSessionTest, TellsForWhatWhoeverDidNotReadWhatCameBefore) {
  if (GetParam() == 1) return;
  // The stream is given up, or the whole session, before what it has accepted has left.
  for (bool session : {false, true}) {
    Connect(GetParam());
    Talker* client = client_.Open();
    Run();
    Talker* server = server_.talkers.back().get();
    client->reading = false;
    server->Send(Pattern(1 << 20));
    Run();
    server->stream->Reset();
    server->stream->ResetWith(0x62797202);  // The later word counts.
    EXPECT_FALSE(server->stream->Flushed());
    if (session) {
      server_.session->Close();
    } else {
      server_.talkers.clear();
    }
    Run();
    client->reading = true;
    client->Pull();
    ASSERT_TRUE(PeerEndOf(client->stream->error()).has_value());
    EXPECT_EQ(PeerEndOf(client->stream->error())->code, 0x62797202u);
    client_.talkers.clear();
    server_.talkers.clear();
    client_.answers.clear();
  }
}

TEST_P(ConnectSessionTest, ShowsHowMuchASlowReaderHasLeft) {
  if (GetParam() == 1) return;
  Connect(GetParam());
  Talker* talker = client_.Open();
  Run();
  Talker* peer = server_.talkers[0].get();
  peer->reading = false;
  talker->Send(Pattern(1 << 20));
  Run();
  const uint64_t left = talker->stream->Undelivered();
  EXPECT_GT(left, 30000u);
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(talker->stream->Undelivered(), left) << "it changes only when bytes move";
  peer->reading = true;
  peer->Pull();
  Run();
  EXPECT_EQ(peer->received, Pattern(1 << 20));
  EXPECT_EQ(talker->stream->Undelivered(), 0u);
}

TEST_P(ConnectSessionTest, CancelsAStreamThatIsDestroyed) {
  Connect(GetParam());
  client_.Open();
  Talker* bystander = client_.Open();
  Run();
  client_.talkers[0].reset();
  Run();
  EXPECT_TRUE(server_.talkers[0]->error);
  EXPECT_EQ(server_.session->open_streams(), 1u);
  bystander->Send("unharmed");
  Run();
  EXPECT_EQ(server_.talkers[1]->received, "unharmed");
}

TEST_P(ConnectSessionTest, TellsTheClientWhyItWasRefused) {
  for (auto [status, code] : {std::make_pair(401, absl::StatusCode::kPermissionDenied),
                              std::make_pair(403, absl::StatusCode::kPermissionDenied),
                              std::make_pair(400, absl::StatusCode::kInvalidArgument),
                              std::make_pair(503, absl::StatusCode::kUnavailable),
                              std::make_pair(302, absl::StatusCode::kUnavailable)}) {
    Connect(GetParam());
    server_.reject_with = status;
    server_.reject_headers = {{"x-reason", "policy"}};
    Talker* talker = client_.Open();
    Run();
    ASSERT_NE(client_.answers[0], nullptr);
    EXPECT_THAT(client_.answers[0]->status, StatusIs(code, HasSubstr(absl::StrCat(status))));
    EXPECT_EQ(client_.answers[0]->http_status, status);
    EXPECT_EQ(client_.answers[0]->headers, (HeaderList{{"x-reason", "policy"}}));
    EXPECT_TRUE(talker->error);
    EXPECT_TRUE(talker->stream->Flushed());
    EXPECT_EQ(client_.session->open_streams(), 0u);
    EXPECT_EQ(server_.session->open_streams(), 0u);
    EXPECT_FALSE(client_.closed.has_value());
    client_.talkers.clear();
    client_.answers.clear();
  }
}

TEST_P(ConnectSessionTest, KeepsBytesOfBothSidesUntilTheTunnelIsOpen) {
  Connect(GetParam());
  server_.answer = false;
  Talker* talker = client_.Open();
  talker->Send("early");
  EXPECT_EQ(talker->sent, 0u);
  Run();
  ASSERT_EQ(server_.waiting.size(), 1u);
  uint8_t byte;
  EXPECT_EQ(server_.waiting[0]->Read(absl::MakeSpan(&byte, 1)).status, IoStatus::kWouldBlock);
  EXPECT_EQ(server_.waiting[0]->Write(absl::MakeConstSpan(&byte, 1)).status, IoStatus::kWouldBlock);
  server_.waiting[0]->Accept();
  Talker peer(std::move(server_.waiting[0]));
  Run();
  EXPECT_EQ(peer.received, "early");
}

}  // namespace
}  // namespace byrnie
