#include "proxy/trust_change.h"

#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/identity/svid_verifier.h"
#include "common/tls/testing/test_ca.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);

class TrustChangeTest : public ::testing::Test {
 protected:
  static PeerInfo Proven(const TestCa& ca, const TestIdentity& identity) {
    absl::StatusOr<VerifiedSvid> svid = VerifySvid(identity.chain, ca.Bundles(), kNow);
    EXPECT_THAT(svid, IsOk());
    return PeerInfo{*svid, {}, {}, 0, absl::InfiniteFuture(), identity.chain};
  }
  static TrustBundleSet Bundles(TrustBundleMap map) {
    absl::StatusOr<TrustBundleSet> bundles = TrustBundleSet::Create(std::move(map));
    EXPECT_THAT(bundles, IsOk());
    return *bundles;
  }

  const TestCa old_{"td", kNow}, new_{"td", kNow}, other_{"other", kNow};
  const PeerInfo by_old_ = Proven(old_, old_.IssueSvid("/a"));
  const PeerInfo by_new_ = Proven(new_, new_.IssueSvid("/a"));
  const PeerInfo foreign_ = Proven(other_, other_.IssueSvid("/a"));
  const TrustBundleSet before_ =
      Bundles({{"td", {{old_.root(), new_.root()}}}, {"other", {{other_.root()}}}});
};

TEST_F(TrustChangeTest, EndsOnlyPeersWhoseRootIsGone) {
  const TrustBundleSet after = Bundles({{"td", {{new_.root()}}}, {"other", {{other_.root()}}}});
  TrustChange change(before_, &after, kNow);
  EXPECT_TRUE(change.RemovesAnything());
  EXPECT_FALSE(change.Keeps(by_old_));
  EXPECT_FALSE(change.Keeps(by_old_)) << "the same answer when asked again";
  EXPECT_TRUE(change.Keeps(by_new_));
  EXPECT_TRUE(change.Keeps(foreign_));
}

TEST_F(TrustChangeTest, EndsAllPeersOfATrustDomainThatIsGone) {
  const TrustBundleSet after = Bundles({{"td", {{old_.root(), new_.root()}}}});
  TrustChange change(before_, &after, kNow);
  EXPECT_TRUE(change.Keeps(by_old_));
  EXPECT_TRUE(change.Keeps(by_new_));
  EXPECT_FALSE(change.Keeps(foreign_));
}

TEST_F(TrustChangeTest, RemovesNothingWhenRootsAreAddedOrReordered) {
  const TestCa third("td", kNow);
  const TrustBundleSet after =
      Bundles({{"td", {{third.root(), new_.root(), old_.root()}}}, {"other", {{other_.root()}}}});
  TrustChange change(before_, &after, kNow);
  EXPECT_FALSE(change.RemovesAnything());
  EXPECT_TRUE(change.Keeps(by_old_));
}

TEST_F(TrustChangeTest, JudgesIntermediatesTooByTheRootsThatAreLeft) {
  const TestCa below_old = old_.MakeIntermediate(old_.IntermediateSpec());
  const TestCa below_new = new_.MakeIntermediate(new_.IntermediateSpec());
  const PeerInfo gone = Proven(old_, below_old.IssueSvid("/b"));
  const PeerInfo stays = Proven(new_, below_new.IssueSvid("/b"));
  const TrustBundleSet after = new_.Bundles();
  TrustChange change(before_, &after, kNow);
  EXPECT_FALSE(change.Keeps(gone));
  EXPECT_TRUE(change.Keeps(stays));
}

TEST_F(TrustChangeTest, LeavesExpiryToItsOwnRule) {
  const absl::Time later = by_new_.peer.not_after + absl::Minutes(1);
  const TrustBundleSet after = new_.Bundles();
  TrustChange change(before_, &after, later);
  EXPECT_TRUE(change.Keeps(by_new_));
  EXPECT_FALSE(change.Keeps(by_old_));
}

TEST_F(TrustChangeTest, DoesNotTrustAPeerWhoseProofIsNotKnown) {
  PeerInfo unknown = by_new_;
  unknown.peer_chain.clear();
  EXPECT_FALSE(ProvenBy(new_.Bundles(), unknown, kNow));
}

}  // namespace
}  // namespace byrnie
