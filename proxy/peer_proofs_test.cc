#include "proxy/peer_proofs.h"

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/tls/testing/test_ca.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);
// How long before kNow the test CA's certificates begin.
constexpr absl::Duration kBackdated = absl::Minutes(1);

class PeerProofsTest : public ::testing::Test {
 protected:
  PeerProofsTest() { proofs_.SetOwn(Own(), kNow + absl::Hours(1)); }

  static SpiffeId Own() { return *SpiffeId::Parse("spiffe://td/own"); }
  // A handshake with a peer whose certificate lives that long.
  std::shared_ptr<PeerInfo> Shake(const std::string& path = "/peer",
                                  absl::Duration life = absl::Hours(1),
                                  const std::string& address = "10.0.0.2:15008",
                                  SpiffeId own = Own(),
                                  absl::Time own_until = kNow + absl::Hours(1)) {
    const TestIdentity identity = ca_.IssueSvid(path, kBackdated + life);
    auto made = std::make_shared<PeerInfo>(PeerInfo{
        VerifiedSvid{*SpiffeId::Parse("spiffe://td" + path), identity.chain[0]->not_after()},
        {},
        std::move(own),
        1,
        own_until,
        identity.chain});
    proofs_.Record(*SocketAddress::Parse(address), *trust_, kNow, made.get());
    return made;
  }

  const TestCa ca_{"td", kNow};
  const IdentitySnapshotPtr trust_ =
      *IdentitySnapshot::Create(1, ca_.IssueSvid("/own").chain, ca_.Bundles(), kNow);
  PeerProofs proofs_{[] { return 0.5; }};
};

TEST_F(PeerProofsTest, AnOldTunnelLivesOnByTheProofOfANewOne) {
  const auto old = Shake();
  EXPECT_EQ(old->not_after(), kNow + absl::Hours(1));
  // By either end's tunnel, whatever port it came from.
  const auto renewed = Shake("/peer", absl::Hours(3), "10.0.0.2:40123");
  EXPECT_EQ(old->peer_until(), kNow + absl::Hours(3));
  EXPECT_EQ(old->not_after(), kNow + absl::Hours(1)) << "the own identity has not been renewed";
  proofs_.SetOwn(Own(), kNow + absl::Hours(2));
  EXPECT_EQ(old->not_after(), kNow + absl::Hours(2));
  EXPECT_EQ(proofs_.size(), 1u);
}

TEST_F(PeerProofsTest, IsOfOneAddressAndOneIdentity) {
  proofs_.SetOwn(Own(), kNow + absl::Hours(9));
  const auto old = Shake();
  const auto other_identity = Shake("/other", absl::Hours(3));
  const auto other_address = Shake("/peer", absl::Hours(3), "10.0.0.3:15008");
  EXPECT_EQ(old->not_after(), kNow + absl::Hours(1));
  EXPECT_EQ(proofs_.size(), 3u);
}

TEST_F(PeerProofsTest, TwoZonesAreTwoPeers) {
  proofs_.SetOwn(Own(), kNow + absl::Hours(9));
  const IpAddress ip = *IpAddress::Parse("fe80::2");
  PeerInfo near = *Shake(), far = *Shake("/peer", absl::Hours(3));
  proofs_.Record(SocketAddress(ip, 1, 7), *trust_, kNow, &near);
  proofs_.Record(SocketAddress(ip, 1, 8), *trust_, kNow, &far);
  EXPECT_EQ(near.not_after(), kNow + absl::Hours(1));
  EXPECT_EQ(near.proof->address().zone(), 7u);
}

TEST_F(PeerProofsTest, GoesWithTheLastTunnelOfThePeer) {
  auto first = Shake(), second = Shake();
  first.reset();
  EXPECT_EQ(proofs_.size(), 1u);
  second.reset();
  EXPECT_EQ(proofs_.size(), 0u);
}

TEST_F(PeerProofsTest, AHandshakeAloneCountsWhereNobodySaidWhoWeAre) {
  PeerProofs none;
  PeerInfo made = *Shake();
  made.proof = nullptr;
  none.Record(*SocketAddress::Parse("10.0.0.2:1"), *trust_, kNow, &made);
  EXPECT_EQ(made.proof, nullptr);
  EXPECT_EQ(made.not_after(), kNow + absl::Hours(1));
  EXPECT_EQ(none.size(), 0u);
}

TEST_F(PeerProofsTest, AnotherOwnIdentityProvesNothingForConnectionsOfTheFirst) {
  const auto old = Shake("/peer", absl::Hours(3));
  const SpiffeId other = *SpiffeId::Parse("spiffe://td/another");
  proofs_.SetOwn(other, kNow + absl::Hours(9));
  const auto made = Shake("/peer", absl::Hours(9), "10.0.0.2:15008", other, kNow + absl::Hours(9));
  EXPECT_EQ(made->not_after(), kNow + absl::Hours(9));
  EXPECT_EQ(old->not_after(), kNow + absl::Hours(1));
  // By a worker that still has the first one.
  EXPECT_EQ(Shake()->proof, nullptr);
  EXPECT_EQ(proofs_.size(), 1u);
}

TEST_F(PeerProofsTest, MayBeOutlivedByWhatItGave) {
  auto proofs = std::make_unique<PeerProofs>();
  proofs->SetOwn(Own(), kNow + absl::Hours(2));
  PeerInfo made = *Shake();
  proofs->Record(*SocketAddress::Parse("10.0.0.2:1"), *trust_, kNow, &made);
  proofs.reset();
  EXPECT_EQ(made.not_after(), kNow + absl::Hours(1));
}

TEST_F(PeerProofsTest, WorkersShakeHandsAndLetGoAtTheSameTime) {
  const TestIdentity identity = ca_.IssueSvid("/peer");
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([this, &identity] {
      for (int j = 0; j < 500; ++j) {
        PeerInfo made{VerifiedSvid{*SpiffeId::Parse("spiffe://td/peer"), kNow + absl::Hours(1)},
                      {},
                      Own(),
                      1,
                      kNow + absl::Hours(1),
                      identity.chain};
        proofs_.Record(*SocketAddress::Parse("10.0.0.2:1"), *trust_, kNow, &made);
        EXPECT_EQ(made.not_after(), kNow + absl::Hours(1));
        if (made.proof->BeginRenewal(made.proof->renew_at())) {
          made.proof->EndRenewal(absl::OkStatus());
        }
        EXPECT_EQ(made.proof->Judge(ca_.Bundles(), 1 + static_cast<uint64_t>(j) / 100, kNow), "");
        proofs_.SetOwn(Own(), kNow + absl::Hours(1));
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(proofs_.size(), 0u);
}

TEST_F(PeerProofsTest, KnowsAnAddressAsLongAsAnybodyThereHasAProof) {
  const IpAddress ip = SocketAddress::Parse("10.0.0.2:0")->ip();
  EXPECT_FALSE(proofs_.Knows(ip));
  auto one = Shake("/peer"), two = Shake("/other"), again = Shake("/peer");
  EXPECT_TRUE(proofs_.Knows(ip));
  EXPECT_FALSE(proofs_.Knows(SocketAddress::Parse("10.0.0.3:0")->ip()));
  one.reset();
  two.reset();
  EXPECT_TRUE(proofs_.Knows(ip));
  again.reset();
  EXPECT_FALSE(proofs_.Knows(ip));
}

}  // namespace
}  // namespace byrnie
