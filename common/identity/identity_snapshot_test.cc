#include "common/identity/identity_snapshot.h"

#include "common/base/status_matchers.h"
#include "common/tls/testing/test_ca.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);

TEST(IdentitySnapshotTest, HoldsWhatWasVerified) {
  const TestCa ca("td", kNow);
  const TestIdentity svid = ca.IssueSvid("/a");
  ASSERT_OK_AND_ASSIGN(IdentitySnapshotPtr snapshot,
                       IdentitySnapshot::Create(7, svid.chain, ca.Bundles(), kNow));
  EXPECT_EQ(snapshot->generation(), 7u);
  EXPECT_EQ(snapshot->id().text(), "spiffe://td/a");
  EXPECT_EQ(snapshot->leaf().der(), svid.chain[0]->der());
  EXPECT_EQ(snapshot->not_after(), svid.chain[0]->not_after());
  EXPECT_NE(snapshot->bundles().Find("td"), nullptr);
}

TEST(IdentitySnapshotTest, DoesNotExistForABrokenOrExpiredChain) {
  const TestCa ca("td", kNow), other("td", kNow);
  const TestIdentity svid = ca.IssueSvid("/a");
  EXPECT_THAT(IdentitySnapshot::Create(1, svid.chain, other.Bundles(), kNow),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(IdentitySnapshot::Create(1, svid.chain, ca.Bundles(), kNow + absl::Hours(2)),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("expired")));
  EXPECT_THAT(IdentitySnapshot::Create(1, {}, ca.Bundles(), kNow),
              StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST(IdentitySnapshotTest, IsOfUseBetweenTheTimesOfItsLeaf) {
  const TestCa ca("td", kNow);
  const TestIdentity svid = ca.IssueSvid("/a");
  ASSERT_OK_AND_ASSIGN(IdentitySnapshotPtr snapshot,
                       IdentitySnapshot::Create(1, svid.chain, ca.Bundles(), kNow));
  const absl::Time begin = snapshot->leaf().not_before(), end = snapshot->not_after();
  EXPECT_THAT(snapshot->CheckValidAt(begin), IsOk());
  EXPECT_THAT(snapshot->CheckValidAt(end - absl::Seconds(1)), IsOk());
  EXPECT_THAT(snapshot->CheckValidAt(end + absl::Seconds(9)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expired 9s ago")));
  EXPECT_THAT(
      snapshot->CheckValidAt(begin - absl::Seconds(7)),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("valid in 7s; is the clock")));
}

}  // namespace
}  // namespace byrnie
