#include "controlplane/ca/revocations.h"

#include <memory>
#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/crypto/private_key.h"
#include "common/identity/svid_verifier.h"
#include "common/tls/testing/test_ca.h"
#include "controlplane/ca/testing/memory_revocation_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RevocationsTest : public ::testing::Test {
 protected:
  RevocationsTest() { Start(); }
  void Start() {
    auto revocations = Revocations::Load(&store_, absl::Hours(1), issuers_, &clock_);
    ASSERT_THAT(revocations, IsOk());
    revocations_ = *std::move(revocations);
  }
  static SigningAuthorityPtr AuthorityOf(const TestCa& ca, absl::Time now) {
    auto key = PrivateKey::FromPkcs8(ca.key().ToPkcs8());
    auto authority = SigningAuthority::Create("cluster.local", ca.root(), {}, *key, now);
    EXPECT_THAT(authority, IsOk());
    return *authority;
  }
  absl::StatusOr<bool> Revoke(const CertificatePtr& certificate) {
    return revocations_->Revoke({certificate->SerialHex(), "spiffe://cluster.local/bad",
                                 certificate->not_after(), clock_.WallNow(), "me", "stolen"});
  }
  bool Update() {
    auto changed = revocations_->Update(authorities_);
    EXPECT_THAT(changed, IsOk());
    return changed.value_or(false);
  }
  SvidDefect Judge(const TestIdentity& identity) {
    TrustBundleMap bundle;
    for (const SigningAuthorityPtr& authority : authorities_) {
      bundle["cluster.local"].roots.push_back(authority->root());
    }
    bundle["cluster.local"].crls = revocations_->lists();
    SvidDefect defect;
    (void)VerifySvid(identity.chain, *TrustBundleSet::Create(std::move(bundle)), clock_.WallNow(),
                     &defect);
    return defect;
  }

  FakeClock clock_;
  const TestCa ca_{"cluster.local", clock_.WallNow()};
  const TestCa next_{"cluster.local", clock_.WallNow()};
  std::vector<SigningAuthorityPtr> authorities_ = {AuthorityOf(ca_, clock_.WallNow())};
  MemoryRevocationStore store_;
  Revocations::Issuers issuers_ = Revocations::Issuers::kAllGiven;
  std::unique_ptr<Revocations> revocations_;
};

TEST_F(RevocationsTest, WithoutARevocationThereIsNoList) {
  EXPECT_FALSE(Update());
  EXPECT_THAT(revocations_->lists(), IsEmpty());
  clock_.Advance(absl::Hours(1000));
  EXPECT_FALSE(Update());
}

TEST_F(RevocationsTest, WhatIsRevokedIsRefusedAndNothingElse) {
  const TestIdentity good = ca_.IssueSvid("/good"), bad = ca_.IssueSvid("/bad");
  ASSERT_THAT(Revoke(bad.chain[0]), IsOk());
  EXPECT_TRUE(Update());
  EXPECT_FALSE(Update());
  EXPECT_EQ(Judge(good), SvidDefect::kNone);
  EXPECT_EQ(Judge(bad), SvidDefect::kRevoked);
}

TEST_F(RevocationsTest, SurvivesARestart) {
  const TestIdentity bad = ca_.IssueSvid("/bad");
  ASSERT_THAT(Revoke(bad.chain[0]), IsOk());
  Start();
  EXPECT_TRUE(Update());
  EXPECT_EQ(Judge(bad), SvidDefect::kRevoked);
  ASSERT_THAT(revocations_->List(), SizeIs(1));
  EXPECT_EQ(revocations_->List()[0].reason, "stolen");
}

TEST_F(RevocationsTest, EveryAuthorityInUseHasAList) {
  const TestIdentity bad = ca_.IssueSvid("/bad");
  const TestIdentity of_next = next_.IssueSvid("/good");
  ASSERT_THAT(Revoke(bad.chain[0]), IsOk());
  EXPECT_TRUE(Update());
  authorities_.push_back(AuthorityOf(next_, clock_.WallNow()));
  EXPECT_TRUE(Update());
  EXPECT_EQ(Judge(of_next), SvidDefect::kNone);
  EXPECT_EQ(Judge(bad), SvidDefect::kRevoked);
}

TEST_F(RevocationsTest, ListsAreMadeAnewLongBeforeTheyEnd) {
  const TestIdentity bad = ca_.IssueSvid("/bad", absl::Hours(100));
  const TestIdentity good = ca_.IssueSvid("/good", absl::Hours(100));
  ASSERT_THAT(Revoke(bad.chain[0]), IsOk());
  EXPECT_TRUE(Update());
  const absl::Time first_end = revocations_->lists()[0]->next_update();
  clock_.Advance(absl::Hours(11));
  EXPECT_FALSE(Update());
  clock_.Advance(absl::Hours(2));
  EXPECT_TRUE(Update());
  EXPECT_GT(revocations_->lists()[0]->next_update(), first_end);
  EXPECT_EQ(Judge(good), SvidDefect::kNone);
}

TEST_F(RevocationsTest, WithTheLastThatHasEndedTheListsGo) {
  const TestIdentity bad = ca_.IssueSvid("/bad");
  ASSERT_THAT(Revoke(bad.chain[0]), IsOk());
  EXPECT_TRUE(Update());
  clock_.Advance(absl::Hours(2));
  EXPECT_TRUE(Update());
  EXPECT_THAT(revocations_->lists(), IsEmpty());
  EXPECT_THAT(revocations_->List(), IsEmpty());
  EXPECT_FALSE(Update());
}

TEST_F(RevocationsTest, RecordsAreForgottenLongAfterTheirCertificates) {
  const TestIdentity bad = ca_.IssueSvid("/bad"), other = ca_.IssueSvid("/other", absl::Hours(2));
  ASSERT_THAT(Revoke(bad.chain[0]), IsOk());
  ASSERT_THAT(Revoke(other.chain[0]), IsOk());
  clock_.Advance(Revocations::kKept);
  EXPECT_THAT(revocations_->Forget(), IsOk());
  EXPECT_THAT(*store_.Load(), SizeIs(2));
  clock_.Advance(absl::Hours(1));
  EXPECT_THAT(revocations_->Forget(), IsOk());
  EXPECT_THAT(*store_.Load(), SizeIs(1));
  EXPECT_THAT(revocations_->Forget(), IsOk());
  EXPECT_THAT(*store_.Load(), SizeIs(1));
}

// Setting a clock right afterwards brings nothing back.
TEST_F(RevocationsTest, AClockThatIsAheadForAMomentTakesNoRevocationBack) {
  const TestIdentity bad = ca_.IssueSvid("/bad");
  ASSERT_THAT(Revoke(bad.chain[0]), IsOk());
  EXPECT_TRUE(Update());
  const absl::Time right = clock_.WallNow();
  for (absl::Duration ahead : {absl::Hours(2), absl::Hours(40 * 24)}) {
    clock_.SetWall(right + ahead);
    (void)Update();
    EXPECT_THAT(revocations_->Forget(), IsOk());
    ASSERT_THAT(revocations_->lists(), SizeIs(1));
    // For those whose clock is right, too.
    EXPECT_LT(revocations_->lists()[0]->this_update(), right);
    clock_.SetWall(right);
    (void)Update();
    EXPECT_EQ(Judge(bad), SvidDefect::kRevoked);
  }
}

TEST_F(RevocationsTest, AProcessThatStartsWithAClockThatIsAheadForgetsNothing) {
  const TestIdentity bad = ca_.IssueSvid("/bad");
  ASSERT_THAT(Revoke(bad.chain[0]), IsOk());
  const absl::Time right = clock_.WallNow();
  clock_.SetWall(right + absl::Hours(40 * 24));
  Start();
  (void)Update();
  EXPECT_THAT(revocations_->Forget(), IsOk());
  clock_.SetWall(right);
  EXPECT_TRUE(Update());
  EXPECT_EQ(Judge(bad), SvidDefect::kRevoked);
}

// Or a day after a disk is full everybody would be refused.
TEST_F(RevocationsTest, ListsAreRenewedWhileTheStoreTakesNoWrites) {
  const TestIdentity bad = ca_.IssueSvid("/bad"), later = ca_.IssueSvid("/bad", absl::Hours(500));
  const TestIdentity good = ca_.IssueSvid("/good", absl::Hours(500));
  ASSERT_THAT(Revoke(bad.chain[0]), IsOk());
  ASSERT_THAT(Revoke(later.chain[0]), IsOk());
  EXPECT_TRUE(Update());
  store_.FailWith(absl::UnavailableError("disk full"));
  for (int hours = 0; hours < 200; hours += 5) {
    clock_.Advance(absl::Hours(5));
    (void)Update();
    (void)revocations_->Forget();
    ASSERT_EQ(Judge(good), SvidDefect::kNone) << hours;
    ASSERT_EQ(Judge(later), SvidDefect::kRevoked) << hours;
  }
  EXPECT_THAT(revocations_->Forget(), StatusIs(absl::StatusCode::kUnavailable));
  store_.FailWith(absl::OkStatus());
  EXPECT_THAT(revocations_->Forget(), IsOk());
  EXPECT_THAT(*store_.Load(), SizeIs(1));
}

TEST_F(RevocationsTest, TheLastListOfAFormerIssuerIsPublishedUntilItEnds) {
  issuers_ = Revocations::Issuers::kOthersToo;
  Start();
  EXPECT_FALSE(Update());
  EXPECT_THAT(revocations_->Keep(), IsOk());
  authorities_ = {AuthorityOf(next_, clock_.WallNow())};
  Start();
  const TestIdentity bad = next_.IssueSvid("/bad", absl::Hours(100));
  ASSERT_THAT(Revoke(bad.chain[0]), IsOk());
  EXPECT_TRUE(Update());
  ASSERT_THAT(revocations_->lists(), SizeIs(2));
  EXPECT_FALSE(revocations_->IsOfOther(revocations_->lists()[0]));
  EXPECT_TRUE(revocations_->IsOfOther(revocations_->lists()[1]));
  EXPECT_TRUE(revocations_->lists()[1]->IsIssuedBy(*ca_.certificate()));
  clock_.Advance(absl::Hours(25));
  EXPECT_TRUE(Update());
  EXPECT_THAT(revocations_->lists(), SizeIs(1));
  EXPECT_THAT(revocations_->Keep(), IsOk());
  // It stays in the store for a while, like all that a clock ends.
  EXPECT_THAT(revocations_->Forget(), IsOk());
  EXPECT_THAT(*store_.LoadLists({}), SizeIs(2));
  clock_.Advance(Revocations::kKept);
  EXPECT_TRUE(Update());
  EXPECT_THAT(revocations_->Forget(), IsOk());
  EXPECT_THAT(*store_.LoadLists({}), SizeIs(1));
}

TEST_F(RevocationsTest, WhereAllIssuersAreGivenNoOtherListIsPublished) {
  EXPECT_FALSE(Update());
  EXPECT_THAT(revocations_->Keep(), IsOk());
  authorities_ = {AuthorityOf(next_, clock_.WallNow())};
  Start();
  ASSERT_THAT(Revoke(next_.IssueSvid("/bad").chain[0]), IsOk());
  EXPECT_TRUE(Update());
  EXPECT_THAT(revocations_->lists(), SizeIs(1));
}

// A disk that is full keeps lists from being stored, not from being published.
TEST_F(RevocationsTest, AListThatCannotBeKeptIsTriedAgain) {
  ASSERT_THAT(Revoke(ca_.IssueSvid("/bad").chain[0]), IsOk());
  store_.FailWith(absl::UnavailableError("disk full"));
  EXPECT_TRUE(Update());
  EXPECT_THAT(revocations_->lists(), SizeIs(1));
  EXPECT_THAT(revocations_->Keep(), StatusIs(absl::StatusCode::kUnavailable));
  store_.FailWith(absl::OkStatus());
  EXPECT_FALSE(Update());
  EXPECT_THAT(revocations_->Keep(), IsOk());
  EXPECT_THAT(*store_.LoadLists({}), SizeIs(1));
}

TEST_F(RevocationsTest, RefusesWhatIsNoSerialAndWhatHasEnded) {
  for (const std::string& serial : {std::string(), std::string("abc"), std::string("AB"),
                                    std::string("zz"), std::string(42, 'a')}) {
    EXPECT_THAT(
        revocations_->Revoke({serial, "", absl::InfiniteFuture(), clock_.WallNow(), "", ""}),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("hexadecimal")));
  }
  EXPECT_THAT(revocations_->Revoke({"ab", "", clock_.WallNow(), clock_.WallNow(), "", ""}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ended")));
}

// As two operators do at once, at two control planes of a store.
TEST_F(RevocationsTest, OneOfThoseWhoRevokeACertificateHasRevokedIt) {
  const TestIdentity bad = ca_.IssueSvid("/bad");
  const std::string serial = bad.chain[0]->SerialHex();
  EXPECT_THAT(store_.Add({serial, "", bad.chain[0]->not_after(), clock_.WallNow(), "other", ""}),
              IsOkAndHolds(true));
  EXPECT_THAT(Revoke(bad.chain[0]), IsOkAndHolds(false));
  EXPECT_TRUE(revocations_->IsRevoked(serial));
  EXPECT_EQ(revocations_->Find(serial)->by, "other");
  EXPECT_THAT(Revoke(bad.chain[0]), IsOkAndHolds(false));
  EXPECT_THAT(Revoke(ca_.IssueSvid("/worse").chain[0]), IsOkAndHolds(true));
}

TEST_F(RevocationsTest, AStoreThatIsDownChangesNothing) {
  const TestIdentity bad = ca_.IssueSvid("/bad");
  store_.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_THAT(Revoke(bad.chain[0]), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(Update());
  EXPECT_THAT(revocations_->List(), IsEmpty());
}

}  // namespace
}  // namespace byrnie
