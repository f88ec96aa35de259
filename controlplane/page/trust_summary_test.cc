#include "controlplane/page/trust_summary.h"

#include "absl/strings/str_cat.h"
#include "controlplane/ca/testing/self_signed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1893456000);

RotationStatus Distributed(int blockers) {
  RotationStatus status;
  status.roots = {{"aa", "root one", kNow, true, true, true}, {"bb", "root two", kNow, true}};
  status.step = RotationStep::kDistributed;
  status.since = kNow;
  status.automatic = true;
  status.move = RotationMove::kActivate;
  status.consequence = "signs with root bb";
  for (int i = 0; i < blockers; ++i) {
    status.blockers.push_back({absl::StrCat("spiffe://td/", i), "10.0.0.1:5", "has it not", kNow});
  }
  return status;
}

TEST(TrustSummaryTest, SaysWhereARotationStandsAndWhatKeepsItBack) {
  const TrustSummary summary = Summarize(Distributed(1));
  EXPECT_TRUE(summary.rotates);
  EXPECT_EQ(summary.step, "distributed");
  EXPECT_EQ(summary.since, kNow);
  EXPECT_TRUE(summary.automatic);
  EXPECT_EQ(summary.move, "activate");
  EXPECT_EQ(summary.consequence, "signs with root bb");
  ASSERT_THAT(summary.roots, SizeIs(2));
  EXPECT_EQ(summary.roots[0].subject, "root one");
  EXPECT_TRUE(summary.roots[0].signs);
  EXPECT_TRUE(summary.roots[0].tainted);
  EXPECT_TRUE(summary.roots[1].trusted);
  EXPECT_FALSE(summary.roots[1].signs);
  ASSERT_THAT(summary.blockers, SizeIs(1));
  EXPECT_EQ(summary.blockers[0].agent, "spiffe://td/0");
  EXPECT_EQ(summary.blockers[0].reason, "has it not");
}

TEST(TrustSummaryTest, CountsWhatIsTooMuchForAPage) {
  const TrustSummary summary = Summarize(Distributed(10000));
  EXPECT_THAT(summary.blockers, SizeIs(TrustSummary::kMaxBlockers));
  EXPECT_EQ(summary.blockers_total, 10000u);
}

TEST(TrustSummaryTest, WithoutARotationNothingIsKeptBack) {
  RotationStatus status = Distributed(3);
  status.step = absl::nullopt;
  const TrustSummary summary = Summarize(status);
  EXPECT_EQ(summary.step, "");
  EXPECT_THAT(summary.blockers, IsEmpty());
  EXPECT_EQ(summary.blockers_total, 0u);
}

TEST(TrustSummaryTest, APluggedAuthorityDoesNotRotate) {
  const AuthoritySnapshotPtr plugged = SelfSigned("td", kNow);
  const TrustSummary summary = Summarize(*plugged);
  EXPECT_FALSE(summary.rotates);
  EXPECT_EQ(summary.mode, "plugged CA");
  ASSERT_THAT(summary.roots, SizeIs(1));
  EXPECT_EQ(summary.roots[0].fingerprint, plugged->signer->root_id());
  EXPECT_TRUE(summary.roots[0].signs);
  EXPECT_TRUE(summary.roots[0].trusted);
}

}  // namespace
}  // namespace byrnie
