#include "controlplane/trust/trust_keeper.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/crypto/private_key.h"
#include "common/tls/testing/test_ca.h"
#include "controlplane/records/authority_record.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class NobodyThere final : public FleetSource {
 public:
  FleetView View(const RotationStanding&, absl::Time) override { return {}; }
};

class TrustKeeperTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<TrustKeeper>> Create() {
    TrustKeeper::Options options;
    options.trust_domain = "cluster.local";
    options.workload_ttl = absl::Hours(1);
    options.issue_without_store = absl::Minutes(10);
    metrics_ = std::make_unique<MetricRegistry>();
    unreadable_ = std::make_unique<UnreadableRecords>("", &logger_, metrics_.get());
    options.unreadable = unreadable_.get();
    options.may_make_root = may_make_root_;
    return TrustKeeper::Create(&store_, std::move(options), &clock_, &logger_, metrics_.get());
  }

  FakeClock clock_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MemoryStore store_;
  NobodyThere fleet_;
  std::unique_ptr<MetricRegistry> metrics_;
  std::unique_ptr<UnreadableRecords> unreadable_;
  bool may_make_root_ = true;
};

TEST_F(TrustKeeperTest, KeepsItsRootAcrossARestart) {
  auto first = Create();
  ASSERT_THAT(first, IsOk());
  const std::string root = (*first)->authority()->root()->FingerprintHex();
  EXPECT_THAT((*first)->bundle().roots, SizeIs(1));
  EXPECT_THAT((*first)->bundle().crls, IsEmpty());
  first->reset();
  auto again = Create();
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ((*again)->authority()->root()->FingerprintHex(), root);
}

TEST_F(TrustKeeperTest, TakesTheAuthorityOfBeforeThereWereRotationsAndItsRecordGoes) {
  const TestCa before("cluster.local", clock_.WallNow());
  ASSERT_THAT(CreateAuthority(
                  &store_, {"cluster.local", before.certificate()->der(), before.key().ToPkcs8()}),
              IsOk());
  auto keeper = Create();
  ASSERT_THAT(keeper, IsOk());
  EXPECT_EQ((*keeper)->authority()->root()->der(), before.certificate()->der());
  // What was issued before is in no log.
  EXPECT_EQ((*keeper)->rotation()->logged_since(), clock_.WallNow());
  auto legacy = LoadAuthority(&store_);
  ASSERT_THAT(legacy, IsOk());
  EXPECT_FALSE(legacy->has_value());
  keeper->reset();
  EXPECT_THAT(Create(), IsOk());
}

TEST_F(TrustKeeperTest, RefusesTheStoreOfAnotherTrustDomain) {
  const TestCa before("other.org", clock_.WallNow());
  ASSERT_THAT(
      CreateAuthority(&store_, {"other.org", before.certificate()->der(), before.key().ToPkcs8()}),
      IsOk());
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("other.org")));
}

TEST_F(TrustKeeperTest, AMoveIsInForceBeforeAnybodyHearsOfIt) {
  auto keeper = Create();
  ASSERT_THAT(keeper, IsOk());
  (*keeper)->Start(&fleet_, [] {});
  for (RotationMove move :
       {RotationMove::kPrepare, RotationMove::kDistribute, RotationMove::kActivate}) {
    ASSERT_THAT((*keeper)->rotation()->Rotate({move, {}, "me", false}), IsOk());
  }
  const AuthoritySnapshotPtr now = (*keeper)->authority()->snapshot();
  EXPECT_NE(now->signer->root_id(), now->server_signer->root_id());
  EXPECT_TRUE((*keeper)->Poll());
  EXPECT_FALSE((*keeper)->Poll());
  EXPECT_THAT((*keeper)->bundle().roots, SizeIs(2));
}

TEST_F(TrustKeeperTest, CatchesUpWithWhatAnotherProcessHasDoneSinceItRead) {
  auto late = Create();
  ASSERT_THAT(late, IsOk());
  MetricRegistry metrics;
  auto other =
      TrustKeeper::Create(&store_, {"cluster.local", absl::Hours(1), {}, "", {}, absl::nullopt},
                          &clock_, &logger_, &metrics);
  ASSERT_THAT(other, IsOk());
  (*other)->rotation()->Start(&fleet_, [] {});
  for (RotationMove move : {RotationMove::kPrepare, RotationMove::kDistribute}) {
    ASSERT_THAT((*other)->rotation()->Rotate({move, {}, "me", false}), IsOk());
  }
  EXPECT_FALSE((*late)->Poll());
  EXPECT_THAT((*late)->CatchUp(), IsOk());
  EXPECT_TRUE((*late)->Poll());
  EXPECT_THAT((*late)->bundle().roots, SizeIs(2));
}

// Others may have moved on: what it signs with may be what they have left.
TEST_F(TrustKeeperTest, IssuesNothingOnceItHasNotHeardOfItsStoreForTooLong) {
  auto keeper = Create();
  ASSERT_THAT(keeper, IsOk());
  const SpiffeId id = *SpiffeId::Parse("spiffe://cluster.local/a");
  const std::string key = (*PrivateKey::Generate())->PublicKeyDer();
  const auto issue = [&] {
    return (*keeper)->authority()->Issue(id, key, absl::nullopt, absl::Hours(1)).status();
  };
  (*keeper)->rotation()->Start(&fleet_, [] {});
  store_.FailWith(absl::UnavailableError("no route to the store"));
  clock_.Advance(absl::Minutes(10));
  EXPECT_FALSE((*keeper)->rotation()->Refresh().ok());
  EXPECT_THAT(issue(), IsOk());
  clock_.Advance(absl::Seconds(1));
  EXPECT_FALSE((*keeper)->rotation()->Refresh().ok());
  EXPECT_THAT(issue(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("another one")));
  store_.FailWith(absl::OkStatus());
  EXPECT_THAT((*keeper)->rotation()->Refresh(), IsOk());
  EXPECT_THAT(issue(), IsOk());
}

TEST_F(TrustKeeperTest, WhatIsRevokedIsInTheBundleSoon) {
  auto keeper = Create();
  ASSERT_THAT(keeper, IsOk());
  ASSERT_THAT((*keeper)->CheckMayRevoke(), IsOk());
  absl::Notification changed;
  (*keeper)->Start(&fleet_, [&changed] { changed.Notify(); });
  ASSERT_THAT((*keeper)->revocations()->Revoke({"abcd", "spiffe://cluster.local/a",
                                                clock_.WallNow() + absl::Hours(1), clock_.WallNow(),
                                                "me", ""}),
              IsOk());
  changed.WaitForNotification();
  EXPECT_TRUE((*keeper)->Poll());
  EXPECT_THAT((*keeper)->bundle().crls, SizeIs(1));
  (*keeper)->Stop();
}

TEST_F(TrustKeeperTest, ATrustRecordThatCannotBeReadIsNotFollowed) {
  auto keeper = Create();
  ASSERT_THAT(keeper, IsOk());
  const std::string root = (*keeper)->authority()->root()->FingerprintHex();
  const std::string good = (*store_.Get("trust"))->value;
  ASSERT_THAT(store_.Commit(StoreTransaction().Put("trust", "\xff")), IsOk());
  (*keeper)->FollowStore();
  EXPECT_EQ((*keeper)->authority()->root()->FingerprintHex(), root);
  ASSERT_THAT(unreadable_->List(), SizeIs(1));
  EXPECT_EQ(unreadable_->List()[0].key, "trust");
  EXPECT_THAT(unreadable_->List()[0].effect, HasSubstr("stay what they were"));
  EXPECT_THAT(unreadable_->List()[0].remedy, HasSubstr("never delete it"));
  // No move is made over it, and no other root begins.
  EXPECT_FALSE((*keeper)->rotation()->Rotate({RotationMove::kPrepare, {}, "me", false}).ok());
  EXPECT_EQ((*store_.Get("trust"))->value, "\xff");
  clock_.Advance(absl::Minutes(11));
  (*keeper)->FollowStore();
  EXPECT_FALSE((*keeper)->authority()->CheckIssues().ok());
  ASSERT_THAT(store_.Commit(StoreTransaction().Put("trust", good)), IsOk());
  (*keeper)->FollowStore();
  EXPECT_THAT((*keeper)->authority()->CheckIssues(), IsOk());
  EXPECT_THAT(unreadable_->List(), IsEmpty());
  ASSERT_THAT(store_.Commit(StoreTransaction().Put("trust", "\xff")), IsOk());
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("trust record")));
}

// Of two control planes of the store.
TEST_F(TrustKeeperTest, WhatSomebodyElseHasRevokedIsNotRevokedOnceMore) {
  auto here = Create();
  ASSERT_THAT(here, IsOk());
  auto there = Create();
  ASSERT_THAT(there, IsOk());
  RevokedCertificate revoked{"abcd",           "",      clock_.WallNow() + absl::Hours(1),
                             clock_.WallNow(), "first", ""};
  EXPECT_THAT((*here)->revocations()->Revoke(revoked), IsOkAndHolds(true));
  revoked.by = "second";
  EXPECT_THAT((*there)->revocations()->Revoke(revoked), IsOkAndHolds(false));
  EXPECT_EQ((*there)->revocations()->Find("abcd")->by, "first");
}

TEST_F(TrustKeeperTest, ARevocationThatCannotBeReadRevokesAllTheSame) {
  StoreTransaction bad;
  bad.Put("revoked/0a0b", "\xff").Put("revoked/what", "\xff");
  ASSERT_THAT(store_.Commit(bad), IsOk());
  auto keeper = Create();
  ASSERT_THAT(keeper, IsOk());
  ASSERT_THAT((*keeper)->revocations()->List(), SizeIs(1));
  EXPECT_EQ((*keeper)->revocations()->List()[0].serial, "0a0b");
  ASSERT_THAT((*keeper)->bundle().crls, SizeIs(1));
  EXPECT_THAT(unreadable_->List(), SizeIs(2));
  clock_.Advance(absl::Hours(24 * 300));
  (*keeper)->FollowStore();
  EXPECT_THAT((*keeper)->revocations()->List(), SizeIs(1));
  EXPECT_TRUE(store_.Get("revoked/0a0b")->has_value());
  ASSERT_THAT(store_.Commit(StoreTransaction().Delete("revoked/0a0b")), IsOk());
  (*keeper)->FollowStore();
  EXPECT_THAT((*keeper)->revocations()->List(), IsEmpty());
}

TEST_F(TrustKeeperTest, ARootThatIsLostIsNotReplacedByAnother) {
  may_make_root_ = false;
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("it is lost")));
  EXPECT_THAT(store_.Count(""), IsOkAndHolds(0));
}

}  // namespace
}  // namespace byrnie
