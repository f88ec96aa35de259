#include "proxy/direct_mtls.h"

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/tls/testing/test_ca.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

// Answers attempts when told to.
class SteppedDialer final : public TunnelDialer {
 public:
  std::unique_ptr<Attempt> Dial(const TunnelTarget& target, std::shared_ptr<const TlsContext>,
                                Callback done) override {
    targets.push_back(target);
    waiting.push_back(std::move(done));
    return std::make_unique<Attempt>();
  }
  void Answer(absl::StatusOr<Transport> result) {
    Callback done = std::move(waiting.front());
    waiting.pop_front();
    done(std::move(result));
  }

  std::vector<TunnelTarget> targets;
  std::deque<Callback> waiting;
};

class DirectMtlsTest : public ::testing::Test {
 protected:
  DirectMtlsTest()
      : ca_("cluster.local", loop_.WallNow()),
        direct_(&loop_, &dialer_, &mesh_, &proofs_),
        target_{*SocketAddress::Parse("10.0.0.7:8080"),
                {*SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/server")}} {}

  void SetIdentity(uint64_t generation, const TestCa& ca,
                   absl::Duration lifetime = absl::Hours(1)) {
    auto mesh = std::make_shared<MeshSnapshot>();
    auto identity = std::make_shared<IdentityInUse>();
    identity->identity =
        *IdentitySnapshot::Create(generation, ca.IssueSvid("/ns/demo/sa/client", lifetime).chain,
                                  ca.Bundles(), loop_.WallNow());
    mesh->identity = std::move(identity);
    mesh_ = std::move(mesh);
  }
  TunnelDialer::Transport Transport() {
    MemoryStreamPair pair(&loop_);
    peers_.push_back(pair.TakeB());
    return {pair.TakeA(),
            VerifiedSvid{*SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/server"),
                         loop_.WallNow() + absl::Hours(1)},
            TlsSessionInfo(), ca_.IssueSvid("/ns/demo/sa/server").chain};
  }
  void Open() {
    request_ = direct_.Open(target_, [this](absl::StatusOr<TunnelPool::Opened> opened) {
      if (opened.ok()) {
        opened_ = *std::move(opened);
        status_ = absl::OkStatus();
      } else {
        status_ = opened.status();
      }
      request_.reset();
    });
    loop_.RunUntilIdle();
  }
  void Answer(absl::StatusOr<TunnelDialer::Transport> result) {
    ASSERT_FALSE(dialer_.waiting.empty());
    dialer_.Answer(std::move(result));
    loop_.RunUntilIdle();
  }

  ManualEventLoop loop_;
  const TestCa ca_;
  SteppedDialer dialer_;
  MeshSnapshotPtr mesh_ = std::make_shared<const MeshSnapshot>();
  PeerProofs proofs_;
  DirectMtls direct_;
  const TunnelTarget target_;
  std::vector<std::unique_ptr<ByteStream>> peers_;
  std::unique_ptr<TunnelPool::Request> request_;
  absl::optional<TunnelPool::Opened> opened_;
  absl::Status status_ = absl::UnknownError("no answer yet");
};

TEST_F(DirectMtlsTest, GoesStraightToTheWorkloadAndKnowsBothEnds) {
  SetIdentity(3, ca_);
  Open();
  ASSERT_EQ(dialer_.targets.size(), 1u);
  EXPECT_EQ(dialer_.targets[0].address.ToString(), "10.0.0.7:8080");
  EXPECT_EQ(dialer_.targets[0].allowed_peers, target_.allowed_peers);
  Answer(Transport());
  ASSERT_THAT(status_, IsOk());
  EXPECT_NE(opened_->stream, nullptr);
  EXPECT_EQ(opened_->peer->peer.id.text(), "spiffe://cluster.local/ns/demo/sa/server");
  EXPECT_EQ(opened_->peer->own_id->text(), "spiffe://cluster.local/ns/demo/sa/client");
  EXPECT_EQ(opened_->peer->own_generation, 3u);
  EXPECT_EQ(opened_->peer->own_not_after, mesh_->identity->identity->not_after());
}

TEST_F(DirectMtlsTest, WhatAHandshakeProvesHoldsForConnectionsBeforeIt) {
  SetIdentity(3, ca_);
  proofs_.SetOwn(mesh_->identity->identity->id(), loop_.WallNow() + absl::Hours(9));
  Open();
  Answer(Transport());
  ASSERT_THAT(status_, IsOk());
  const std::shared_ptr<const PeerInfo> old = opened_->peer;
  EXPECT_EQ(old->not_after(), loop_.WallNow() + absl::Hours(1));
  Open();
  TunnelDialer::Transport renewed = Transport();
  renewed.peer.not_after = loop_.WallNow() + absl::Hours(2);
  Answer(std::move(renewed));
  ASSERT_THAT(status_, IsOk());
  EXPECT_EQ(old->not_after(), loop_.WallNow() + absl::Hours(2));
}

TEST_F(DirectMtlsTest, NeedsAnIdentityThatIsValid) {
  Open();
  EXPECT_EQ(status_.code(), absl::StatusCode::kFailedPrecondition);
  SetIdentity(1, ca_, absl::Minutes(5));
  loop_.AdvanceTime(absl::Minutes(5));
  Open();
  EXPECT_EQ(status_.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(dialer_.targets.empty());
}

TEST_F(DirectMtlsTest, NeverConnectsToAnyone) {
  SetIdentity(1, ca_);
  request_ = direct_.Open({target_.address, {}}, [this](absl::StatusOr<TunnelPool::Opened> opened) {
    status_ = opened.status();
  });
  loop_.RunUntilIdle();
  EXPECT_EQ(status_.code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(dialer_.targets.empty());
}

TEST_F(DirectMtlsTest, TriesAgainWhenItsIdentityWasReplacedDuringTheHandshake) {
  SetIdentity(1, ca_);
  Open();
  SetIdentity(2, ca_);
  Answer(absl::UnauthenticatedError("the agent does not know this leaf"));
  EXPECT_EQ(dialer_.targets.size(), 2u);
  Answer(Transport());
  ASSERT_THAT(status_, IsOk());
  EXPECT_EQ(opened_->peer->own_generation, 2u);
}

TEST_F(DirectMtlsTest, TriesOnceMoreWhenThePeerEndsTheHandshake) {
  SetIdentity(1, ca_);
  Open();
  Answer(absl::UnavailableError("peer ended the connection during the TLS handshake"));
  EXPECT_EQ(dialer_.targets.size(), 2u);
  Answer(absl::UnavailableError("and again"));
  EXPECT_EQ(dialer_.targets.size(), 2u);
  EXPECT_THAT(std::string(status_.message()), HasSubstr("and again"));
}

TEST_F(DirectMtlsTest, DoesNotTryAgainWhenThePeerIsSomebodyElse) {
  SetIdentity(1, ca_);
  Open();
  Answer(absl::UnauthenticatedError("peer is spiffe://cluster.local/ns/demo/sa/rogue"));
  EXPECT_EQ(dialer_.targets.size(), 1u);
  EXPECT_EQ(status_.code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(DirectMtlsTest, GivesUpAfterFourIdentities) {
  SetIdentity(1, ca_);
  Open();
  for (uint64_t generation = 2; generation < 7 && !dialer_.waiting.empty(); ++generation) {
    SetIdentity(generation, ca_);
    Answer(absl::UnavailableError("not signed"));
  }
  EXPECT_EQ(dialer_.targets.size(), 4u);
  EXPECT_EQ(status_.code(), absl::StatusCode::kUnavailable);
}

TEST_F(DirectMtlsTest, RefusesAPeerThatLostOurTrustDuringTheHandshake) {
  SetIdentity(1, ca_);
  Open();
  const TestCa other("cluster.local", loop_.WallNow());
  SetIdentity(2, other);
  Answer(Transport());
  EXPECT_EQ(status_.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_FALSE(opened_.has_value());
}

TEST_F(DirectMtlsTest, AnAbandonedRequestIsNotAnswered) {
  SetIdentity(1, ca_);
  Open();
  request_.reset();
  loop_.RunUntilIdle();
  EXPECT_EQ(status_.code(), absl::StatusCode::kUnknown);
}

}  // namespace
}  // namespace byrnie
