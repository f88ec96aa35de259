#include "common/crypto/revocation_list_builder.h"

#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/identity/svid_verifier.h"
#include "common/tls/testing/test_ca.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);

RevocationListSpec Spec(std::vector<std::string> serials) {
  RevocationListSpec spec;
  spec.this_update = kNow;
  spec.next_update = kNow + absl::Hours(24);
  for (std::string& serial : serials) spec.revoked.push_back({std::move(serial), kNow});
  return spec;
}

TEST(RevocationListBuilderTest, MakesAListThatItsReadersTakeForTheIssuers) {
  const TestCa ca("cluster.local", kNow);
  const TestIdentity good = ca.IssueSvid("/good"), bad = ca.IssueSvid("/bad");
  auto list = BuildRevocationList(Spec({"0fee", bad.chain[0]->SerialHex(), "7f"}),
                                  *ca.certificate(), ca.key());
  ASSERT_THAT(list, IsOk());
  EXPECT_TRUE((*list)->IsIssuedBy(*ca.certificate()));
  EXPECT_TRUE((*list)->Lists(*bad.chain[0]));
  EXPECT_FALSE((*list)->Lists(*good.chain[0]));
  EXPECT_EQ((*list)->size(), 3u);
  EXPECT_EQ((*list)->this_update(), kNow);
  EXPECT_EQ((*list)->next_update(), kNow + absl::Hours(24));
}

TEST(RevocationListBuilderTest, MakesAnEmptyList) {
  const TestCa ca("cluster.local", kNow);
  auto list = BuildRevocationList(Spec({}), *ca.certificate(), ca.key());
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ((*list)->size(), 0u);
}

TEST(RevocationListBuilderTest, TheVerifierRefusesWhatIsListedAndNothingElse) {
  const TestCa ca("cluster.local", kNow);
  const TestIdentity good = ca.IssueSvid("/good"), bad = ca.IssueSvid("/bad");
  TrustBundleMap bundle = ca.Bundles().bundles();
  bundle["cluster.local"].crls = {
      *BuildRevocationList(Spec({bad.chain[0]->SerialHex()}), *ca.certificate(), ca.key())};
  const TrustBundleSet bundles = *TrustBundleSet::Create(std::move(bundle));
  EXPECT_THAT(VerifySvid(good.chain, bundles, kNow), IsOk());
  SvidDefect defect;
  EXPECT_FALSE(VerifySvid(bad.chain, bundles, kNow, &defect).ok());
  EXPECT_EQ(defect, SvidDefect::kRevoked);
}

TEST(RevocationListBuilderTest, RefusesAKeyThatIsNotTheIssuersAndSerialsThatAreNone) {
  const TestCa ca("cluster.local", kNow), other("cluster.local", kNow);
  EXPECT_THAT(BuildRevocationList(Spec({}), *ca.certificate(), other.key()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("signing key")));
  for (const std::string& serial : {std::string(), std::string("xyz"), std::string(41, '1')}) {
    EXPECT_THAT(BuildRevocationList(Spec({serial}), *ca.certificate(), ca.key()),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("serial")));
  }
}

}  // namespace
}  // namespace byrnie
