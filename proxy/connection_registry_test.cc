#include "proxy/connection_registry.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/connection.h"
#include "proxy/peer_info.h"
#include "proxy/peer_proofs.h"
#include "proxy/testing/data_path.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Direction = AccessRecord::Direction;

// Carries nothing.
class Bystander final : public Connection {
 public:
  Bystander(WorkerContext* context, Direction direction, std::shared_ptr<const PeerInfo> peer)
      : Connection(context, direction, AccessRecord::Protocol::kHbone),
        verified_(std::move(peer)) {}
  void Start() override { set_peer(std::move(verified_)); }

 private:
  std::shared_ptr<const PeerInfo> verified_;
};

class ConnectionRegistryTest : public DataPathTest {
 protected:
  ConnectionRegistryTest() {
    SetMesh({});
    ExtendOwn(absl::Hours(1));
  }

  absl::Time In(absl::Duration time) const { return start_ + time; }
  void ExtendOwn(absl::Duration until) { counts_.proofs.SetOwn(own().id(), In(until)); }
  const IdentitySnapshot& own() const { return *context_.mesh->identity->identity; }
  // A handshake of an hour from now on with whoever is at `address`.
  std::shared_ptr<const PeerInfo> Shake(const std::string& address, absl::Duration now = {}) {
    const absl::Time until = In(now) + absl::Hours(1);
    auto made = std::make_shared<PeerInfo>(
        PeerInfo{VerifiedSvid{*SpiffeId::Parse("spiffe://cluster.local/peer"), until},
                 {},
                 own().id(),
                 1,
                 until,
                 chain_});
    counts_.proofs.Record(*SocketAddress::Parse(address), own(), In(now), made.get());
    return made;
  }
  void Open(std::shared_ptr<const PeerInfo> peer, Direction direction = Direction::kOutbound) {
    registry_.Add(std::make_unique<Bystander>(&context_, direction, std::move(peer)));
  }
  // Who is to be asked at that time.
  std::vector<std::string> Renew(absl::Duration now) {
    std::vector<std::string> asked;
    registry_.RenewProofs(In(now), [&](const std::shared_ptr<PeerProof>& proof) {
      asked.push_back(proof->address().ToString());
      begun_.push_back(proof);
    });
    return asked;
  }
  size_t LeftAt(absl::Duration now) {
    registry_.AbortExpired(In(now), IdentityExpiry::kDrain);
    loop_.RunUntilIdle();
    return registry_.size();
  }

  const absl::Time start_ = loop_.WallNow();
  const CertificateChain chain_ = ca_.IssueSvid("/peer", absl::Hours(9)).chain;
  std::vector<std::shared_ptr<PeerProof>> begun_;
};

TEST_F(ConnectionRegistryTest, AConnectionLivesByTheNewestProofAndEndsWithIt) {
  Open(Shake("10.0.0.2:1"));
  ExtendOwn(absl::Hours(3));
  Shake("10.0.0.2:1", absl::Minutes(50));
  EXPECT_EQ(LeftAt(absl::Minutes(109)), 1u);
  EXPECT_EQ(LeftAt(absl::Minutes(110)), 0u);
  EXPECT_THAT(TakeLog(), HasSubstr("\"identity-expired\""));
}

TEST_F(ConnectionRegistryTest, AProofWithAnotherPeerIsNoProof) {
  Open(Shake("10.0.0.2:1"));
  ExtendOwn(absl::Hours(3));
  Shake("10.0.0.3:1", absl::Minutes(50));
  EXPECT_EQ(LeftAt(absl::Minutes(60)), 0u);
}

TEST_F(ConnectionRegistryTest, AsksEachPeerOnceHoweverManyConnectionsItHas) {
  ExtendOwn(absl::Hours(3));
  for (int i = 0; i < 3; ++i) Open(Shake("10.0.0.2:1"));
  Open(Shake("10.0.0.3:1", absl::Hours(1)));
  // At the latest an eighth of the hour before its end.
  EXPECT_THAT(Renew(absl::Minutes(44)), IsEmpty());
  EXPECT_THAT(Renew(absl::Minutes(53)), ElementsAre("10.0.0.2:0"));
  EXPECT_THAT(Renew(absl::Minutes(54)), IsEmpty()) << "it is under way";
  EXPECT_EQ(begun_[0]->EndRenewal(absl::UnavailableError("no answer")),
            PeerProof::Renewal::kFailed);
  EXPECT_THAT(Renew(absl::Minutes(54)), IsEmpty()) << "not at once";
}

TEST_F(ConnectionRegistryTest, AsksAgainWhileItIsNotProven) {
  ExtendOwn(absl::Hours(3));
  Open(Shake("10.0.0.2:1"));
  for (const int minute : {53, 57}) {
    ASSERT_THAT(Renew(absl::Minutes(minute)), ElementsAre("10.0.0.2:0")) << minute;
    begun_.back()->EndRenewal(absl::UnavailableError("no answer"));
  }
}

TEST_F(ConnectionRegistryTest, WhoWasDialledAsksNobody) {
  ExtendOwn(absl::Hours(3));
  Open(Shake("10.0.0.2:1"), Direction::kInbound);
  Open(nullptr);
  EXPECT_THAT(Renew(absl::Minutes(59)), IsEmpty());
}

TEST_F(ConnectionRegistryTest, LooksAgainWhereAProofMayHaveGone) {
  Open(Shake("10.0.0.2:1"));
  ExtendOwn(absl::Hours(3));
  const auto renewed = Shake("10.0.0.2:1", absl::Minutes(50));
  EXPECT_EQ(LeftAt(absl::Minutes(70)), 1u);
  const TestCa stranger("cluster.local", start_);
  renewed->proof->Judge(stranger.Bundles(), 2, In(absl::Minutes(70)));
  registry_.LookAgain();
  EXPECT_EQ(LeftAt(absl::Minutes(71)), 0u);
}

}  // namespace
}  // namespace byrnie
