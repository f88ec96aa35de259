#include "common/identity/svid_root.h"

#include <utility>

#include "common/tls/testing/test_ca.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);

TEST(SvidRootTest, FindsTheRootOfAChain) {
  // Of one name, as when a root is renewed.
  const TestCa one("cluster.local", kNow), two("cluster.local", kNow), other("cluster.local", kNow);
  TrustBundleMap map;
  map["cluster.local"].roots = {one.root(), two.root()};
  const TrustBundleSet both = *TrustBundleSet::Create(std::move(map));
  EXPECT_EQ(RootOf(one.IssueSvid("/a").chain, both, "cluster.local", kNow), one.root());
  EXPECT_EQ(RootOf(two.IssueSvid("/a").chain, both, "cluster.local", kNow), two.root());
  const TestCa below = two.MakeIntermediate(two.IntermediateSpec());
  EXPECT_EQ(RootOf(below.IssueSvid("/a").chain, both, "cluster.local", kNow), two.root());
  EXPECT_EQ(RootOf(other.IssueSvid("/a").chain, both, "cluster.local", kNow), nullptr);
  EXPECT_EQ(RootOf(one.IssueSvid("/a").chain, both, "other.org", kNow), nullptr);
  EXPECT_EQ(RootOf(one.IssueSvid("/a").chain, one.Bundles(), "cluster.local", kNow), one.root());
}

}  // namespace
}  // namespace byrnie
