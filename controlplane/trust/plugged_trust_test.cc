#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/crypto/private_key.h"
#include "common/crypto/revocation_list_builder.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/svid_verifier.h"
#include "common/identity/trust_bundle.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/tls/testing/test_ca.h"
#include "controlplane/store/testing/memory_store.h"
#include "controlplane/trust/trust_keeper.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Revocations of a CA that somebody else has made, and replaces.
class PluggedTrustTest : public ::testing::Test {
 protected:
  PluggedTrustTest() { ::mkdir(directory_.c_str(), 0700); }

  void Write(const std::string& name, absl::string_view text) {
    ASSERT_THAT(WriteFileAtomically(directory_ + "/" + name, text, 0600), IsOk());
  }
  void Plug(const TestCa& issuer, const std::vector<const TestCa*>& roots) {
    Write("ca-cert.pem", issuer.certificate()->ToPem());
    Write("ca-key.pem", issuer.key().ToPem().view());
    std::string pem;
    for (const TestCa* root : roots) pem += root->root()->ToPem();
    Write("root-cert.pem", pem);
  }
  absl::StatusOr<std::unique_ptr<TrustKeeper>> Create(const std::string& directory) {
    TrustKeeper::Options options;
    options.trust_domain = "cluster.local";
    options.workload_ttl = absl::Hours(1);
    options.plugged_directory = directory;
    options.foreign_lists = foreign_;
    metrics_.push_back(std::make_unique<MetricRegistry>());
    return TrustKeeper::Create(&store_, std::move(options), &clock_, &logger_,
                               metrics_.back().get());
  }
  void Start() {
    keeper_ = nullptr;
    auto keeper = Create(directory_);
    ASSERT_THAT(keeper, IsOk());
    keeper_ = *std::move(keeper);
  }
  RevocationListPtr ListOf(const TestCa& ca, absl::Duration life = absl::Hours(100)) {
    RevocationListSpec spec;
    spec.this_update = clock_.WallNow();
    spec.next_update = clock_.WallNow() + life;
    return *BuildRevocationList(spec, *ca.certificate(), ca.key());
  }
  void Revoke(const TestIdentity& identity) {
    ASSERT_THAT(
        keeper_->revocations()->Revoke({identity.chain[0]->SerialHex(), "", clock_.WallNow() + kTtl,
                                        clock_.WallNow(), "me", ""}),
        IsOk());
    Follow(keeper_.get());
  }
  static void Follow(TrustKeeper* keeper) {
    keeper->Poll();
    keeper->FollowStore();
    keeper->Poll();
  }
  SvidDefect Judge(const TestIdentity& identity, const TrustKeeper& keeper) {
    TrustBundleMap map;
    map["cluster.local"] = keeper.bundle();
    auto bundles =
        WithRevocationLists(*TrustBundleSet::Create(std::move(map)), {{"cluster.local", foreign_}});
    SvidDefect defect;
    (void)VerifySvid(identity.chain, *bundles, clock_.WallNow(), &defect);
    return defect;
  }
  SvidDefect Judge(const TestIdentity& identity) { return Judge(identity, *keeper_); }

  static constexpr absl::Duration kTtl = absl::Hours(1);
  const std::string directory_ =
      ::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
  FakeClock clock_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MemoryStore store_;
  std::vector<std::unique_ptr<MetricRegistry>> metrics_;
  const TestCa a_{"cluster.local", clock_.WallNow()};
  const TestCa b_{"cluster.local", clock_.WallNow()};
  const TestCa middle_ = a_.MakeIntermediate(a_.IntermediateSpec());
  std::vector<RevocationListPtr> foreign_;
  std::unique_ptr<TrustKeeper> keeper_;
};

TEST_F(PluggedTrustTest, BelowAnIntermediateOnlyTheListOfItsOwnIssuerLetsRevoke) {
  Plug(middle_, {&a_});
  Start();
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--crl"));
  EXPECT_THAT(keeper_->CheckMayRevoke(), refused);
  // Somebody else's.
  keeper_->SetForeignLists({ListOf(b_)});
  EXPECT_THAT(keeper_->CheckMayRevoke(), refused);
  keeper_->SetForeignLists({ListOf(b_), ListOf(a_)});
  EXPECT_THAT(keeper_->CheckMayRevoke(), IsOk());
  clock_.Advance(absl::Hours(101));
  EXPECT_THAT(keeper_->CheckMayRevoke(), refused);
}

// Another control plane of the store has the root's list, and this one has not.
TEST_F(PluggedTrustTest, ListsThatWouldRefuseEverythingAreNotPublished) {
  Plug(middle_, {&a_});
  Start();
  const TestIdentity good = middle_.IssueSvid("/good"), bad = middle_.IssueSvid("/bad");
  Revoke(bad);
  EXPECT_EQ(Judge(good), SvidDefect::kNone);
  EXPECT_THAT(keeper_->ListsState(), StatusIs(absl::StatusCode::kFailedPrecondition));
  foreign_ = {ListOf(a_)};
  keeper_->SetForeignLists(foreign_);
  EXPECT_EQ(Judge(good), SvidDefect::kNone);
  EXPECT_EQ(Judge(bad), SvidDefect::kRevoked);
  EXPECT_THAT(keeper_->ListsState(), IsOk());
}

// With a list of anybody in force every certificate needs one of its issuer.
TEST_F(PluggedTrustTest, OwnListsAreThereAsLongAsThoseOfOthers) {
  Plug(middle_, {&a_});
  foreign_ = {ListOf(a_)};
  Start();
  const TestIdentity good = middle_.IssueSvid("/good");
  EXPECT_EQ(Judge(good), SvidDefect::kNone);
  Revoke(middle_.IssueSvid("/bad"));
  EXPECT_EQ(Judge(good), SvidDefect::kNone);
  // Nothing is revoked any more.
  clock_.Advance(absl::Hours(2));
  Follow(keeper_.get());
  EXPECT_EQ(Judge(middle_.IssueSvid("/later", absl::Hours(10))), SvidDefect::kNone);
  EXPECT_THAT(keeper_->ListsState(), IsOk());
  EXPECT_THAT(keeper_->IssuedState(), IsOk());
  // Nor is an intermediate taken that theirs do not vouch for.
  Plug(b_.MakeIntermediate(b_.IntermediateSpec()), {&a_, &b_});
  Follow(keeper_.get());
  EXPECT_THAT(keeper_->PluggedState(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                HasSubstr("other lists of the trust domain")));
}

TEST_F(PluggedTrustTest, OwnListsComeAtOnceWithThoseOfOthers) {
  Plug(middle_, {&a_});
  Start();
  EXPECT_THAT(keeper_->bundle().crls, IsEmpty());
  foreign_ = {ListOf(a_)};
  keeper_->SetForeignLists(foreign_);
  EXPECT_EQ(Judge(middle_.IssueSvid("/good")), SvidDefect::kNone);
  keeper_->SetForeignLists({});
  EXPECT_THAT(keeper_->bundle().crls, IsEmpty());
}

TEST_F(PluggedTrustTest, SaysThatItsOwnIntermediateIsRevoked) {
  Plug(middle_, {&a_});
  Start();
  RevocationListSpec spec;
  spec.this_update = clock_.WallNow();
  spec.next_update = clock_.WallNow() + absl::Hours(100);
  spec.revoked = {{middle_.certificate()->SerialHex(), clock_.WallNow()}};
  keeper_->SetForeignLists({*BuildRevocationList(spec, *a_.certificate(), a_.key())});
  EXPECT_THAT(keeper_->IssuedState(), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(keeper_->ListsState(), IsOk());
}

// A CA and the list that vouches for it may come at one moment, and the list first.
TEST_F(PluggedTrustTest, ListsAreJudgedByTheRootsOfACaThatWaitsForThemToo) {
  const TestCa other = b_.MakeIntermediate(b_.IntermediateSpec());
  Plug(middle_, {&a_});
  foreign_ = {ListOf(a_)};
  Start();
  EXPECT_THAT(keeper_->KnownRoots(), SizeIs(1));
  Plug(other, {&b_});
  Follow(keeper_.get());
  EXPECT_THAT(keeper_->PluggedState(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(keeper_->KnownRoots(), SizeIs(2));
  foreign_ = {ListOf(b_)};
  keeper_->SetForeignLists(foreign_);
  Follow(keeper_.get());
  EXPECT_THAT(keeper_->PluggedState(), IsOk());
  EXPECT_EQ(Judge(other.IssueSvid("/good")), SvidDefect::kNone);
  EXPECT_THAT(keeper_->IssuedState(), IsOk());
}

// What it comes to counts: lists that leave everybody refused are good for nothing.
TEST_F(PluggedTrustTest, ListsAreJudgedByTheCaThatSignsWithThem) {
  const TestCa above = b_.MakeIntermediate(b_.IntermediateSpec()),
               other = above.MakeIntermediate(above.IntermediateSpec());
  const auto refused = [](const std::string& words) {
    return StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(words));
  };
  Plug(middle_, {&a_});
  foreign_ = {ListOf(a_)};
  Start();
  EXPECT_THAT(keeper_->JudgeForeignLists({ListOf(a_)}), IsOk());
  EXPECT_THAT(keeper_->JudgeForeignLists({ListOf(b_)}), refused("none is given with --crl"));
  // Two lists are above the CA that waits.
  Plug(other, {&b_});
  Write("cert-chain.pem", above.certificate()->ToPem());
  Follow(keeper_.get());
  EXPECT_THAT(keeper_->KnownRoots(), SizeIs(2));
  EXPECT_THAT(keeper_->JudgeForeignLists({ListOf(b_)}),
              refused("the CA that waits in " + directory_));
  EXPECT_THAT(keeper_->JudgeForeignLists({ListOf(above)}), refused("none is given with --crl"));
  EXPECT_THAT(keeper_->JudgeForeignLists({ListOf(a_)}), IsOk());
  foreign_ = {ListOf(b_), ListOf(above)};
  EXPECT_THAT(keeper_->JudgeForeignLists(foreign_), IsOk());
  keeper_->SetForeignLists(foreign_);
  Follow(keeper_.get());
  EXPECT_THAT(keeper_->PluggedState(), IsOk());
  EXPECT_THAT(keeper_->IssuedState(), IsOk());
}

// What it has signed is in use, and needs its list.
TEST_F(PluggedTrustTest, TheListAboveAFormerIntermediateStaysAsLongAsItsRoot) {
  Plug(middle_, {&a_, &b_});
  foreign_ = {ListOf(a_)};
  Start();
  Plug(b_, {&a_, &b_});
  Follow(keeper_.get());
  ASSERT_EQ(keeper_->authority()->snapshot()->signer->issuer().der(), b_.certificate()->der());
  EXPECT_THAT(keeper_->JudgeForeignLists({ListOf(b_)}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("leave it beside")));
  EXPECT_THAT(keeper_->JudgeForeignLists({ListOf(b_), ListOf(a_)}), IsOk());
  Plug(b_, {&b_});
  Follow(keeper_.get());
  EXPECT_THAT(keeper_->JudgeForeignLists({ListOf(b_)}), IsOk());
}

// Where ours stands in for it, whoever it has revoked would be let in again.
TEST_F(PluggedTrustTest, TheListOfARootThatSignsItselfIsNotLeftOut) {
  Plug(a_, {&a_});
  foreign_ = {ListOf(a_)};
  Start();
  EXPECT_THAT(keeper_->JudgeForeignLists({ListOf(b_)}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("leave it beside")));
  EXPECT_THAT(keeper_->JudgeForeignLists({ListOf(a_)}), IsOk());
  keeper_->SetForeignLists({});
  EXPECT_THAT(keeper_->JudgeForeignLists({ListOf(b_)}), IsOk()) << "then it is needed for nothing";
}

TEST_F(PluggedTrustTest, AnIntermediateThatNobodyVouchesForWaitsWhileSomethingIsRevoked) {
  Plug(a_, {&a_});
  Start();
  const TestIdentity bad = a_.IssueSvid("/bad");
  Revoke(bad);
  Plug(middle_, {&a_});
  Follow(keeper_.get());
  EXPECT_EQ(keeper_->authority()->snapshot()->signer->issuer().der(), a_.certificate()->der());
  EXPECT_EQ(Judge(bad), SvidDefect::kRevoked);
  EXPECT_THAT(keeper_->PluggedState(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("--crl"), HasSubstr("1 certificates are revoked until"))));
  EXPECT_THAT(Create(directory_).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--crl")));
  // Once it has ended, nothing is against it.
  clock_.Advance(absl::Hours(2));
  Follow(keeper_.get());
  EXPECT_THAT(keeper_->PluggedState(), IsOk());
  EXPECT_EQ(keeper_->authority()->snapshot()->signer->issuer().der(), middle_.certificate()->der());
  EXPECT_THAT(keeper_->bundle().crls, IsEmpty());
  EXPECT_THAT(Create(directory_).status(), IsOk());
}

// The three changes of docs/operations.md, while a certificate is revoked.
TEST_F(PluggedTrustTest, ARootIsReplacedWhileSomethingIsRevoked) {
  Plug(a_, {&a_});
  Start();
  const TestIdentity good = a_.IssueSvid("/good", absl::Hours(50));
  const TestIdentity bad = a_.IssueSvid("/bad", absl::Hours(50));
  const TestIdentity later = a_.IssueSvid("/later", absl::Hours(50));
  const TestIdentity next = b_.IssueSvid("/next", absl::Hours(50));
  Revoke(bad);
  Plug(a_, {&a_, &b_});
  Follow(keeper_.get());
  Plug(b_, {&a_, &b_});
  // Nobody is refused in between.
  keeper_->Poll();
  EXPECT_EQ(keeper_->authority()->snapshot()->signer->issuer().der(), b_.certificate()->der());
  EXPECT_EQ(Judge(good), SvidDefect::kNone);
  EXPECT_EQ(Judge(next), SvidDefect::kNone);
  EXPECT_EQ(Judge(bad), SvidDefect::kRevoked);
  // What the former has signed can be revoked, too.
  Revoke(later);
  EXPECT_EQ(Judge(later), SvidDefect::kRevoked);
  EXPECT_EQ(Judge(good), SvidDefect::kNone);
  clock_.Advance(absl::Minutes(59));
  Follow(keeper_.get());
  EXPECT_EQ(Judge(good), SvidDefect::kNone);
  EXPECT_EQ(Judge(bad), SvidDefect::kRevoked);
}

TEST_F(PluggedTrustTest, AfterARestartTheLastListOfTheFormerIssuerIsPublished) {
  Plug(a_, {&a_, &b_});
  Start();
  const TestIdentity good = a_.IssueSvid("/good"), bad = a_.IssueSvid("/bad");
  const TestIdentity next = b_.IssueSvid("/next");
  Revoke(bad);
  Plug(b_, {&a_, &b_});
  Start();
  EXPECT_EQ(Judge(good), SvidDefect::kNone);
  EXPECT_EQ(Judge(next), SvidDefect::kNone);
  EXPECT_EQ(Judge(bad), SvidDefect::kRevoked);
}

TEST_F(PluggedTrustTest, WhatIsRevokedFirstAfterTheChangeRefusesNobodyElse) {
  Plug(a_, {&a_, &b_});
  Start();
  Follow(keeper_.get());
  EXPECT_THAT(keeper_->bundle().crls, IsEmpty());
  const TestIdentity good = a_.IssueSvid("/good", absl::Hours(13));
  clock_.Advance(absl::Hours(11));
  Plug(b_, {&a_, &b_});
  Start();
  const TestIdentity bad = b_.IssueSvid("/bad", absl::Hours(13));
  Revoke(bad);
  EXPECT_EQ(Judge(good), SvidDefect::kNone);
  EXPECT_EQ(Judge(bad), SvidDefect::kRevoked);
  clock_.Advance(absl::Minutes(59));
  Follow(keeper_.get());
  EXPECT_EQ(Judge(good), SvidDefect::kNone);
}

// Files are replaced at one control plane after the other.
TEST_F(PluggedTrustTest, ControlPlanesOfOneStoreHaveTheListsOfEachOther) {
  Plug(a_, {&a_, &b_});
  Start();
  const TestIdentity of_a = a_.IssueSvid("/a"), of_b = b_.IssueSvid("/b");
  const TestIdentity bad = a_.IssueSvid("/bad");
  auto first = std::move(keeper_);
  Plug(b_, {&a_, &b_});
  Start();
  Revoke(bad);
  // The first one still has the files of before.
  first->FollowStore();
  keeper_->FollowStore();
  first->FollowStore();
  for (const TrustKeeper* each : {first.get(), keeper_.get()}) {
    EXPECT_EQ(Judge(of_a, *each), SvidDefect::kNone);
    EXPECT_EQ(Judge(of_b, *each), SvidDefect::kNone);
    EXPECT_EQ(Judge(bad, *each), SvidDefect::kRevoked);
  }
}

TEST_F(PluggedTrustTest, AMeshWithRootsOfItsOwnMovesToAPluggedCaWhileSomethingIsRevoked) {
  auto own = Create("");
  ASSERT_THAT(own, IsOk());
  const SigningAuthorityPtr before = (*own)->authority()->snapshot()->signer;
  auto key = PrivateKey::Generate();
  auto chain = before->Sign(*SpiffeId::Parse("spiffe://cluster.local/a"), (*key)->PublicKeyDer(),
                            clock_.WallNow(), clock_.WallNow() + kTtl);
  ASSERT_THAT(chain, IsOk());
  keeper_ = *std::move(own);
  Revoke(a_.IssueSvid("/bad"));
  Plug(a_, {&a_});
  Write("root-cert.pem", a_.root()->ToPem() + before->root()->ToPem());
  Start();
  EXPECT_EQ(Judge({*chain, *key}), SvidDefect::kNone);
  EXPECT_EQ(Judge(a_.IssueSvid("/good")), SvidDefect::kNone);
}

TEST_F(PluggedTrustTest, AListThatIsDamagedIsWrittenAnew) {
  Plug(a_, {&a_});
  Start();
  Follow(keeper_.get());
  auto kept = store_.List("revocation_lists/", "", 10);
  ASSERT_THAT(kept, IsOk());
  ASSERT_THAT(kept->entries, SizeIs(1));
  const std::string key = kept->entries[0].key;
  ASSERT_THAT(store_.Commit(StoreTransaction().Put(key, "\xff")), IsOk());
  Start();
  Follow(keeper_.get());
  EXPECT_THAT(RevocationList::FromDer((*store_.Get(key))->value), IsOk());
}

}  // namespace
}  // namespace byrnie
