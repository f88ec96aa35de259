#include "controlplane/ca/authority.h"

#include <memory>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/crypto/private_key.h"
#include "common/identity/svid_verifier.h"
#include "common/identity/trust_bundle.h"
#include "controlplane/ca/testing/self_signed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class AuthorityTest : public ::testing::Test {
 protected:
  absl::StatusOr<IssuedSvid> Issue(absl::optional<absl::Duration> ttl, absl::Duration cap) {
    return authority_.Issue(id_, key_->PublicKeyDer(), ttl, cap);
  }
  absl::StatusOr<VerifiedSvid> Verify(const CertificateChain& chain) {
    return VerifySvid(chain,
                      *TrustBundleSet::Create({{"cluster.local", {authority_.snapshot()->roots}}}),
                      clock_.WallNow());
  }

  FakeClock clock_;
  Authority authority_{SelfSigned("cluster.local", clock_.WallNow()), &clock_};
  const std::shared_ptr<const PrivateKey> key_ = *PrivateKey::Generate();
  const SpiffeId id_ = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/app");
};

TEST_F(AuthorityTest, IssuesAnSvidThatVerifies) {
  auto issued = Issue(absl::nullopt, absl::Hours(1));
  ASSERT_THAT(issued, IsOk());
  auto svid = Verify(issued->chain);
  ASSERT_THAT(svid, IsOk());
  EXPECT_EQ(svid->id, id_);
  EXPECT_TRUE(issued->chain.front()->MatchesKey(*key_));
  EXPECT_EQ(issued->root_id, authority_.root()->FingerprintHex());
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
            authority_.root()->not_before());
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ((*Issue(absl::nullopt, absl::Hours(1))).chain.front()->not_before(),
            clock_.WallNow() - Authority::kBackdate);
}

TEST_F(AuthorityTest, NoLeafOutlivesTheRootAndNoneIsIssuedAfterIt) {
  const absl::Time end = authority_.root()->not_after();
  clock_.SetWall(end - absl::Minutes(1));
  auto issued = Issue(absl::nullopt, absl::Hours(1));
  ASSERT_THAT(issued, IsOk());
  EXPECT_EQ(issued->chain.front()->not_after(), end);
  clock_.SetWall(end);
  EXPECT_THAT(Issue(absl::nullopt, absl::Hours(1)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expired")));
}

TEST_F(AuthorityTest, AsksForRenewalAroundHalfOfTheLife) {
  auto issued = Issue(absl::nullopt, absl::Seconds(100));
  ASSERT_THAT(issued, IsOk());
  EXPECT_EQ(issued->renew_after, clock_.WallNow() + absl::Seconds(40));
  EXPECT_EQ(issued->renew_before, clock_.WallNow() + absl::Seconds(60));
}

TEST_F(AuthorityTest, RefusesIdentitiesOfAnotherTrustDomain) {
  EXPECT_THAT(authority_.Issue(*SpiffeId::Parse("spiffe://other.org/x"), key_->PublicKeyDer(),
                               absl::nullopt, absl::Hours(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("other.org")));
}

TEST_F(AuthorityTest, SignsWithWhatWasPublishedLast) {
  const AuthoritySnapshotPtr before = authority_.snapshot();
  auto next = std::make_shared<AuthoritySnapshot>(*SelfSigned("cluster.local", clock_.WallNow()));
  next->server_signer = before->signer;
  next->roots.push_back(before->signer->root());
  authority_.Publish(next);
  auto issued = Issue(absl::nullopt, absl::Hours(1));
  ASSERT_THAT(issued, IsOk());
  EXPECT_EQ(issued->root_id, next->signer->root_id());
  EXPECT_THAT(Verify(issued->chain), IsOk());
  auto own = authority_.IssueForControlPlane(key_->PublicKeyDer(), absl::Hours(1), {"control"});
  ASSERT_THAT(own, IsOk());
  EXPECT_EQ(own->root_id, before->signer->root_id());
  auto svid = Verify(own->chain);
  ASSERT_THAT(svid, IsOk());
  EXPECT_EQ(svid->id.path(), "/byrnie/controlplane");
  EXPECT_TRUE(own->chain.front()->IsForHost("control"));
}

TEST(ReservedPathTest, IsByrnieAndWhatIsBelow) {
  EXPECT_TRUE(IsReservedPath("/byrnie"));
  EXPECT_TRUE(IsReservedPath("/byrnie/controlplane"));
  EXPECT_FALSE(IsReservedPath("/byrnies/controlplane"));
  EXPECT_FALSE(IsReservedPath("/ns/byrnie/sa/controlplane"));
}

}  // namespace
}  // namespace byrnie
