#include "controlplane/ca/authority.h"

#include <memory>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/identity/svid_verifier.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class AuthorityTest : public ::testing::Test {
 protected:
  AuthorityTest() {
    auto authority = Authority::LoadOrCreate(&store_, "cluster.local", &clock_);
    EXPECT_THAT(authority, IsOk());
    authority_ = *std::move(authority);
    key_ = *PrivateKey::Generate();
  }

  absl::StatusOr<IssuedSvid> Issue(absl::optional<absl::Duration> ttl, absl::Duration cap) {
    return authority_->Issue(id_, key_->PublicKeyDer(), ttl, cap);
  }

  FakeClock clock_;
  MemoryStore store_;
  std::unique_ptr<Authority> authority_;
  std::shared_ptr<const PrivateKey> key_;
  const SpiffeId id_ = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/app");
};

TEST_F(AuthorityTest, MakesARootForTenYears) {
  EXPECT_TRUE(authority_->root()->is_ca());
  EXPECT_LE(authority_->root()->not_before(), clock_.WallNow() - Authority::kBackdate);
  EXPECT_EQ(authority_->root()->not_after(), clock_.WallNow() + Authority::kRootLifetime);
}

TEST_F(AuthorityTest, KeepsItsRootAcrossARestart) {
  auto again = Authority::LoadOrCreate(&store_, "cluster.local", &clock_);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ((*again)->root()->FingerprintHex(), authority_->root()->FingerprintHex());
}

TEST_F(AuthorityTest, RefusesTheStoreOfAnotherTrustDomain) {
  EXPECT_THAT(Authority::LoadOrCreate(&store_, "other.org", &clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cluster.local")));
}

TEST_F(AuthorityTest, RefusesARootThatHasExpired) {
  clock_.Advance(Authority::kRootLifetime);
  EXPECT_THAT(Authority::LoadOrCreate(&store_, "cluster.local", &clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expired")));
  EXPECT_THAT(Issue(absl::nullopt, absl::Hours(1)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expired")));
}

TEST_F(AuthorityTest, IssuesAnSvidThatVerifies) {
  auto issued = Issue(absl::nullopt, absl::Hours(1));
  ASSERT_THAT(issued, IsOk());
  auto svid = VerifySvid(issued->chain, authority_->bundles(), clock_.WallNow());
  ASSERT_THAT(svid, IsOk());
  EXPECT_EQ(svid->id, id_);
  EXPECT_TRUE(issued->chain.front()->MatchesKey(*key_));
}

TEST_F(AuthorityTest, CapsTheLifeAndHonoursAShorterWish) {
  auto capped = Issue(absl::Hours(100), absl::Hours(1));
  ASSERT_THAT(capped, IsOk());
  EXPECT_EQ(capped->chain.front()->not_after(), clock_.WallNow() + absl::Hours(1));
  auto shorter = Issue(absl::Seconds(20), absl::Hours(1));
  ASSERT_THAT(shorter, IsOk());
  EXPECT_EQ(shorter->chain.front()->not_after(), clock_.WallNow() + absl::Seconds(20));
}

TEST_F(AuthorityTest, RefusesALifeThatIsNotPositive) {
  EXPECT_THAT(Issue(absl::ZeroDuration(), absl::Hours(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cannot live")));
  EXPECT_THAT(Issue(-absl::Seconds(1), absl::Hours(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cannot live")));
}

TEST_F(AuthorityTest, BackdatesForClocksThatAreBehindButNotBeforeItsRoot) {
  EXPECT_EQ((*Issue(absl::nullopt, absl::Hours(1))).chain.front()->not_before(),
            authority_->root()->not_before());
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ((*Issue(absl::nullopt, absl::Hours(1))).chain.front()->not_before(),
            clock_.WallNow() - Authority::kBackdate);
}

TEST_F(AuthorityTest, NoLeafOutlivesTheRoot) {
  clock_.Advance(Authority::kRootLifetime - absl::Minutes(1));
  auto issued = Issue(absl::nullopt, absl::Hours(1));
  ASSERT_THAT(issued, IsOk());
  EXPECT_EQ(issued->chain.front()->not_after(), authority_->root()->not_after());
}

TEST_F(AuthorityTest, AsksForRenewalAroundHalfOfTheLife) {
  auto issued = Issue(absl::nullopt, absl::Seconds(100));
  ASSERT_THAT(issued, IsOk());
  EXPECT_EQ(issued->renew_after, clock_.WallNow() + absl::Seconds(40));
  EXPECT_EQ(issued->renew_before, clock_.WallNow() + absl::Seconds(60));
}

TEST_F(AuthorityTest, RefusesIdentitiesOfAnotherTrustDomain) {
  EXPECT_THAT(authority_->Issue(*SpiffeId::Parse("spiffe://other.org/x"), key_->PublicKeyDer(),
                                absl::nullopt, absl::Hours(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("other.org")));
}

TEST_F(AuthorityTest, AFailingStoreMakesNoAuthority) {
  MemoryStore broken;
  broken.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_THAT(Authority::LoadOrCreate(&broken, "cluster.local", &clock_),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("disk on fire")));
}

TEST(ReservedPathTest, IsByrnieAndWhatIsBelow) {
  EXPECT_TRUE(IsReservedPath("/byrnie"));
  EXPECT_TRUE(IsReservedPath("/byrnie/controlplane"));
  EXPECT_FALSE(IsReservedPath("/byrnies/controlplane"));
  EXPECT_FALSE(IsReservedPath("/ns/byrnie/sa/controlplane"));
}

}  // namespace
}  // namespace byrnie
