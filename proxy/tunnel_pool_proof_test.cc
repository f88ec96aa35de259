#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "common/net/socket_address.h"
#include "gtest/gtest.h"
#include "proxy/testing/tunnel_pool_fixture.h"
#include "proxy/tunnel_dialer.h"
#include "proxy/tunnel_pool.h"

namespace byrnie {
namespace {

TEST_F(TunnelPoolTest, ProvesAPeerByOneMoreTunnelThatOthersMayUse) {
  Result* old = Open();
  absl::Status proven = absl::UnknownError("no answer yet");
  const TunnelTarget target{*SocketAddress::Parse("10.0.0.2:15008"), {Id("server")}};
  const auto done = [&proven](absl::Status status) { proven = std::move(status); };
  ASSERT_THAT(pool_->Prove(target, done), IsOk());
  EXPECT_THAT(proven, StatusIs(absl::StatusCode::kUnknown)) << "not within the call";
  loop_.RunUntilIdle();
  EXPECT_THAT(proven, IsOk());
  EXPECT_EQ(dialer_.dials, 2);
  EXPECT_EQ(pool_->size(), 2u);
  EXPECT_THAT(old->stream->error(), IsOk());
  for (int i = 0; i < 5; ++i) EXPECT_THAT(Open()->status, IsOk());
  EXPECT_EQ(dialer_.dials, 2);
}

TEST_F(TunnelPoolTest, ATunnelMadeToProveAPeerIdlesOut) {
  const TunnelTarget target{*SocketAddress::Parse("10.0.0.2:15008"), {Id("server")}};
  ASSERT_THAT(pool_->Prove(target, [](absl::Status) {}), IsOk());
  loop_.RunUntilIdle();
  EXPECT_EQ(pool_->size(), 1u);
  loop_.AdvanceTime(absl::Seconds(61));
  EXPECT_EQ(pool_->size(), 0u);
}

TEST_F(TunnelPoolTest, ATunnelUnderWayProvesThePeerAsWell) {
  absl::Status proven = absl::UnknownError("no answer yet");
  Result* waiting = Start();
  const TunnelTarget target{*SocketAddress::Parse("10.0.0.2:15008"), {Id("server")}};
  const auto done = [&proven](absl::Status status) { proven = std::move(status); };
  ASSERT_THAT(pool_->Prove(target, done), IsOk());
  loop_.RunUntilIdle();
  EXPECT_THAT(proven, IsOk());
  EXPECT_THAT(waiting->status, IsOk());
  EXPECT_EQ(dialer_.dials, 1);
}

TEST_F(TunnelPoolTest, AProofThatFailsIsToldAndCostsNoConnection) {
  Result* old = Open();
  dialer_.failure = absl::UnauthenticatedError("not who it must be");
  absl::Status proven;
  const TunnelTarget target{*SocketAddress::Parse("10.0.0.2:15008"), {Id("server")}};
  const auto done = [&proven](absl::Status status) { proven = std::move(status); };
  ASSERT_THAT(pool_->Prove(target, done), IsOk());
  loop_.RunUntilIdle();
  EXPECT_THAT(proven, StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(old->stream->error(), IsOk());
  EXPECT_EQ(pool_->size(), 1u);
}

TEST_F(TunnelPoolTest, AProofDoesNotWaitForRoomAndLeavesNothingInIt) {
  TunnelPool::Options options;
  options.max_tunnels = 1;
  Make(options);
  const TunnelTarget target{*SocketAddress::Parse("10.0.0.2:15008"), {Id("server")}};
  Result* old = Open();
  absl::Status proven = absl::UnknownError("no answer yet");
  ASSERT_THAT(pool_->Prove(target, [&proven](absl::Status status) { proven = std::move(status); }),
              IsOk());
  loop_.RunUntilIdle();
  EXPECT_THAT(proven, IsOk());
  EXPECT_TRUE(dialer_.target.for_proof);
  EXPECT_EQ(dialer_.dials, 2);
  EXPECT_EQ(pool_->size(), 1u);
  EXPECT_THAT(old->stream->error(), IsOk());
}

TEST_F(TunnelPoolTest, ATunnelWithASocketPastTheLimitEndsWithItsHandshake) {
  dialer_.past_limit = true;
  const TunnelTarget target{*SocketAddress::Parse("10.0.0.2:15008"), {Id("server")}};
  absl::Status proven = absl::UnknownError("no answer yet");
  ASSERT_THAT(pool_->Prove(target, [&proven](absl::Status status) { proven = std::move(status); }),
              IsOk());
  loop_.RunUntilIdle();
  EXPECT_THAT(proven, IsOk());
  EXPECT_EQ(pool_->size(), 0u);
}

TEST_F(TunnelPoolTest, AProofNeedsAnIdentity) {
  const TunnelTarget target{*SocketAddress::Parse("10.0.0.2:15008"), {Id("server")}};
  const auto never = [](absl::Status) { FAIL() << "it was refused at once"; };
  Open();
  SetIdentity(2, loop_.WallNow());
  EXPECT_THAT(pool_->Prove(target, never), StatusIs(absl::StatusCode::kFailedPrecondition));
  loop_.RunUntilIdle();
  EXPECT_EQ(dialer_.dials, 1);
}

}  // namespace
}  // namespace byrnie
