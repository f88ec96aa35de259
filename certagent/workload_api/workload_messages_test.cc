#include "certagent/workload_api/workload_messages.h"

#include <memory>
#include <string>

#include "common/base/status_matchers.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

class WorkloadMessagesTest : public ::testing::Test {
 protected:
  WorkloadMessagesTest() {
    TrustBundleMap bundles;
    bundles["td"].roots = {ca_.root()};
    bundles["td"].crls = {list_};
    bundles["other"].roots = {other_.root()};
    state_.snapshot = *IdentitySnapshot::Create(1, identity_.chain,
                                                *TrustBundleSet::Create(std::move(bundles)), kNow);
    state_.key = identity_.key;
  }

  const TestCa ca_{"td", kNow}, other_{"other", kNow};
  const TestIdentity identity_ = ca_.IssueSvid("/app");
  const RevocationListPtr list_ = MakeCrl(*ca_.certificate(), ca_.key(), kNow);
  WorkloadState state_;
};

TEST_F(WorkloadMessagesTest, AnX509ContextHasEverythingAPeerIsJudgedBy) {
  const X509SVIDResponse response = MakeX509SvidResponse(state_);
  ASSERT_EQ(response.svids_size(), 1);
  EXPECT_EQ(response.svids(0).spiffe_id(), "spiffe://td/app");
  EXPECT_EQ(response.svids(0).bundle(), ca_.root()->der());
  EXPECT_THAT(response.crl(), ElementsAre(list_->der()));
  EXPECT_THAT(response.federated_bundles(),
              UnorderedElementsAre(Pair("spiffe://other", other_.root()->der())));
}

TEST_F(WorkloadMessagesTest, AnIntermediateComesAfterTheLeaf) {
  const TestCa below = ca_.MakeIntermediate(ca_.IntermediateSpec());
  const TestIdentity identity = below.IssueSvid("/app");
  ASSERT_EQ(identity.chain.size(), 2u);
  state_.snapshot = *IdentitySnapshot::Create(2, identity.chain, ca_.Bundles(), kNow);
  state_.key = identity.key;
  EXPECT_EQ(MakeX509SvidResponse(state_).svids(0).x509_svid(),
            identity.chain[0]->der() + identity.chain[1]->der());
}

TEST_F(WorkloadMessagesTest, WipingLeavesNoKey) {
  X509SVIDResponse response = MakeX509SvidResponse(state_);
  EXPECT_EQ(response.svids(0).x509_svid_key(), identity_.key->ToPkcs8().view());
  WipeKeys(&response);
  EXPECT_EQ(response.svids(0).x509_svid_key(), "");
}

TEST_F(WorkloadMessagesTest, BundlesHaveAllTrustDomains) {
  const X509BundlesResponse response = MakeX509BundlesResponse(state_.snapshot->bundles());
  EXPECT_THAT(response.bundles(),
              UnorderedElementsAre(Pair("spiffe://td", ca_.root()->der()),
                                   Pair("spiffe://other", other_.root()->der())));
  EXPECT_THAT(response.crl(), ElementsAre(list_->der()));
}

TEST(JsonWebKeySetTest, SaysWhatVerifiersLookFor) {
  EXPECT_EQ(JsonWebKeySet({}), R"({"keys":[]})");
  // The SubjectPublicKeyInfo of P-256's generator.
  const std::string head(
      "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48"
      "\xce\x3d\x03\x01\x07\x03\x42\x00\x04",
      27);
  const std::string x(
      "\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb"
      "\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96",
      32);
  const std::string y(
      "\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31"
      "\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5",
      32);
  auto key = PublicKey::FromDer(head + x + y);
  ASSERT_THAT(key, IsOk());
  EXPECT_EQ(JsonWebKeySet({{"a\"b", *key, kNow}}),
            R"({"keys":[{"kty":"EC","use":"jwt-svid","kid":"a\"b","crv":"P-256",)"
            R"("x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",)"
            R"("y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}]})");
}

}  // namespace
}  // namespace byrnie
