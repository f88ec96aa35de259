#include "proxy/peer_proof.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "gtest/gtest.h"
#include "proxy/end_reason.h"

namespace byrnie {
namespace {

using Renewal = PeerProof::Renewal;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);
// How long before kNow the test CA's certificates begin.
constexpr absl::Duration kBackdated = absl::Minutes(1);

class PeerProofTest : public ::testing::Test {
 protected:
  PeerProofTest() : own_(std::make_shared<OwnProof>(*SpiffeId::Parse("spiffe://td/own"))) {
    own_->Extend(kNow + absl::Hours(1));
  }

  // A handshake in which the peer's certificate had `peer` to go and the own one `own`.
  void Shake(absl::Duration peer, absl::Duration own, absl::Time now = kNow,
             uint64_t generation = 1, double random = 0) {
    const TestIdentity identity = ca_.IssueSvid("/peer", kBackdated + (now + peer - kNow));
    Shake(identity, now + own, now, generation, ca_.Bundles(), random);
  }
  void Shake(const TestIdentity& identity, absl::Time own_until, absl::Time now,
             uint64_t generation, const TrustBundleSet& bundles, double random = 0) {
    proof_.Take({identity.chain, identity.chain[0]->not_after(), own_until, generation, bundles},
                now, random);
  }
  TrustBundleSet Revoking(const TestIdentity& revoked, absl::Time now = kNow) const {
    TrustBundle bundle{{ca_.root()}, {MakeCrl(*ca_.root(), ca_.key(), now, {revoked.chain[0]})}};
    return *TrustBundleSet::Create({{"td", bundle}});
  }

  const TestCa ca_{"td", kNow};
  const std::shared_ptr<OwnProof> own_;
  PeerProof proof_{*SocketAddress::Parse("10.0.0.2:0"), *SpiffeId::Parse("spiffe://td/peer"), own_};
};

TEST_F(PeerProofTest, ProvesNothingBeforeAHandshake) {
  EXPECT_LT(proof_.until(), kNow);
  EXPECT_EQ(proof_.renew_at(), absl::InfiniteFuture());
  EXPECT_FALSE(proof_.BeginRenewal(kNow));
}

TEST_F(PeerProofTest, KeepsTheLatestEnd) {
  Shake(absl::Hours(1), absl::Hours(1));
  EXPECT_EQ(proof_.until(), kNow + absl::Hours(1));
  Shake(absl::Hours(2), absl::Hours(1));
  Shake(absl::Hours(1), absl::Hours(1));
  EXPECT_EQ(proof_.until(), kNow + absl::Hours(2));
}

TEST_F(PeerProofTest, TheOwnEndOnlyMovesOn) {
  own_->Extend(kNow + absl::Minutes(10));
  EXPECT_EQ(own_->until(), kNow + absl::Hours(1));
  own_->Extend(kNow + absl::Hours(2));
  EXPECT_EQ(own_->until(), kNow + absl::Hours(2));
}

TEST_F(PeerProofTest, IsRenewedBetweenAQuarterAndAnEighthBeforeItsEnd) {
  for (const auto& [random, left] : std::vector<std::pair<double, absl::Duration>>{
           {0.0, absl::Minutes(15) / 2}, {0.5, absl::Minutes(45) / 4}, {1.0, absl::Minutes(15)}}) {
    PeerProof proof(proof_.address(), proof_.id(), own_);
    const TestIdentity peer = ca_.IssueSvid("/peer", absl::Hours(1));
    proof.Take({peer.chain, kNow + absl::Hours(1), kNow + absl::Hours(5), 1, ca_.Bundles()}, kNow,
               random);
    EXPECT_EQ(proof.renew_at(), kNow + absl::Hours(1) - left);
  }
}

TEST_F(PeerProofTest, WhatTheOwnCertificateWasGoodForCountsToo) {
  Shake(absl::Hours(8), absl::Hours(1));
  EXPECT_EQ(proof_.renew_at(), kNow + absl::Minutes(60) - absl::Minutes(60) / 8);
}

TEST_F(PeerProofTest, ShortLivedCertificatesHaveTimeForAFewAttempts) {
  Shake(absl::Seconds(12), absl::Hours(1));
  EXPECT_EQ(proof_.renew_at(), kNow + absl::Seconds(6));
  EXPECT_TRUE(proof_.BeginRenewal(kNow + absl::Seconds(6)));
  EXPECT_EQ(proof_.renew_at(), kNow + absl::Seconds(9));
}

TEST_F(PeerProofTest, IsTriedAgainAfterHalfOfWhatIsLeftUntilProven) {
  Shake(absl::Minutes(64), absl::Hours(5));
  const absl::Time end = kNow + absl::Minutes(64);
  absl::Duration left = absl::Minutes(8);
  EXPECT_FALSE(proof_.BeginRenewal(end - left - absl::Seconds(1)));
  // The last attempts are a second apart, however little that leaves.
  for (; left >= absl::Seconds(2); left -= std::max(left / 2, absl::Seconds(1))) {
    ASSERT_TRUE(proof_.BeginRenewal(end - left)) << left;
    EXPECT_FALSE(proof_.BeginRenewal(end - left)) << "one at a time";
    EXPECT_EQ(proof_.EndRenewal(absl::UnavailableError("nobody there")), Renewal::kFailed);
    EXPECT_FALSE(proof_.BeginRenewal(end - left + std::max(left / 2, absl::Seconds(1)) -
                                     absl::Milliseconds(1)));
  }
  const absl::Time now = end - absl::Seconds(1);
  ASSERT_TRUE(proof_.BeginRenewal(now));
  Shake(absl::Hours(1), absl::Hours(5), now);
  EXPECT_EQ(proof_.EndRenewal(absl::OkStatus()), Renewal::kRenewed);
  EXPECT_EQ(proof_.renew_at(), now + absl::Minutes(60) - absl::Minutes(60) / 8);
}

TEST_F(PeerProofTest, OneUnderWayIsNotBegunAgainHoweverLongItTakes) {
  Shake(absl::Minutes(64), absl::Hours(5));
  ASSERT_TRUE(proof_.BeginRenewal(kNow + absl::Minutes(56)));
  EXPECT_FALSE(proof_.BeginRenewal(kNow + absl::Minutes(59)));
  EXPECT_GT(proof_.renew_at(), kNow + absl::Minutes(56)) << "whoever waits for it looks again";
}

TEST_F(PeerProofTest, AnotherHandshakeIsAsGood) {
  Shake(absl::Minutes(64), absl::Hours(5));
  const absl::Time now = kNow + absl::Minutes(56);
  ASSERT_TRUE(proof_.BeginRenewal(now));
  Shake(absl::Hours(1), absl::Hours(5), now);
  EXPECT_EQ(proof_.EndRenewal(absl::UnavailableError("too late")), Renewal::kRenewed);
}

TEST_F(PeerProofTest, AHandshakeWithTheSameCertificatesChangesNothing) {
  Shake(absl::Minutes(64), absl::Hours(5));
  const absl::Time now = kNow + absl::Minutes(56);
  ASSERT_TRUE(proof_.BeginRenewal(now));
  Shake(absl::Minutes(8), absl::Hours(5), now, 1, 1);
  EXPECT_EQ(proof_.EndRenewal(absl::OkStatus()), Renewal::kUnchanged);
  EXPECT_EQ(proof_.renew_at(), now + absl::Minutes(4));
}

TEST_F(PeerProofTest, WaitsForTheOwnRenewalWhereOnlyThatHelps) {
  Shake(absl::Hours(8), absl::Hours(1));
  const absl::Time due = proof_.renew_at();
  EXPECT_FALSE(proof_.BeginRenewal(due)) << "the same certificate would be shown";
  own_->Extend(kNow + absl::Hours(2));
  EXPECT_TRUE(proof_.BeginRenewal(proof_.renew_at()));
}

TEST_F(PeerProofTest, AnOwnRenewalThatComesLateIsShownAtOnce) {
  Shake(absl::Hours(8), absl::Hours(1));
  const absl::Time end = kNow + absl::Hours(1);
  // Just looked for the last time but one.
  for (absl::Time now = proof_.renew_at(); now < end - absl::Seconds(30); now = proof_.renew_at()) {
    EXPECT_FALSE(proof_.BeginRenewal(now)) << end - now;
  }
  const absl::Time now = end - absl::Seconds(30);
  EXPECT_FALSE(proof_.BeginRenewal(now));
  own_->Extend(kNow + absl::Hours(2));
  ASSERT_TRUE(proof_.BeginRenewal(now + absl::Milliseconds(1)));
  EXPECT_EQ(proof_.EndRenewal(absl::UnavailableError("nobody there")), Renewal::kFailed);
  EXPECT_FALSE(proof_.BeginRenewal(now + absl::Milliseconds(2))) << "that is no reason to hurry";
}

TEST_F(PeerProofTest, APeerThatEndsNothingForTheOwnCertificateIsAskedBeforeItsOwnEnd) {
  Shake(absl::Hours(24), absl::Hours(1));
  own_->Extend(kNow + absl::Hours(9));
  const absl::Time later = kNow + absl::Hours(8);
  EXPECT_FALSE(proof_.BeginRenewal(later));
  EXPECT_EQ(proof_.renew_at(), kNow + absl::Hours(22));
  EXPECT_TRUE(proof_.BeginRenewal(kNow + absl::Hours(22)));
}

TEST_F(PeerProofTest, ALostRootTakesTheProofAway) {
  Shake(absl::Hours(1), absl::Hours(1));
  const TestCa other("td", kNow);
  EXPECT_EQ(proof_.Judge(other.Bundles(), 2, kNow), end_reason::kTrustRemoved);
  EXPECT_LT(proof_.until(), kNow);
  EXPECT_EQ(proof_.Judge(other.Bundles(), 2, kNow), end_reason::kTrustRemoved)
      << "the same answer when asked again";
  EXPECT_EQ(proof_.Judge(ca_.Bundles(), 3, kNow), end_reason::kTrustRemoved)
      << "what was dropped does not come back by itself";
}

TEST_F(PeerProofTest, ARevokedProofIsRenewedAtOnceByAnotherCertificate) {
  const TestIdentity revoked = ca_.IssueSvid("/peer"), next = ca_.IssueSvid("/peer");
  const absl::Time own_until = kNow + absl::Hours(1);
  Shake(revoked, own_until, kNow, 1, ca_.Bundles());
  EXPECT_EQ(proof_.Judge(ca_.Bundles(), 2, kNow), "");
  const TrustBundleSet bundles = Revoking(revoked);
  EXPECT_EQ(proof_.Judge(bundles, 3, kNow), end_reason::kCertificateRevoked);
  ASSERT_TRUE(proof_.BeginRenewal(kNow));
  Shake(next, own_until, kNow, 3, bundles);
  EXPECT_EQ(proof_.EndRenewal(absl::OkStatus()), Renewal::kRenewed);
  EXPECT_EQ(proof_.until(), next.chain[0]->not_after());
  EXPECT_EQ(proof_.Judge(bundles, 3, kNow), "");
}

TEST_F(PeerProofTest, AWorkerThatHasNotHeardOfTheNewestTrustProvesNothing) {
  Shake(absl::Hours(1), absl::Hours(1));
  EXPECT_EQ(proof_.Judge(ca_.Bundles(), 5, kNow), "");
  Shake(absl::Hours(2), absl::Hours(1), kNow, 4);
  EXPECT_EQ(proof_.until(), kNow + absl::Hours(1));
}

TEST_F(PeerProofTest, AProofThatNewerTrustDoesNotKnowGivesWayToOneThatItDoes) {
  const TestIdentity revoked = ca_.IssueSvid("/peer", kBackdated + absl::Hours(2));
  const TestIdentity good = ca_.IssueSvid("/peer", kBackdated + absl::Hours(1));
  const absl::Time own_until = kNow + absl::Hours(1);
  Shake(revoked, own_until, kNow, 1, ca_.Bundles());
  Shake(good, own_until, kNow, 2, ca_.Bundles());
  EXPECT_EQ(proof_.until(), kNow + absl::Hours(2)) << "both are good, the later one is kept";
  Shake(good, own_until, kNow, 3, Revoking(revoked));
  EXPECT_EQ(proof_.until(), kNow + absl::Hours(1));
}

}  // namespace
}  // namespace byrnie
