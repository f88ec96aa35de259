#include "ctl/verify_chains.h"

#include "common/tls/testing/test_ca.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);

TEST(VerifyChainsTest, SaysWhoIsProvenOrWhyNobodyIs) {
  const TestCa ca("td", kNow);
  const std::string pem = ca.IssueSvid("/a").chain[0]->ToPem();
  bool good = false;
  EXPECT_EQ(VerifyChainText(pem, ca.Bundles(), kNow, &good),
            "good, spiffe://td/a, until 2030-03-17T18:45:40Z");
  EXPECT_TRUE(good);
  EXPECT_THAT(VerifyChainText(pem, ca.Bundles(), kNow + absl::Hours(5), &good),
              HasSubstr("refused, certificate of spiffe://td/a expired"));
  EXPECT_FALSE(good);
  EXPECT_THAT(VerifyChainText("garbage", ca.Bundles(), kNow, &good), HasSubstr("refused, PEM"));
  EXPECT_FALSE(good);
}

}  // namespace
}  // namespace byrnie
