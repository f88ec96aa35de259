#include "certagent/renewer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "certagent/testing/fake_ca_client.h"
#include "common/base/retry_after.h"
#include "common/crypto/revocation_list.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/identity/trust_bundle.h"
#include "common/tls/testing/test_crl.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Published {
  IdentitySnapshotPtr snapshot;
  bool rotated;
};

class RenewerTest : public ::testing::Test {
 protected:
  RenewerTest() : ca_(&loop_, "cluster.local") { Make(absl::nullopt); }

  void Make(absl::optional<SpiffeId> expected) {
    Renewer::Options options;
    options.trust_domain = "cluster.local";
    options.expected_id = std::move(expected);
    options.bundles = ca_.RootBundle();
    options.random = [this] { return random_; };
    options.proofs = proofs_;
    options.has_proxy = [this] { return has_proxy_; };
    renewer_ =
        std::make_unique<Renewer>(&loop_, &ca_, &custodian_, &log_, &metrics_, std::move(options),
                                  [this](const IdentitySnapshotPtr& snapshot, bool rotated) {
                                    published_.push_back({snapshot, rotated});
                                  });
    ca_.WatchTrustBundles(nullptr, [this](absl::StatusOr<TrustBundleUpdate> update) {
      renewer_->OnTrustBundles(std::move(update));
    });
  }

  void StartAndIssue() {
    renewer_->Start();
    loop_.RunUntilIdle();
    ASSERT_EQ(published_.size(), 1u);
  }

  bool CanSignWithPublished() {
    return custodian_
        .Sign(published_.back().snapshot->leaf().FingerprintHex(), 0x0403,
              std::string(64, ' ') + "TLS 1.3, client CertificateVerify" + std::string(33, '\0'))
        .ok();
  }

  // Lines of the log with these words.
  int LinesWith(const std::string& words) const {
    std::string text(lseek(log_fd_, 0, SEEK_CUR), '\0');
    EXPECT_EQ(pread(log_fd_, &text[0], text.size(), 0), static_cast<ssize_t>(text.size()));
    int lines = 0;
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      if (absl::StrContains(line, words)) ++lines;
    }
    return lines;
  }

  const int log_fd_ = memfd_create("log", MFD_CLOEXEC);
  Logger log_{log_fd_, Logger::Format::kText, LogLevel::kWarning};
  MetricRegistry metrics_;
  ManualEventLoop loop_;
  FakeCaClient ca_;
  KeyCustodian custodian_{&loop_, &metrics_, {}};
  double random_ = 0.5;
  std::vector<Proof> proofs_ = {Proof::kSvid, Proof::kToken};
  bool has_proxy_ = false;
  std::vector<Published> published_;
  std::unique_ptr<Renewer> renewer_;
};

TEST_F(RenewerTest, PublishesTheFirstCertificateWithItsKey) {
  StartAndIssue();
  EXPECT_EQ(published_[0].snapshot->id().text(), ca_.spiffe_id);
  EXPECT_EQ(published_[0].snapshot->generation(), 1u);
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_TRUE(CanSignWithPublished());
  ASSERT_EQ(ca_.calls.size(), 1u);
  EXPECT_FALSE(ca_.calls[0].with_identity);
}

TEST_F(RenewerTest, RenewsAfterHalfOfTheLifeWithItsCertificateAndANewKey) {
  StartAndIssue();
  loop_.AdvanceTime(absl::Minutes(31));
  EXPECT_EQ(ca_.calls.size(), 1u);
  loop_.AdvanceTime(absl::Minutes(1));
  ASSERT_EQ(ca_.calls.size(), 2u);
  EXPECT_TRUE(ca_.calls[1].with_identity);
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_EQ(published_[1].snapshot->generation(), 2u);
  EXPECT_NE(published_[0].snapshot->leaf().FingerprintHex(),
            published_[1].snapshot->leaf().FingerprintHex());
  EXPECT_TRUE(CanSignWithPublished());
}

TEST_F(RenewerTest, RenewsInsideTheWindowOfTheAuthority) {
  ca_.window =
      RenewalWindow{loop_.WallNow() + absl::Minutes(33), loop_.WallNow() + absl::Minutes(34)};
  StartAndIssue();
  EXPECT_GE(renewer_->next_attempt(), ca_.window->start);
  EXPECT_LE(renewer_->next_attempt(), ca_.window->end);
}

TEST_F(RenewerTest, SaysWhyItFailsOnceAMinuteHoweverOftenItTries) {
  ca_.failure = absl::UnavailableError("down");
  renewer_->Start();
  loop_.AdvanceTime(absl::Minutes(5));
  EXPECT_GT(renewer_->failures_in_a_row(), 10);
  EXPECT_GE(LinesWith("certificate not renewed"), 3);
  EXPECT_LE(LinesWith("certificate not renewed"), 6);
  ca_.failure = absl::UnavailableError("down in another way");
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_GE(LinesWith("in another way"), 1);
}

TEST_F(RenewerTest, KeepsTheCertificateWhenRenewalFails) {
  StartAndIssue();
  ca_.failure = absl::UnavailableError("down");
  loop_.AdvanceTime(absl::Minutes(50));
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_TRUE(CanSignWithPublished());
  EXPECT_GT(renewer_->failures_in_a_row(), 10);
  ca_.failure = absl::OkStatus();
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(published_.size(), 2u);
  EXPECT_EQ(renewer_->failures_in_a_row(), 0);
  EXPECT_TRUE(renewer_->last_error().ok());
}

TEST_F(RenewerTest, BacksOffWithACap) {
  ca_.failure = absl::UnavailableError("down");
  renewer_->Start();
  loop_.AdvanceTime(absl::Minutes(10));
  ASSERT_GT(ca_.calls.size(), 100u);
  EXPECT_LT(ca_.calls.size(), 150u);
  for (size_t i = 1; i < ca_.calls.size(); ++i) {
    const absl::Duration gap = ca_.calls[i].at - ca_.calls[i - 1].at;
    EXPECT_GE(gap, absl::Seconds(1));
    EXPECT_LE(gap, absl::Seconds(6));
  }
}

TEST_F(RenewerTest, OutlivesAnOutageOfTwoLivesAndRecoversWithinSeconds) {
  StartAndIssue();
  ca_.failure = absl::UnavailableError("down");
  const absl::Time not_after = published_[0].snapshot->not_after();
  loop_.AdvanceTime(not_after - absl::Seconds(1) - loop_.WallNow());
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_TRUE(CanSignWithPublished());
  EXPECT_EQ(*renewer_->outage_budget(), absl::Seconds(1));
  loop_.AdvanceTime(absl::Hours(1));
  // Closed from the end on: nothing is signed for.
  EXPECT_FALSE(renewer_->HasValidCertificate());
  EXPECT_FALSE(CanSignWithPublished());
  EXPECT_EQ(*renewer_->outage_budget(), absl::Seconds(1) - absl::Hours(1));
  for (size_t i = 1; i < ca_.calls.size(); ++i) {
    ASSERT_GE(ca_.calls[i].at - ca_.calls[i - 1].at, absl::Seconds(1)) << i;
  }
  ca_.failure = absl::OkStatus();
  loop_.AdvanceTime(absl::Seconds(6));
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_TRUE(CanSignWithPublished());
}

TEST_F(RenewerTest, DoesNotAskSoonerThanTheAuthorityWants) {
  StartAndIssue();
  ca_.failure = absl::ResourceExhaustedError("busy");
  SetRetryAfter(&ca_.failure, absl::Minutes(2));
  renewer_->RenewNow();
  loop_.AdvanceTime(absl::Minutes(2) - absl::Seconds(1));
  EXPECT_EQ(ca_.calls.size(), 2u);
  loop_.AdvanceTime(absl::Seconds(32));
  EXPECT_EQ(ca_.calls.size(), 3u);
}

TEST_F(RenewerTest, DoesNotLetTheAuthorityPutItOffUntilItsCertificateIsDead) {
  StartAndIssue();
  ca_.failure = absl::ResourceExhaustedError("busy");
  SetRetryAfter(&ca_.failure, absl::Hours(1));
  loop_.AdvanceTime(absl::Minutes(59));
  EXPECT_TRUE(renewer_->HasValidCertificate());
  ca_.failure = absl::OkStatus();
  loop_.AdvanceTime(absl::Seconds(50));
  EXPECT_EQ(published_.size(), 2u);
}

TEST_F(RenewerTest, ProvesItselfInTheOrderItIsTold) {
  proofs_ = {Proof::kToken, Proof::kSvid};
  Make(absl::nullopt);
  StartAndIssue();
  renewer_->RenewNow();
  loop_.RunUntilIdle();
  EXPECT_FALSE(ca_.calls[1].with_identity);
  ca_.failure = absl::UnauthenticatedError("used up");
  renewer_->RenewNow();
  loop_.RunUntilIdle();
  ca_.failure = absl::OkStatus();
  loop_.AdvanceTime(absl::Seconds(2));
  ASSERT_EQ(ca_.calls.size(), 4u);
  EXPECT_TRUE(ca_.calls[3].with_identity);
}

TEST_F(RenewerTest, SaysThatItsClockIsWrongWhenTheCertificateIsNotValidYet) {
  ca_.ahead = absl::Seconds(9);
  ca_.back_dating = absl::Seconds(2);
  renewer_->Start();
  loop_.RunUntilIdle();
  EXPECT_THAT(published_, IsEmpty());
  EXPECT_EQ(renewer_->authority_clock_offset(), absl::Seconds(9));
  EXPECT_THAT(std::string(renewer_->last_error().message()),
              AllOf(HasSubstr("is valid in 7"), HasSubstr("your clock is 9 s behind the mesh")));
}

TEST_F(RenewerTest, MakesItsLastAttemptNotLaterThanTheExpiry) {
  ca_.lifetime = absl::Seconds(20);
  StartAndIssue();
  const absl::Time not_after = published_[0].snapshot->not_after();
  ca_.failure = absl::UnavailableError("down");
  loop_.AdvanceTime(absl::Seconds(19));
  EXPECT_LE(renewer_->next_attempt(), not_after);
  EXPECT_GE(ca_.calls.size(), 5u);
}

TEST_F(RenewerTest, StaysUpAndFallsBackToTheTokenAfterTheExpiry) {
  ca_.lifetime = absl::Seconds(20);
  StartAndIssue();
  ca_.failure = absl::UnavailableError("down");
  loop_.AdvanceTime(absl::Minutes(2));
  EXPECT_FALSE(renewer_->HasValidCertificate());
  EXPECT_FALSE(CanSignWithPublished());
  ca_.failure = absl::OkStatus();
  ca_.refuse_identity = true;
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_FALSE(ca_.calls.back().with_identity);
}

TEST_F(RenewerTest, TriesTheTokenWhenTheAuthorityDoesNotKnowItsCertificate) {
  StartAndIssue();
  ca_.refuse_identity = true;
  ASSERT_TRUE(renewer_->RenewNow());
  loop_.AdvanceTime(absl::Seconds(2));
  ASSERT_EQ(ca_.calls.size(), 3u);
  EXPECT_TRUE(ca_.calls[1].with_identity);
  EXPECT_FALSE(ca_.calls[2].with_identity);
  EXPECT_EQ(published_.size(), 2u);
}

TEST_F(RenewerTest, KeepsProvingItselfWithItsCertificateWhileTheAuthorityIsAway) {
  StartAndIssue();
  ca_.failure = absl::UnavailableError("away");
  loop_.AdvanceTime(absl::Minutes(45));
  ASSERT_GT(ca_.calls.size(), 10u);
  for (size_t i = 1; i < ca_.calls.size(); ++i) EXPECT_TRUE(ca_.calls[i].with_identity) << i;
}

TEST_F(RenewerTest, DoesNotPublishAChainThatDoesNotVerify) {
  StartAndIssue();
  ca_.sign_with_unknown_root = true;
  renewer_->RenewNow();
  loop_.RunUntilIdle();
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_FALSE(renewer_->last_error().ok());
  EXPECT_TRUE(CanSignWithPublished());
}

TEST_F(RenewerTest, DoesNotPublishAnotherIdentityThanTheFirst) {
  StartAndIssue();
  ca_.spiffe_id = "spiffe://cluster.local/ns/demo/sa/other";
  renewer_->RenewNow();
  loop_.RunUntilIdle();
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_THAT(std::string(renewer_->last_error().message()), HasSubstr("sa/other"));
}

TEST_F(RenewerTest, DoesNotPublishAnotherIdentityThanTheConfiguredOne) {
  Make(*SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/server"));
  renewer_->Start();
  loop_.RunUntilIdle();
  EXPECT_THAT(published_, IsEmpty());
  EXPECT_EQ(renewer_->snapshot(), nullptr);
  EXPECT_THAT(std::string(renewer_->last_error().message()), HasSubstr("sa/server"));
}

TEST_F(RenewerTest, DoesNotPublishACertificateForAnotherKey) {
  ca_.certify_another_key = true;
  renewer_->Start();
  loop_.RunUntilIdle();
  EXPECT_THAT(published_, IsEmpty());
  EXPECT_THAT(std::string(renewer_->last_error().message()), HasSubstr("key"));
}

TEST_F(RenewerTest, DoesNotPublishAnExpiredCertificate) {
  ca_.lifetime = -absl::Seconds(5);
  ca_.back_dating = absl::Hours(1);
  renewer_->Start();
  loop_.RunUntilIdle();
  EXPECT_THAT(published_, IsEmpty());
  EXPECT_FALSE(renewer_->last_error().ok());
}

TEST_F(RenewerTest, RenewsWithinASecondOfAClockThatJumpedTwoLivesAhead) {
  StartAndIssue();
  loop_.clock()->SetWall(loop_.WallNow() + absl::Hours(2));
  loop_.RunUntilIdle();
  EXPECT_FALSE(renewer_->HasValidCertificate());
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(published_.size(), 2u);
  EXPECT_TRUE(renewer_->HasValidCertificate());
  EXPECT_FALSE(ca_.calls.back().with_identity);
}

TEST_F(RenewerTest, RenewsWhenTheClockIsSetToBeforeTheCertificate) {
  StartAndIssue();
  loop_.clock()->SetWall(loop_.WallNow() - absl::Hours(1));
  EXPECT_FALSE(renewer_->HasValidCertificate());
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(published_.size(), 2u);
  EXPECT_TRUE(renewer_->HasValidCertificate());
}

TEST_F(RenewerTest, RenewsInTimeWhenTheClockIsSetBackButTheCertificateStaysValid) {
  StartAndIssue();
  loop_.AdvanceTime(absl::Minutes(30));
  loop_.clock()->SetWall(loop_.WallNow() - absl::Minutes(29));
  EXPECT_TRUE(renewer_->HasValidCertificate());
  loop_.AdvanceTime(absl::Minutes(2));
  EXPECT_EQ(published_.size(), 2u);
}

TEST_F(RenewerTest, RenewsInTimeAfterAMachineSleptThroughTheRenewal) {
  StartAndIssue();
  // The monotonic clock stands still meanwhile.
  loop_.clock()->SetWall(loop_.WallNow() + absl::Minutes(50));
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(published_.size(), 2u);
}

TEST_F(RenewerTest, NeitherSpinsNorHammersWhileTheClockIsWrong) {
  StartAndIssue();
  for (const absl::Duration jump : {absl::Hours(2), -absl::Hours(3)}) {
    // The authority's clock stays as it was, so that nothing it issues is valid here.
    ca_.ahead -= jump;
    loop_.clock()->SetWall(loop_.WallNow() + jump);
    const size_t before = ca_.calls.size();
    loop_.AdvanceTime(absl::Seconds(5));
    EXPECT_FALSE(renewer_->HasValidCertificate());
    EXPECT_FALSE(CanSignWithPublished());
    EXPECT_GE(ca_.calls.size(), before + 1);
    EXPECT_LE(ca_.calls.size(), before + 5);
    EXPECT_FALSE(loop_.RunOnce());
    EXPECT_THAT(std::string(renewer_->last_error().message()),
                HasSubstr(jump > absl::ZeroDuration() ? "7200 s ahead of" : "3600 s behind"));
  }
}

TEST_F(RenewerTest, RepeatsInTimeWhenTheClockIsSetBackDuringAnOutage) {
  StartAndIssue();
  loop_.AdvanceTime(absl::Minutes(20));
  ca_.failure = absl::UnavailableError("down");
  renewer_->RenewNow();
  loop_.RunUntilIdle();
  ca_.failure = absl::OkStatus();
  loop_.clock()->SetWall(loop_.WallNow() - absl::Minutes(15));
  loop_.AdvanceTime(absl::Seconds(2));
  EXPECT_EQ(published_.size(), 2u);
}

TEST_F(RenewerTest, HasOneAttemptUnderWayAtMost) {
  StartAndIssue();
  ca_.silent = true;
  EXPECT_TRUE(renewer_->RenewNow());
  EXPECT_FALSE(renewer_->RenewNow());
  loop_.AdvanceTime(absl::Minutes(40));
  EXPECT_EQ(ca_.calls.size(), 2u);
  ca_.AnswerKept();
  loop_.RunUntilIdle();
  EXPECT_FALSE(renewer_->issuing());
}

TEST_F(RenewerTest, PublishesNewBundlesWithTheSameChainAndAcknowledgesThem) {
  StartAndIssue();
  ca_.SendBundles(ca_.Update(7));
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_FALSE(published_[1].rotated);
  EXPECT_EQ(published_[1].snapshot->generation(), 2u);
  EXPECT_EQ(published_[1].snapshot->leaf().der(), published_[0].snapshot->leaf().der());
  EXPECT_THAT(ca_.acknowledged, ElementsAre(7u));
}

TEST_F(RenewerTest, AcknowledgesBundlesWhenTheProxyHasThemInForce) {
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
TEST_F(RenewerTest, AcknowledgesBundlesOfBeforeARenewalWhenTheProxyHasTheNewCertificate) {
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

TEST_F(RenewerTest, PublishesItsOwnRevocationListsBesideTheAuthoritys) {
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

TEST_F(RenewerTest, AsksForAnotherCertificateWhenItsOwnIsRevoked) {
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

TEST_F(RenewerTest, RenewsWithinTheTimeAskedForWhenItsRootIsToGo) {
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

TEST_F(RenewerTest, DoesNotHurryForTheRootOfOthers) {
  StartAndIssue();
  const absl::Time planned = renewer_->next_attempt();
  TrustBundleUpdate update = ca_.Update(7);
  update.tainted_roots = {{std::string(64, '0'), absl::ZeroDuration()}};
  ca_.SendBundles(update);
  EXPECT_EQ(renewer_->next_attempt(), planned);
}

TEST_F(RenewerTest, KeepsItsBundlesWhenNewOnesAreBrokenOrEmpty) {
  StartAndIssue();
  ca_.SendBundles(absl::InvalidArgumentError("does not parse"));
  ca_.SendBundles(TrustBundleUpdate{8, TrustBundleSet()});
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_EQ(ca_.calls.size(), 1u);
  EXPECT_THAT(ca_.acknowledged, IsEmpty());
}

TEST_F(RenewerTest, RenewsWhenItsRootIsWithdrawnAndSwapsBothTogether) {
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

TEST_F(RenewerTest, WithdrawsAllButItsOwnRootWhileTheAuthorityIsAway) {
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

// The authority's clock is right and its window in the middle of the certificate's life; ours is
// ahead of it.
TEST_F(RenewerTest, MakesNoLoopOfAClockThatIsAhead) {
  for (const absl::Duration ahead : {absl::Minutes(30), absl::Minutes(40), absl::Minutes(59)}) {
    SCOPED_TRACE(ahead);
    ca_.ahead = -ahead;
    const absl::Time issued = loop_.WallNow() - ahead;
    ca_.window = RenewalWindow{issued + absl::Minutes(27), issued + absl::Minutes(36)};
    const size_t before = ca_.calls.size();
    Make(absl::nullopt);
    renewer_->Start();
    loop_.AdvanceTime(absl::Seconds(10));
    EXPECT_TRUE(renewer_->HasValidCertificate());
    EXPECT_LE(ca_.calls.size(), before + 11);
  }
}

TEST_F(RenewerTest, SaysThatItsClockIsWrongWhenTheAuthorityIsNotReached) {
  ca_.ahead = absl::Seconds(9);
  StartAndIssue();
  ca_.failure = absl::UnavailableError("down");
  SetRetryAfter(&ca_.failure, absl::Minutes(2));
  renewer_->RenewNow();
  loop_.AdvanceTime(absl::Seconds(10));
  EXPECT_THAT(std::string(renewer_->last_error().message()),
              HasSubstr("down; your clock is 9 s behind the mesh"));
  EXPECT_EQ(ca_.calls.size(), 2u);  // Retry-after is kept.
}

TEST_F(RenewerTest, TakesTheBundlesThatCameWithTheCertificate) {
  ca_.bundles_in_answer = ca_.Update(3);
  StartAndIssue();
  EXPECT_EQ(renewer_->bundle_version(), 3u);
  EXPECT_THAT(ca_.acknowledged, ElementsAre(3u));
}

TEST_F(RenewerTest, DoesNotLetBrokenBundlesSpoilTheCertificate) {
  ca_.bundles_in_answer = absl::StatusOr<TrustBundleUpdate>(absl::InvalidArgumentError("broken"));
  StartAndIssue();
  EXPECT_EQ(renewer_->bundle_version(), 0u);
  EXPECT_TRUE(renewer_->HasValidCertificate());
}

}  // namespace
}  // namespace byrnie
