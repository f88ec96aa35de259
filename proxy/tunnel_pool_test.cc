#include "proxy/tunnel_pool.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "common/http2/peer_fault.h"
#include "common/net/socket_address.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/connect_refusal.h"
#include "proxy/testing/tunnel_pool_fixture.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST_F(TunnelPoolTest, ConnectionsThatArriveTogetherShareOneHandshake) {
  Result* first = Start();
  Result* second = Start();
  loop_.RunUntilIdle();
  EXPECT_THAT(first->status, IsOk());
  EXPECT_THAT(second->status, IsOk());
  EXPECT_EQ(dialer_.dials, 1);
  EXPECT_THAT(Open()->status, IsOk());
  EXPECT_EQ(dialer_.dials, 1);
}

TEST_F(TunnelPoolTest, AFullTunnelGetsACompanion) {
  for (int i = 0; i < 4; ++i) Start();
  loop_.RunUntilIdle();
  for (const auto& result : results_) EXPECT_THAT(result->status, IsOk());
  EXPECT_EQ(dialer_.dials, 2);
}

TEST_F(TunnelPoolTest, NeverSharesAcrossAddressAllowedIdentityGenerationOrEpoch) {
  Open();
  Open("other");
  EXPECT_EQ(dialer_.dials, 2);
  Open("server", "10.0.0.3:15008");
  EXPECT_EQ(dialer_.dials, 3);
  SetIdentity(2);
  Open();
  EXPECT_EQ(dialer_.dials, 4);
  pool_->SetPolicyEpoch(9);
  Open();
  EXPECT_EQ(dialer_.dials, 5);
}

TEST_F(TunnelPoolTest, RefusesATargetThatAnyoneMayAnswer) {
  absl::Status status;
  auto request = pool_->Open(
      TunnelTarget{*SocketAddress::Parse("10.0.0.2:15008"), {}}, ConnectRequest{"10.0.0.2:80", {}},
      [&](absl::StatusOr<TunnelPool::Opened> opened) { status = opened.status(); });
  loop_.RunUntilIdle();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(dialer_.dials, 0);
}

TEST_F(TunnelPoolTest, AFailedHandshakeIsReportedToAllWhoWaitForIt) {
  dialer_.failure = absl::UnauthenticatedError("not who it must be");
  Result* first = Start();
  Result* second = Start();
  loop_.RunUntilIdle();
  EXPECT_THAT(first->status, StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(second->status, StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(dialer_.dials, 1);
  EXPECT_EQ(pool_->size(), 0u);
}

TEST_F(TunnelPoolTest, AHandshakeOvertakenByANewIdentityIsTriedAgainWithIt) {
  dialer_.failures_left = 1;
  Result* first = Start();
  Result* second = Start();
  SetIdentity(2);
  loop_.RunUntilIdle();
  EXPECT_THAT(first->status, IsOk());
  EXPECT_THAT(second->status, IsOk());
  EXPECT_EQ(dialer_.dials, 2);
}

TEST_F(TunnelPoolTest, APeerThatEndsAHandshakeIsTriedOnceMoreByAllTogether) {
  dialer_.failures_left = 1;
  Result* first = Start();
  Result* second = Start();
  loop_.RunUntilIdle();
  EXPECT_THAT(first->status, IsOk());
  EXPECT_THAT(second->status, IsOk());
  EXPECT_EQ(dialer_.dials, 2);
}

TEST_F(TunnelPoolTest, APeerThatEndsTwoHandshakesIsGivenUp) {
  dialer_.failures_left = 100;
  EXPECT_THAT(Open()->status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(dialer_.dials, 2);
}

TEST_F(TunnelPoolTest, IdentitiesThatKeepChangingEndInAnError) {
  dialer_.failures_left = 100;
  Result* result = Start();
  for (uint64_t generation = 2; generation < 20; ++generation) {
    SetIdentity(generation);
    loop_.RunUntilIdle();
  }
  EXPECT_THAT(result->status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_LE(dialer_.dials, 4);
}

TEST_F(TunnelPoolTest, ARefusalCarriesThePeersReasonAndIsNotTriedAgain) {
  dialer_.reject_with = 401;
  Result* result = Open();
  EXPECT_THAT(result->status,
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("policy-deny")));
  EXPECT_EQ(dialer_.dials, 1);
}

TEST_F(TunnelPoolTest, ATunnelThatDiesBeforeTheAnswerIsReplacedOnce) {
  Open();
  dialer_.peers[0]->answer = false;
  Result* waiting = Open();
  EXPECT_FALSE(waiting->status.ok());
  dialer_.answer = true;
  dialer_.peers[0]->streams.clear();
  dialer_.peers[0]->session.reset();
  loop_.RunUntilIdle();
  EXPECT_THAT(waiting->status, IsOk());
  EXPECT_EQ(dialer_.dials, 2);
}

TEST_F(TunnelPoolTest, AFreshTunnelThatDiesBeforeTheAnswerIsTheAnswer) {
  dialer_.answer = false;
  Result* waiting = Open();
  dialer_.peers[0]->streams.clear();
  dialer_.peers[0]->session.reset();
  loop_.RunUntilIdle();
  EXPECT_THAT(waiting->status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(dialer_.dials, 1);
}

TEST_F(TunnelPoolTest, AGoawayMovesNewConnectionsToAFreshTunnelAndKeepsOldOnes) {
  Result* old = Open();
  dialer_.peers[0]->session->Drain();
  loop_.RunUntilIdle();
  EXPECT_THAT(Open()->status, IsOk());
  EXPECT_EQ(dialer_.dials, 2);
  EXPECT_THAT(old->stream->error(), IsOk());
}

TEST_F(TunnelPoolTest, ABulkStreamKeepsNewConnectionsOffItsTunnel) {
  Result* bulk = Open();
  std::vector<uint8_t> data(64 * 1024);
  for (size_t sent = 0; sent <= 1024 * 1024;) {
    sent += bulk->stream->Write(data).bytes;
    loop_.RunUntilIdle();
    while (dialer_.peers[0]->streams[0]->Read(absl::MakeSpan(data)).bytes > 0) {
    }
    loop_.RunUntilIdle();
  }
  Open();
  EXPECT_EQ(dialer_.dials, 2);
  // Once it has ended, its tunnel is as good as any.
  bulk->stream.reset();
  loop_.RunUntilIdle();
  for (int i = 0; i < 4; ++i) Open();
  EXPECT_EQ(dialer_.dials, 2);
}

TEST_F(TunnelPoolTest, StreamsThatThePeerDidNotProcessAreMadeAgainAlsoOnAFreshTunnel) {
  dialer_.peer_limit = 1;
  for (int i = 0; i < 6; ++i) Start();
  loop_.RunUntilIdle();
  for (const auto& result : results_) EXPECT_THAT(result->status, IsOk());
  EXPECT_EQ(dialer_.dials, 6);
}

TEST_F(TunnelPoolTest, KeepsToAKnownLimitOnATunnelThatHasNotSaidItYet) {
  dialer_.peer_limit = 1;
  Open();
  Start();
  while (dialer_.peers.size() < 2 && loop_.RunOnce()) {
  }
  ASSERT_EQ(dialer_.peers.size(), 2u);  // Open, and its SETTINGS are not read.
  Start();
  EXPECT_EQ(dialer_.dials, 3);
  loop_.RunUntilIdle();
  for (const auto& result : results_) EXPECT_THAT(result->status, IsOk());
  EXPECT_EQ(dialer_.dials, 3);
}

TEST_F(TunnelPoolTest, PastTheTunnelsOfAKeyStreamsShareBeforeThereIsAnother) {
  TunnelPool::Options options;
  options.tunnels_before_sharing = 2;
  options.bulk_bytes = 1;
  Make(options);
  const std::vector<uint8_t> two(2);
  // Every one is bulk, and would have a tunnel to itself.
  for (int i = 0; i < 6; ++i) {
    Result* result = Open();
    ASSERT_THAT(result->status, IsOk()) << i;
    result->stream->Write(two);
  }
  EXPECT_EQ(dialer_.dials, 2);
  EXPECT_THAT(Open()->status, IsOk());
  EXPECT_EQ(dialer_.dials, 3);
  // Another peer is another matter.
  EXPECT_THAT(Open("server", "10.0.0.3:15008")->status, IsOk());
}

TEST_F(TunnelPoolTest, PastAllTunnelsTheOneIdleLongestMakesRoom) {
  TunnelPool::Options options;
  options.max_tunnels = 3;
  Make(options);
  Result* first = Open("server", "10.0.0.2:15008");
  Result* second = Open("server", "10.0.0.3:15008");
  Open("server", "10.0.0.4:15008");
  second->stream.reset();
  loop_.AdvanceTime(absl::Seconds(1));
  first->stream.reset();
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_THAT(Open("server", "10.0.0.5:15008")->status, IsOk());
  std::vector<std::string> addresses;
  for (const TunnelPool::TunnelView& view : pool_->View())
    addresses.push_back(view.address.ToString());
  EXPECT_THAT(addresses,
              UnorderedElementsAre("10.0.0.2:15008", "10.0.0.4:15008", "10.0.0.5:15008"));
}

TEST_F(TunnelPoolTest, PastAllTunnelsWithNoneIdleANewOneIsRefused) {
  TunnelPool::Options options;
  options.max_tunnels = 2;
  Make(options);
  Open("server", "10.0.0.2:15008");
  Open("server", "10.0.0.3:15008");
  const absl::Status full = Open("server", "10.0.0.4:15008")->status;
  EXPECT_THAT(full, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(full), tunnel_reason::kTunnelLimit);
  EXPECT_THAT(Open("server", "10.0.0.3:15008")->status, IsOk());
}

TEST_F(TunnelPoolTest, TheLimitOfTunnelsIsOfAllPoolsTogether) {
  TunnelPool::Options options;
  options.max_tunnels = 2;
  options.count = &shared_count_;
  Make(options);
  Result* own = Open("server", "10.0.0.2:15008");
  // Another worker has the other one.
  ASSERT_TRUE(shared_count_.TryAdd(2));
  const absl::Status full = Open("server", "10.0.0.3:15008")->status;
  EXPECT_EQ(ReasonOf(full), tunnel_reason::kTunnelLimit);
  own->stream.reset();
  EXPECT_THAT(Open("server", "10.0.0.3:15008")->status, IsOk());
  EXPECT_EQ(shared_count_.value(), 2u);
  pool_->CloseUnless([](const PeerInfo&) { return false; });
  loop_.RunUntilIdle();
  EXPECT_EQ(shared_count_.value(), 1u);
}

TEST_F(TunnelPoolTest, AnIdleTunnelIsClosedAfterAMinute) {
  Open()->stream.reset();
  loop_.AdvanceTime(absl::Seconds(59));
  EXPECT_EQ(pool_->size(), 1u);
  loop_.AdvanceTime(absl::Seconds(2));
  EXPECT_EQ(pool_->size(), 0u);
}

TEST_F(TunnelPoolTest, AfterARotationTheOldTunnelCarriesItsConnectionsAndEndsWhenEmpty) {
  Result* old = Open();
  SetIdentity(2);
  loop_.RunUntilIdle();
  EXPECT_THAT(old->stream->error(), IsOk());
  EXPECT_EQ(pool_->size(), 1u);
  old->stream.reset();
  loop_.RunUntilIdle();
  EXPECT_EQ(pool_->size(), 0u);
}

TEST_F(TunnelPoolTest, ClosesATunnelWhenEitherIdentityHasRunOut) {
  dialer_.peer_not_after = loop_.WallNow() + absl::Seconds(10);
  Result* result = Open();
  pool_->CloseExpired(loop_.WallNow() + absl::Seconds(9));
  loop_.RunUntilIdle();
  EXPECT_THAT(result->stream->error(), IsOk());
  pool_->CloseExpired(loop_.WallNow() + absl::Seconds(10));
  loop_.RunUntilIdle();
  EXPECT_FALSE(result->stream->error().ok());
}

TEST_F(TunnelPoolTest, KeepsTunnelsPastTheirIdentityWhereToldTo) {
  Make(IdentityExpiry::kKeep);
  dialer_.peer_not_after = loop_.WallNow() + absl::Seconds(10);
  Result* result = Open();
  pool_->CloseExpired(loop_.WallNow() + absl::Hours(1));
  loop_.RunUntilIdle();
  EXPECT_THAT(result->stream->error(), IsOk());
}

TEST_F(TunnelPoolTest, EndsTunnelsOfAReplacedIdentityAtOnceInStrictMode) {
  Make(IdentityExpiry::kStrict);
  Result* result = Open();
  SetIdentity(2);
  loop_.RunUntilIdle();
  EXPECT_FALSE(result->stream->error().ok());
}

TEST_F(TunnelPoolTest, MakesNoTunnelWithoutAValidIdentity) {
  SetIdentity(2, loop_.WallNow());
  EXPECT_THAT(Open()->status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(dialer_.dials, 0);
}

TEST_F(TunnelPoolTest, AnAbandonedRequestIsNotCalledBack) {
  Result* waiting = Start();
  Result* opening = Open();
  dialer_.peers[0]->answer = false;
  Result* asked = Open();
  waiting->request.reset();
  asked->request.reset();
  loop_.RunUntilIdle();
  EXPECT_THAT(opening->status, IsOk());
  EXPECT_THAT(asked->status, StatusIs(absl::StatusCode::kUnknown));
}

TEST_F(TunnelPoolTest, AnErrorOnOneStreamCostsNoOther) {
  Result* first = Open();
  Result* second = Open();
  dialer_.peers[0]->streams[0]->Reset();
  loop_.RunUntilIdle();
  EXPECT_FALSE(first->stream->error().ok());
  EXPECT_THAT(second->stream->error(), IsOk());
}

TEST_F(TunnelPoolTest, TellsHowATunnelEndedThatCarriesNothing) {
  dialer_.raw = true;
  const auto say = [this](const std::string& bytes) {
    dialer_.raw_peers[0]->Write(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
    loop_.RunUntilIdle();
  };
  Open()->request.reset();
  say(std::string("\0\0\0\4\0\0\0\0\0", 9));  // SETTINGS.
  EXPECT_THAT(pool_->View(), SizeIs(1));
  EXPECT_THAT(ends_, IsEmpty());
  say(std::string("\0\0\1\0\0\0\0\0\0x", 10));  // DATA on stream 0.
  loop_.AdvanceTime(absl::Seconds(3));
  ASSERT_THAT(ends_, SizeIs(1));
  EXPECT_EQ(PeerFaultOf(ends_[0]), PeerFault::kProtocol);
  EXPECT_THAT(pool_->View(), IsEmpty());
}

TEST_F(TunnelPoolTest, AnIdleTunnelThatIsClosedEndsWithoutAFault) {
  Open()->stream.reset();
  loop_.AdvanceTime(absl::Minutes(1) + absl::Seconds(1));
  loop_.RunUntilIdle();
  EXPECT_EQ(pool_->size(), 0u);
  for (const absl::Status& end : ends_) EXPECT_EQ(PeerFaultOf(end), PeerFault::kNone);
}

TEST_F(TunnelPoolTest, ASilentPeersRequestsAreReturnedAndItsTunnelTakesNoneUntilItIsHeard) {
  dialer_.freezable = true;
  Result* open = Open();
  dialer_.frozen = true;
  Result* waiting = Start();
  loop_.AdvanceTime(absl::Seconds(3.1));
  EXPECT_THAT(waiting->status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("silent")));
  EXPECT_EQ(ReasonOf(waiting->status), tunnel_reason::kPeerSilent);
  EXPECT_EQ(dialer_.dials, 1) << "whoever asked knows where to go now";
  EXPECT_THAT(open->stream->error(), IsOk());
  EXPECT_EQ(pool_->View()[0].state, "silent");
  // Whoever asks anew gets a tunnel that may be better.
  dialer_.freezable = false;
  EXPECT_THAT(Open()->status, IsOk());
  EXPECT_EQ(dialer_.dials, 2);
  results_.back()->stream.reset();
  dialer_.frozen = false;
  dialer_.valves[0]->Thaw();
  loop_.RunUntilIdle();
  EXPECT_EQ(pool_->View()[0].state, "open");
  EXPECT_THAT(open->stream->error(), IsOk());
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Open()->status, IsOk());
  EXPECT_EQ(dialer_.dials, 2);
  EXPECT_EQ(pool_->View()[0].streams, 3u);
}

TEST_F(TunnelPoolTest, PastTheTunnelsOfAKeyASilentPeerIsNotTakenForAFullOne) {
  TunnelPool::Options options;
  options.tunnels_before_sharing = 1;
  Make(options);
  dialer_.freezable = true;
  Open();
  dialer_.frozen = true;
  Start();
  loop_.AdvanceTime(absl::Seconds(3.1));
  const absl::Status silent = Open()->status;
  EXPECT_THAT(silent, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(ReasonOf(silent), tunnel_reason::kPeerSilent);
}

TEST_F(TunnelPoolTest, TellsWhetherAHandshakeIsWaitedFor) {
  dialer_.answer = false;
  Result* result = Start();
  EXPECT_TRUE(result->request->WaitsForHandshake());
  loop_.RunUntilIdle();
  EXPECT_FALSE(result->request->WaitsForHandshake());
}

TEST_F(TunnelPoolTest, ShowsItsTunnels) {
  Open();
  const std::vector<TunnelPool::TunnelView> views = pool_->View();
  ASSERT_THAT(views, SizeIs(1));
  EXPECT_EQ(views[0].address.ToString(), "10.0.0.2:15008");
  EXPECT_EQ(views[0].peer, Id("server").text());
  EXPECT_EQ(views[0].state, "open");
  EXPECT_EQ(views[0].streams, 1u);
}

}  // namespace
}  // namespace byrnie
