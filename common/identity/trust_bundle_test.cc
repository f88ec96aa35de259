#include "common/identity/trust_bundle.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
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

TEST(TrustBundleSetTest, RefusesJwtKeysThatCannotBeToldApart) {
  const TestCa ca("td", kNow);
  auto key = *PublicKey::FromDer(ca.key().PublicKeyDer());
  const absl::Time end = kNow + absl::Hours(1);
  TrustBundle bundle;
  bundle.roots = {ca.root()};
  bundle.jwt_keys = {{"a", key, end}, {"b", key, end}};
  EXPECT_THAT(TrustBundleSet::Create({{"td", bundle}}), IsOk());
  EXPECT_NE(*TrustBundleSet::Create({{"td", bundle}}), ca.Bundles());
  for (const JwtKey& bad : {JwtKey{"a", key, end}, JwtKey{"", key, end}, JwtKey{"c", nullptr, end},
                            JwtKey{std::string(129, 'k'), key, end}}) {
    TrustBundle broken = bundle;
    broken.jwt_keys.push_back(bad);
    EXPECT_THAT(TrustBundleSet::Create({{"td", broken}}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("JWT key")));
  }
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

TEST(TrustBundleSetTest, RefusesRootsThatMaySignNothing) {
  const TestCa ca("td", kNow);
  CertificateSpec spec = ca.IntermediateSpec();
  spec.omit_cert_sign = true;
  EXPECT_THAT(TrustBundleSet::Create({{"td", {{ca.MakeIntermediate(spec).certificate()}}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("keyCertSign")));
  spec = ca.IntermediateSpec();
  spec.uri_sans = {"spiffe://td/path"};
  EXPECT_THAT(TrustBundleSet::Create({{"td", {{ca.MakeIntermediate(spec).certificate()}}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has no path")));
}

TEST(TrustBundleSetTest, RefusesTooManyRevocationLists) {
  const TestCa ca("td", kNow);
  const RevocationListPtr list = MakeCrl(*ca.root(), ca.key(), kNow);
  EXPECT_THAT(TrustBundleSet::Create({{"td", {{ca.root()}, {list}}}}), IsOk());
  EXPECT_THAT(TrustBundleSet::Create({{"td", {{ca.root()}, {nullptr}}}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(
      TrustBundleSet::Create({{"td", {{ca.root()}, std::vector<RevocationListPtr>(65, list)}}}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 64")));
}

TEST(TrustBundleSetTest, IsEqualToTheByte) {
  const TestCa ca("td", kNow), other("td", kNow);
  const auto make = [](TrustBundleMap map) { return *TrustBundleSet::Create(std::move(map)); };
  const TrustBundleSet one = make({{"td", {{ca.root()}}}});
  EXPECT_EQ(one, make({{"td", {{*Certificate::FromDer(ca.root()->der())}}}}));
  EXPECT_NE(one, make({{"td", {{other.root()}}}}));
  EXPECT_NE(one, make({{"td", {{ca.root(), other.root()}}}}));
  EXPECT_NE(one, make({{"td2", {{ca.root()}}}}));
  EXPECT_NE(one, make({{"td", {{ca.root()}, {MakeCrl(*ca.root(), ca.key(), kNow)}}}}));
  EXPECT_NE(one, TrustBundleSet());
}

}  // namespace
}  // namespace byrnie
