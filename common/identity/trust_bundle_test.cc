#include "common/identity/trust_bundle.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/tls/testing/test_ca.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);

TEST(TrustBundleSetTest, FindsABundleByTrustDomain) {
  const TestCa old_root("td", kNow), new_root("td", kNow);
  ASSERT_OK_AND_ASSIGN(TrustBundleSet set,
                       TrustBundleSet::FromPem(
                           "td", absl::StrCat(old_root.root()->ToPem(), new_root.root()->ToPem())));
  ASSERT_NE(set.Find("td"), nullptr);
  EXPECT_THAT(set.Find("td")->roots, SizeIs(2));
  EXPECT_EQ(set.Find("other"), nullptr);
  EXPECT_EQ(set.Find(""), nullptr);
}

TEST(TrustBundleSetTest, TrustsNobodyWhenEmpty) {
  EXPECT_EQ(TrustBundleSet().Find("td"), nullptr);
  EXPECT_THAT(TrustBundleSet().bundles(), SizeIs(0));
}

TEST(TrustBundleSetTest, RefusesBadNamesEmptyBundlesAndRootsThatAreNoCa) {
  const TestCa ca("td", kNow);
  EXPECT_THAT(TrustBundleSet::Create({{"TD", {{ca.root()}}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("TD")));
  EXPECT_THAT(TrustBundleSet::Create({{"td", TrustBundle()}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without a certificate")));
  EXPECT_THAT(TrustBundleSet::Create({{"td", {{nullptr}}}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(TrustBundleSet::Create({{"td", {{ca.IssueSvid("/a").chain[0]}}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a CA")));
  EXPECT_THAT(TrustBundleSet::FromPem("td", "garbage"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace byrnie
