#include "proxy/trust_change.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/identity/svid_verifier.h"
#include "common/tls/handshake_fault.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "gtest/gtest.h"
#include "proxy/end_reason.h"

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
  // With a newer proof, judged by before_.
  PeerInfo Renewed(PeerInfo peer, const TestIdentity& renewed) const {
    peer.proof = std::make_shared<PeerProof>(
        SocketAddress(), peer.peer.id,
        std::make_shared<OwnProof>(*SpiffeId::Parse("spiffe://td/own")));
    peer.proof->Take(
        {renewed.chain, renewed.chain[0]->not_after(), absl::InfiniteFuture(), 1, before_}, kNow,
        0);
    return peer;
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
  TrustChange change(before_, &after, 2, kNow);
  EXPECT_TRUE(change.RemovesAnything());
  EXPECT_EQ(change.WhyNot(by_old_), end_reason::kTrustRemoved);
  EXPECT_EQ(change.WhyNot(by_old_), end_reason::kTrustRemoved)
      << "the same answer when asked again";
  EXPECT_EQ(change.WhyNot(by_new_), "");
  EXPECT_EQ(change.WhyNot(foreign_), "");
}

TEST_F(TrustChangeTest, EndsAllPeersOfATrustDomainThatIsGone) {
  const TrustBundleSet after = Bundles({{"td", {{old_.root(), new_.root()}}}});
  TrustChange change(before_, &after, 2, kNow);
  EXPECT_EQ(change.WhyNot(by_old_), "");
  EXPECT_EQ(change.WhyNot(by_new_), "");
  EXPECT_EQ(change.WhyNot(foreign_), end_reason::kTrustRemoved);
}

TEST_F(TrustChangeTest, RemovesNothingWhenRootsAreAddedOrReordered) {
  const TestCa third("td", kNow);
  const TrustBundleSet after =
      Bundles({{"td", {{third.root(), new_.root(), old_.root()}}}, {"other", {{other_.root()}}}});
  TrustChange change(before_, &after, 2, kNow);
  EXPECT_FALSE(change.RemovesAnything());
  EXPECT_EQ(change.WhyNot(by_old_), "");
}

TEST_F(TrustChangeTest, JudgesIntermediatesTooByTheRootsThatAreLeft) {
  const TestCa below_old = old_.MakeIntermediate(old_.IntermediateSpec());
  const TestCa below_new = new_.MakeIntermediate(new_.IntermediateSpec());
  const PeerInfo gone = Proven(old_, below_old.IssueSvid("/b"));
  const PeerInfo stays = Proven(new_, below_new.IssueSvid("/b"));
  const TrustBundleSet after = new_.Bundles();
  TrustChange change(before_, &after, 2, kNow);
  EXPECT_EQ(change.WhyNot(gone), end_reason::kTrustRemoved);
  EXPECT_EQ(change.WhyNot(stays), "");
}

TEST_F(TrustChangeTest, LeavesExpiryToItsOwnRule) {
  const absl::Time later = by_new_.peer.not_after + absl::Minutes(1);
  const TrustBundleSet after = new_.Bundles();
  TrustChange change(before_, &after, 2, later);
  EXPECT_EQ(change.WhyNot(by_new_), "");
  EXPECT_EQ(change.WhyNot(by_old_), end_reason::kTrustRemoved);
}

TEST_F(TrustChangeTest, DoesNotTrustAPeerWhoseProofIsNotKnown) {
  PeerInfo unknown = by_new_;
  unknown.peer_chain.clear();
  EXPECT_THAT(CheckProven(new_.Bundles(), unknown, kNow),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(CheckProven(new_.Bundles(), by_new_, kNow), IsOk());
}

TEST_F(TrustChangeTest, EndsPeersThatANewRevocationListNames) {
  const TestIdentity revoked = new_.IssueSvid("/revoked");
  const PeerInfo gone = Proven(new_, revoked);
  const TrustBundleSet after =
      Bundles({{"td",
                {{old_.root(), new_.root()},
                 {MakeCrl(*new_.root(), new_.key(), kNow, {revoked.chain[0]}),
                  MakeCrl(*old_.root(), old_.key(), kNow)}}},
               {"other", {{other_.root()}}}});
  TrustChange change(before_, &after, 2, kNow);
  EXPECT_TRUE(change.RemovesAnything());
  EXPECT_EQ(change.WhyNot(gone), end_reason::kCertificateRevoked);
  EXPECT_EQ(change.WhyNot(by_new_), "");
  EXPECT_EQ(change.WhyNot(by_old_), "");
  EXPECT_EQ(change.WhyNot(foreign_), "");
  EXPECT_EQ(DefectOf(CheckProven(after, gone, kNow)), SvidDefect::kRevoked);
}

TEST_F(TrustChangeTest, EndsPeersWhoseIssuerHasNoListWhereThereAreLists) {
  const TrustBundleSet after =
      Bundles({{"td", {{old_.root(), new_.root()}, {MakeCrl(*new_.root(), new_.key(), kNow)}}}});
  TrustChange change(before_, &after, 2, kNow);
  EXPECT_EQ(change.WhyNot(by_new_), "");
  EXPECT_EQ(change.WhyNot(by_old_), end_reason::kRevocationUnknown);
  EXPECT_EQ(change.WhyNot(foreign_), end_reason::kTrustRemoved);
}

TEST_F(TrustChangeTest, DropsANewerProofThatIsRevokedAndEndsWhatHasNoOther) {
  const TestIdentity revoked = new_.IssueSvid("/a", absl::Hours(2));
  const TrustBundleSet after = Bundles(
      {{"td", {{new_.root()}, {MakeCrl(*new_.root(), new_.key(), kNow, {revoked.chain[0]})}}}});
  const PeerInfo peer = Renewed(by_new_, revoked);
  PeerInfo older = peer;
  older.peer.not_after = kNow - absl::Seconds(10);
  EXPECT_GT(older.peer_until(), kNow);

  TrustChange change(before_, &after, 2, kNow);
  EXPECT_EQ(change.WhyNot(older), end_reason::kCertificateRevoked);
  EXPECT_EQ(change.WhyNot(peer), "") << "its handshake's own certificate is good for a while";
  EXPECT_EQ(peer.peer_until(), by_new_.peer.not_after);
  EXPECT_EQ(older.peer_until(), older.peer.not_after);
}

TEST_F(TrustChangeTest, ANewerProofSupersedesAHandshakeWhoseRootIsGone) {
  const PeerInfo peer = Renewed(by_old_, new_.IssueSvid("/a", absl::Hours(2)));
  const TrustBundleSet after = new_.Bundles();
  TrustChange change(before_, &after, 2, kNow);
  EXPECT_EQ(change.WhyNot(by_old_), end_reason::kTrustRemoved) << "it has nothing newer";
  EXPECT_EQ(change.WhyNot(peer), "");
  EXPECT_GT(peer.peer_until(), by_old_.peer.not_after);
}

TEST_F(TrustChangeTest, AHandshakeWhoseRootIsGoneProvesNothingBeyondTheNewerProof) {
  const PeerInfo peer = Renewed(by_old_, new_.IssueSvid("/a", absl::Minutes(10)));
  const absl::Time until = peer.proof->until();
  ASSERT_LT(until, by_old_.peer.not_after);
  EXPECT_EQ(peer.peer_until(), by_old_.peer.not_after);
  const TrustBundleSet after = new_.Bundles();
  TrustChange removed(before_, &after, 2, kNow);
  EXPECT_EQ(removed.WhyNot(peer), "");
  EXPECT_EQ(peer.peer_until(), until);

  // The root is back, and another one goes.
  const TestCa third("td", kNow);
  const TrustBundleSet both = Bundles({{"td", {{old_.root(), new_.root(), third.root()}}}});
  const TrustBundleSet again = Bundles({{"td", {{old_.root(), new_.root()}}}});
  TrustChange back(both, &again, 4, kNow);
  EXPECT_EQ(back.WhyNot(peer), "");
  EXPECT_EQ(peer.peer_until(), by_old_.peer.not_after);
}

TEST_F(TrustChangeTest, ANewerProofHoldsThroughAllLaterRoots) {
  // Roots of one name, each of which began when the handshake's certificate had long ended.
  const absl::Time later = kNow + absl::Hours(100), last = kNow + absl::Hours(200);
  const TestCa second("td", later), third("td", last);
  const auto own = std::make_shared<OwnProof>(*SpiffeId::Parse("spiffe://td/own"));
  PeerInfo peer = by_old_;
  peer.proof = std::make_shared<PeerProof>(SocketAddress(), peer.peer.id, own);
  TrustBundleSet before = before_;
  uint64_t generation = 1;
  for (const auto& [ca, now] : {std::make_pair(&second, later), std::make_pair(&third, last)}) {
    const TestIdentity renewed = ca->IssueSvid("/a");
    const TrustBundleSet after = ca->Bundles();
    peer.proof->Take(
        {renewed.chain, renewed.chain[0]->not_after(), absl::InfiniteFuture(), ++generation, after},
        now, 0);
    TrustChange change(before, &after, ++generation, now);
    EXPECT_EQ(change.WhyNot(by_old_), end_reason::kTrustRemoved);
    EXPECT_EQ(change.WhyNot(peer), "");
    before = after;
  }
}

TEST_F(TrustChangeTest, ANewerProofUnderTheSameRootGoesWithIt) {
  const PeerInfo peer = Renewed(by_old_, old_.IssueSvid("/a", absl::Hours(2)));
  const TrustBundleSet after = new_.Bundles();
  TrustChange change(before_, &after, 2, kNow);
  EXPECT_EQ(change.WhyNot(peer), end_reason::kTrustRemoved);
  EXPECT_EQ(peer.peer_until(), by_old_.peer.not_after) << "it is dropped";
}

TEST_F(TrustChangeTest, ANewerProofThatHasRunOutSupersedesNothing) {
  PeerInfo peer = Renewed(by_old_, new_.IssueSvid("/a", absl::Minutes(10)));
  const TrustBundleSet after = new_.Bundles();
  TrustChange change(before_, &after, 2, kNow + absl::Minutes(20));
  EXPECT_GT(peer.peer_until(), kNow + absl::Minutes(20));
  EXPECT_EQ(change.WhyNot(peer), end_reason::kTrustRemoved);
}

TEST_F(TrustChangeTest, ANewerProofDoesNotMakeUpForARevokedHandshake) {
  const TestIdentity began = old_.IssueSvid("/a");
  const PeerInfo peer = Renewed(Proven(old_, began), new_.IssueSvid("/a", absl::Hours(2)));
  const RevocationListPtr of_new = MakeCrl(*new_.root(), new_.key(), kNow);
  const RevocationListPtr of_old = MakeCrl(*old_.root(), old_.key(), kNow, {began.chain[0]});
  const PeerInfo innocent = Renewed(by_old_, new_.IssueSvid("/a", absl::Hours(2)));
  for (const std::vector<CertificatePtr>& roots :
       {std::vector<CertificatePtr>{old_.root(), new_.root()}, {new_.root()}}) {
    const TrustBundleSet after = Bundles({{"td", {roots, {of_new, of_old}}}});
    TrustChange change(before_, &after, 2, kNow);
    EXPECT_EQ(change.WhyNot(peer), end_reason::kCertificateRevoked)
        << "with " << roots.size() << " roots";
    EXPECT_EQ(change.WhyNot(innocent), "");
  }
}

TEST_F(TrustChangeTest, AHandshakeWhoseListWentWithItsRootIsSuperseded) {
  const PeerInfo peer = Renewed(by_old_, new_.IssueSvid("/a", absl::Hours(2)));
  const RevocationListPtr of_new = MakeCrl(*new_.root(), new_.key(), kNow);
  const TrustBundleSet after = Bundles({{"td", {{new_.root()}, {of_new}}}});
  TrustChange change(before_, &after, 2, kNow);
  EXPECT_EQ(change.WhyNot(peer), "");
}

TEST_F(TrustChangeTest, ANewerProofThatIsRevokedSaysSo) {
  const TestIdentity revoked = new_.IssueSvid("/a", absl::Hours(2));
  const PeerInfo peer = Renewed(by_old_, revoked);
  const TrustBundleSet after = Bundles(
      {{"td", {{new_.root()}, {MakeCrl(*new_.root(), new_.key(), kNow, {revoked.chain[0]})}}}});
  TrustChange change(before_, &after, 2, kNow);
  EXPECT_EQ(change.WhyNot(peer), end_reason::kCertificateRevoked);
}

TEST_F(TrustChangeTest, ANewerProofDoesNotMakeUpForATrustDomainOrAListThatIsGone) {
  const PeerInfo peer = Renewed(by_old_, new_.IssueSvid("/a", absl::Hours(2)));
  const TrustBundleSet others = other_.Bundles();
  TrustChange removed(before_, &others, 2, kNow);
  EXPECT_EQ(removed.WhyNot(peer), end_reason::kTrustRemoved);

  const PeerInfo again = Renewed(by_old_, new_.IssueSvid("/a", absl::Hours(2)));
  const TrustBundleSet half =
      Bundles({{"td", {{old_.root(), new_.root()}, {MakeCrl(*new_.root(), new_.key(), kNow)}}}});
  TrustChange unknown(before_, &half, 2, kNow);
  EXPECT_EQ(unknown.WhyNot(again), end_reason::kRevocationUnknown)
      << "its root is there, and says nothing of it";
}

TEST_F(TrustChangeTest, LooksAtNobodyWhenTheListsAreTheSame) {
  const RevocationListPtr list = MakeCrl(*new_.root(), new_.key(), kNow);
  const TrustBundleSet before = Bundles({{"td", {{new_.root()}, {list}}}});
  const TrustBundleSet after =
      Bundles({{"td", {{old_.root(), new_.root()}, {*RevocationList::FromDer(list->der())}}}});
  TrustChange change(before, &after, 2, kNow + absl::Hours(5));
  EXPECT_FALSE(change.RemovesAnything());
  EXPECT_EQ(change.WhyNot(by_new_), "") << "a list that ends refuses whoever is new";
}

}  // namespace
}  // namespace byrnie
