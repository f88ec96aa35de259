// Trust bundles and revocation lists: what is published of them, and what they make the renewer do.
#include <string>
#include <utility>
#include <vector>

#include "certagent/testing/renewer_fixture.h"
#include "common/crypto/revocation_list.h"
#include "common/identity/trust_bundle.h"
#include "common/tls/testing/test_crl.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RenewerBundlesTest : public RenewerFixture {};

TEST_F(RenewerBundlesTest, PublishesNewBundlesWithTheSameChainAndAcknowledgesThem) {
  StartAndIssue();
  ca_.SendBundles(ca_.Update(7));
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_FALSE(published_[1].rotated);
  EXPECT_EQ(published_[1].snapshot->generation(), 2u);
  EXPECT_EQ(published_[1].snapshot->leaf().der(), published_[0].snapshot->leaf().der());
  EXPECT_THAT(ca_.acknowledged, ElementsAre(7u));
}

TEST_F(RenewerBundlesTest, AcknowledgesBundlesWhenTheProxyHasThemInForce) {
  StartAndIssue();
  has_proxy_ = true;
  ca_.SendBundles(ca_.Update(7));
  EXPECT_EQ(renewer_->bundle_version(), 7u);
  renewer_->OnInForce(1);          // What it was sent before.
  ca_.SendBundles(ca_.Update(7));  // A new stream.
  EXPECT_THAT(ca_.acknowledged, IsEmpty());
  renewer_->OnInForce(2);
  EXPECT_THAT(ca_.acknowledged, ElementsAre(7u));
  renewer_->OnInForce(2);
  EXPECT_THAT(ca_.acknowledged, ElementsAre(7u));
  ca_.SendBundles(ca_.Update(8));
  EXPECT_THAT(ca_.acknowledged, ElementsAre(7u));
  renewer_->OnProxyGone();
  EXPECT_THAT(ca_.acknowledged, ElementsAre(7u, 8u));
}

// The authority takes it for a word that the certificate before is not used any more.
TEST_F(RenewerBundlesTest, AcknowledgesBundlesOfBeforeARenewalWhenTheProxyHasTheNewCertificate) {
  StartAndIssue();
  has_proxy_ = true;
  ca_.SendBundles(ca_.Update(7));
  renewer_->OnInForce(2);
  ASSERT_THAT(ca_.acknowledged, ElementsAre(7u));
  renewer_->RenewNow();
  loop_.RunUntilIdle();
  ASSERT_TRUE(published_.back().rotated);
  ASSERT_EQ(published_.back().snapshot->generation(), 3u);
  ca_.SendBundles(ca_.Update(7));  // The stream of the new certificate.
  EXPECT_THAT(ca_.acknowledged, ElementsAre(7u));
  renewer_->OnInForce(3);
  EXPECT_THAT(ca_.acknowledged, ElementsAre(7u, 7u));
}

TEST_F(RenewerBundlesTest, PublishesItsOwnRevocationListsBesideTheAuthoritys) {
  StartAndIssue();
  const RevocationListPtr list = MakeCrl(ca_.root(), ca_.root_key(), loop_.WallNow());
  renewer_->SetRevocationLists({{"cluster.local", {list}}});
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_FALSE(published_[1].rotated);
  EXPECT_EQ(published_[1].snapshot->bundles().Find("cluster.local")->crls.size(), 1u);
  renewer_->SetRevocationLists({{"cluster.local", {list}}});
  EXPECT_EQ(published_.size(), 2u) << "nothing has changed";
  // They stay when the authority's bundles change, and are no part of those.
  ca_.SendBundles(ca_.Update(7));
  ASSERT_EQ(published_.size(), 3u);
  EXPECT_EQ(published_[2].snapshot->bundles().Find("cluster.local")->crls.size(), 1u);
  renewer_->SetRevocationLists({});
  ASSERT_EQ(published_.size(), 4u);
  EXPECT_TRUE(published_[3].snapshot->bundles().Find("cluster.local")->crls.empty());
}

TEST_F(RenewerBundlesTest, AsksForAnotherCertificateWhenItsOwnIsRevoked) {
  StartAndIssue();
  const CertificatePtr leaf = published_[0].snapshot->chain().front();
  const RevocationListPtr list = MakeCrl(ca_.root(), ca_.root_key(), loop_.WallNow(), {leaf});
  ca_.SendBundles(
      TrustBundleUpdate{7, *WithRevocationLists(ca_.RootBundle(), {{"cluster.local", {list}}})});
  ASSERT_EQ(published_.size(), 2u) << "in force all the same";
  EXPECT_THAT(ca_.acknowledged, ElementsAre(7u));
  loop_.RunUntilIdle();
  ASSERT_EQ(published_.size(), 3u);
  EXPECT_TRUE(published_[2].rotated);
  EXPECT_NE(published_[2].snapshot->leaf().der(), leaf->der());
}

TEST_F(RenewerBundlesTest, RenewsWithinTheTimeAskedForWhenItsRootIsToGo) {
  StartAndIssue();
  TrustBundleUpdate update = ca_.Update(7);
  update.tainted_roots = {{ca_.root().FingerprintHex(), absl::Minutes(10)}};
  ca_.SendBundles(update);
  EXPECT_EQ(ca_.acknowledged, std::vector<uint64_t>{7});
  loop_.AdvanceTime(absl::Minutes(4));
  EXPECT_EQ(ca_.calls.size(), 1u);
  loop_.AdvanceTime(absl::Minutes(2));
  EXPECT_EQ(ca_.calls.size(), 2u);
  // An authority that goes on signing with that root is not asked again at once.
  loop_.AdvanceTime(absl::Minutes(3));
  EXPECT_EQ(ca_.calls.size(), 2u);
  // Once it signs with another one, life goes on as before.
  const TrustBundleSet before = ca_.RootBundle();
  ca_.ReplaceRoot();
  TrustBundleMap both = before.bundles();
  both["cluster.local"].roots.push_back(ca_.RootBundle().Find("cluster.local")->roots.front());
  update.version = 8;
  update.bundles = *TrustBundleSet::Create(std::move(both));
  ca_.SendBundles(update);
  loop_.AdvanceTime(absl::Minutes(10));
  ASSERT_EQ(ca_.calls.size(), 3u);
  loop_.AdvanceTime(absl::Minutes(20));
  EXPECT_EQ(ca_.calls.size(), 3u);
}

TEST_F(RenewerBundlesTest, DoesNotHurryForTheRootOfOthers) {
  StartAndIssue();
  const absl::Time planned = renewer_->next_attempt();
  TrustBundleUpdate update = ca_.Update(7);
  update.tainted_roots = {{std::string(64, '0'), absl::ZeroDuration()}};
  ca_.SendBundles(update);
  EXPECT_EQ(renewer_->next_attempt(), planned);
}

TEST_F(RenewerBundlesTest, KeepsItsBundlesWhenNewOnesAreBrokenOrEmpty) {
  StartAndIssue();
  ca_.SendBundles(absl::InvalidArgumentError("does not parse"));
  ca_.SendBundles(TrustBundleUpdate{8, TrustBundleSet()});
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_EQ(ca_.calls.size(), 1u);
  EXPECT_THAT(ca_.acknowledged, IsEmpty());
}

TEST_F(RenewerBundlesTest, RenewsWhenItsRootIsWithdrawnAndSwapsBothTogether) {
  StartAndIssue();
  ca_.ReplaceRoot();
  ca_.SendBundles(ca_.Update(9));
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_FALSE(published_[1].rotated);
  EXPECT_THAT(ca_.acknowledged, IsEmpty());
  loop_.RunUntilIdle();
  ASSERT_EQ(published_.size(), 3u);
  EXPECT_TRUE(published_[2].rotated);
  EXPECT_THAT(published_[2].snapshot->bundles().Find("cluster.local")->roots, SizeIs(1));
  EXPECT_THAT(ca_.acknowledged, ElementsAre(9u));
  EXPECT_EQ(renewer_->bundle_version(), 9u);
}

TEST_F(RenewerBundlesTest, WithdrawsAllButItsOwnRootWhileTheAuthorityIsAway) {
  const FakeCaClient stranger(&loop_, "partner.example"), retired(&loop_, "cluster.local");
  const CertificatePtr own = ca_.RootBundle().Find("cluster.local")->roots[0];
  const CertificatePtr old = retired.RootBundle().Find("cluster.local")->roots[0];
  const TrustBundle partner = *stranger.RootBundle().Find("partner.example");
  StartAndIssue();
  TrustBundleMap all = {{"cluster.local", {{old, own}}}, {"partner.example", partner}};
  ca_.SendBundles(TrustBundleUpdate{7, *TrustBundleSet::Create(std::move(all))});
  ASSERT_EQ(published_.size(), 2u);
  // All three roots go; the authority has another.
  ca_.ReplaceRoot();
  ca_.failure = absl::UnavailableError("down");
  const CertificatePtr fresh = ca_.RootBundle().Find("cluster.local")->roots[0];
  ca_.SendBundles(ca_.Update(8));
  loop_.RunUntilIdle();
  ASSERT_EQ(published_.size(), 3u);
  const TrustBundleSet& bundles = published_[2].snapshot->bundles();
  EXPECT_EQ(bundles.Find("partner.example"), nullptr);
  EXPECT_THAT(bundles.Find("cluster.local")->roots, ElementsAre(fresh, own));
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_THAT(ca_.acknowledged, ElementsAre(7u));
  EXPECT_THAT(metrics_.RenderPrometheusText(),
              HasSubstr("byrnie_certagent_trust_bundle_withheld 1"));

  ca_.failure = absl::OkStatus();
  loop_.AdvanceTime(absl::Seconds(2));
  EXPECT_THAT(published_.back().snapshot->bundles().Find("cluster.local")->roots,
              ElementsAre(fresh));
  EXPECT_THAT(ca_.acknowledged, ElementsAre(7u, 8u));
  EXPECT_THAT(metrics_.RenderPrometheusText(),
              HasSubstr("byrnie_certagent_trust_bundle_withheld 0"));
}

TEST_F(RenewerBundlesTest, TakesTheBundlesThatCameWithTheCertificate) {
  ca_.bundles_in_answer = ca_.Update(3);
  StartAndIssue();
  EXPECT_EQ(renewer_->bundle_version(), 3u);
  EXPECT_THAT(ca_.acknowledged, ElementsAre(3u));
}

TEST_F(RenewerBundlesTest, DoesNotLetBrokenBundlesSpoilTheCertificate) {
  ca_.bundles_in_answer = absl::StatusOr<TrustBundleUpdate>(absl::InvalidArgumentError("broken"));
  StartAndIssue();
  EXPECT_EQ(renewer_->bundle_version(), 0u);
  EXPECT_TRUE(renewer_->HasValidCertificate());
}

}  // namespace
}  // namespace byrnie
