#include "common/identity/svid_verifier.h"

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/tls/testing/test_ca.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);

absl::StatusOr<VerifiedSvid> Verify(const TestCa& ca, const CertificateChain& chain,
                                    absl::Time now = kNow, SvidDefect* defect = nullptr) {
  return VerifySvid(chain, ca.Bundles(), now, defect);
}

MATCHER_P(Refused, why, "") {
  return ::testing::ExplainMatchResult(StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr(why)),
                                       arg, result_listener);
}

class SvidVerifierTest : public ::testing::Test {
 protected:
  const TestCa ca_{"td", kNow};
};

TEST_F(SvidVerifierTest, AcceptsAGoodSvid) {
  const TestIdentity svid = ca_.IssueSvid("/ns/a/sa/b");
  SvidDefect defect = SvidDefect::kMalformed;
  ASSERT_OK_AND_ASSIGN(VerifiedSvid verified, Verify(ca_, svid.chain, kNow, &defect));
  EXPECT_EQ(verified.id.text(), "spiffe://td/ns/a/sa/b");
  EXPECT_EQ(verified.not_after, svid.chain[0]->not_after());
  EXPECT_EQ(defect, SvidDefect::kNone);
}

TEST_F(SvidVerifierTest, AcceptsIntermediatesAndEndsWithTheFirstOfThem) {
  CertificateSpec spec = ca_.IntermediateSpec();
  spec.not_after = kNow + absl::Minutes(5);
  const TestCa one = ca_.MakeIntermediate(spec);
  const TestCa two = one.MakeIntermediate(one.IntermediateSpec());
  const TestCa three = two.MakeIntermediate(two.IntermediateSpec());
  const TestIdentity svid = three.IssueSvid("/a");
  ASSERT_EQ(svid.chain.size(), 4u);
  ASSERT_OK_AND_ASSIGN(VerifiedSvid verified, Verify(ca_, svid.chain));
  EXPECT_EQ(verified.not_after, kNow + absl::Minutes(5));
}

TEST_F(SvidVerifierTest, AcceptsALeafWithoutExtendedKeyUsageAndWithOtherNames) {
  CertificateSpec spec = ca_.SvidSpec("/a");
  spec.server_auth = spec.client_auth = false;
  spec.dns_sans = {"host.example"};
  spec.email_sans = {"a@example"};
  EXPECT_THAT(Verify(ca_, ca_.Issue(spec).chain), IsOk());
}

TEST_F(SvidVerifierTest, RefusesLeavesWithADefect) {
  struct Case {
    std::string why;
    std::function<void(CertificateSpec*)> spoil;
  };
  const std::vector<Case> cases = {
      {"has 2 URI", [](CertificateSpec* s) { s->uri_sans.push_back("spiffe://td/b"); }},
      {"has 2 URI", [](CertificateSpec* s) { s->uri_sans.push_back("https://td/"); }},
      {"has 2 URI", [](CertificateSpec* s) { s->uri_sans.push_back(s->uri_sans[0]); }},
      {"has 0 URI",
       [](CertificateSpec* s) {
         s->dns_sans = s->uri_sans;
         s->uri_sans.clear();
       }},
      {"has 0 URI",
       [](CertificateSpec* s) {
         s->email_sans = s->uri_sans;
         s->uri_sans.clear();
       }},
      {"has 0 URI",
       [](CertificateSpec* s) {
         s->common_name = s->uri_sans[0];
         s->uri_sans.clear();
       }},
      {"\\x00", [](CertificateSpec* s) { s->uri_sans = {std::string("spiffe://td/a\0evil", 18)}; }},
      {"\\x00",
       [](CertificateSpec* s) { s->uri_sans = {std::string("spiffe://td\0.evil/a", 19)}; }},
      {"no path", [](CertificateSpec* s) { s->uri_sans = {"spiffe://td"}; }},
      {"ends with '/'", [](CertificateSpec* s) { s->uri_sans = {"spiffe://td/"}; }},
      {"'T'", [](CertificateSpec* s) { s->uri_sans = {"spiffe://Td/a"}; }},
      {"'%'", [](CertificateSpec* s) { s->uri_sans = {"spiffe://td/%61"}; }},
      {"'..'", [](CertificateSpec* s) { s->uri_sans = {"spiffe://td/../a"}; }},
      {"at most 2048",
       [](CertificateSpec* s) {
         s->uri_sans = {absl::StrCat("spiffe://td/", std::string(2037, 'a'))};
       }},
      {"CA certificate",
       [](CertificateSpec* s) {
         s->is_ca = true;
         s->common_name = "ca leaf";
       }},
      {"no key usage", [](CertificateSpec* s) { s->omit_key_usage = true; }},
      {"not critical", [](CertificateSpec* s) { s->key_usage_not_critical = true; }},
      {"keyCertSign", [](CertificateSpec* s) { s->key_usage_cert_sign = true; }},
      {"cRLSign", [](CertificateSpec* s) { s->key_usage_crl_sign = true; }},
      {"lacks the key usage digitalSignature",
       [](CertificateSpec* s) { s->omit_digital_signature = true; }},
      {"clientAuth", [](CertificateSpec* s) { s->client_auth = false; }},
      {"serverAuth", [](CertificateSpec* s) { s->server_auth = false; }},
  };
  for (const Case& c : cases) {
    CertificateSpec spec = ca_.SvidSpec("/a");
    c.spoil(&spec);
    SvidDefect defect = SvidDefect::kNone;
    EXPECT_THAT(Verify(ca_, ca_.Issue(spec).chain, kNow, &defect), Refused(c.why));
    EXPECT_EQ(defect, SvidDefect::kMalformed) << c.why;
  }
}

TEST_F(SvidVerifierTest, AcceptsTheLongestSpiffeId) {
  CertificateSpec spec = ca_.SvidSpec("/a");
  spec.uri_sans = {absl::StrCat("spiffe://td/", std::string(2036, 'a'))};
  EXPECT_THAT(Verify(ca_, ca_.Issue(spec).chain), IsOk());
}

TEST_F(SvidVerifierTest, SaysByHowMuchALeafExpiredOrIsEarly) {
  const TestIdentity svid = ca_.IssueSvid("/a");
  SvidDefect defect = SvidDefect::kNone;
  EXPECT_THAT(Verify(ca_, svid.chain, svid.chain[0]->not_after() + absl::Seconds(9), &defect),
              Refused("spiffe://td/a expired 9 s ago"));
  EXPECT_EQ(defect, SvidDefect::kExpired);
  EXPECT_THAT(Verify(ca_, svid.chain, svid.chain[0]->not_before() - absl::Seconds(7), &defect),
              Refused("is valid in 7 s; is the clock of this machine behind?"));
  EXPECT_EQ(defect, SvidDefect::kNotYetValid);
  EXPECT_THAT(Verify(ca_, svid.chain, svid.chain[0]->not_after() - absl::Seconds(1)), IsOk());
  EXPECT_THAT(Verify(ca_, svid.chain, svid.chain[0]->not_before()), IsOk());
}

TEST_F(SvidVerifierTest, RefusesAnExpiredIntermediateAndNamesIt) {
  CertificateSpec spec = ca_.IntermediateSpec();
  spec.not_after = kNow - absl::Seconds(3);
  const TestCa intermediate = ca_.MakeIntermediate(spec);
  SvidDefect defect = SvidDefect::kNone;
  EXPECT_THAT(Verify(ca_, intermediate.IssueSvid("/a").chain, kNow, &defect),
              Refused("test intermediate 1\" expired 3 s ago"));
  EXPECT_EQ(defect, SvidDefect::kExpired);
}

TEST_F(SvidVerifierTest, RefusesAnIntermediateThatIsNoCa) {
  CertificateSpec spec = ca_.IntermediateSpec();
  spec.is_ca = false;
  EXPECT_THAT(Verify(ca_, ca_.MakeIntermediate(spec).IssueSvid("/a").chain),
              Refused("spiffe://td/a is not signed by a root"));
  spec.key_usage_cert_sign = true;
  EXPECT_THAT(Verify(ca_, ca_.MakeIntermediate(spec).IssueSvid("/a").chain), Refused("CA"));
}

TEST_F(SvidVerifierTest, RefusesAnIntermediateBeyondThePathLength) {
  CertificateSpec spec = ca_.IntermediateSpec();
  spec.path_length = 0;
  const TestCa one = ca_.MakeIntermediate(spec);
  EXPECT_THAT(Verify(ca_, one.IssueSvid("/a").chain), IsOk());
  const TestCa two = one.MakeIntermediate(one.IntermediateSpec());
  EXPECT_THAT(Verify(ca_, two.IssueSvid("/a").chain), Refused("path length"));
}

TEST_F(SvidVerifierTest, RefusesALeafSignedByALeaf) {
  const TestIdentity signer = ca_.IssueSvid("/signer");
  const TestIdentity below = ca_.IssueSvid("/below");
  absl::StatusOr<CertificatePtr> leaf = BuildCertificate(
      ca_.SvidSpec("/victim"), below.key->PublicKeyDer(), signer.chain[0].get(), *signer.key);
  // An issuer with an empty subject: the library may refuse it for that or for not being a CA.
  ASSERT_THAT(leaf, IsOk());
  EXPECT_THAT(Verify(ca_, {*leaf, signer.chain[0]}), Refused("spiffe://td/"));
}

TEST_F(SvidVerifierTest, JudgesByTheBundleOfTheLeafsOwnTrustDomain) {
  const TestCa other("other", kNow);
  absl::StatusOr<TrustBundleSet> both =
      TrustBundleSet::Create({{"td", {{ca_.root()}}}, {"other", {{other.root()}}}});
  ASSERT_THAT(both, IsOk());
  EXPECT_THAT(VerifySvid(other.IssueSvid("/a").chain, *both, kNow), IsOk());
  // The CA of "other" may not speak for "td".
  CertificateSpec spec = other.SvidSpec("/a");
  spec.uri_sans = {"spiffe://td/a"};
  SvidDefect defect = SvidDefect::kNone;
  EXPECT_THAT(VerifySvid(other.Issue(spec).chain, *both, kNow, &defect),
              Refused("not signed by a root of trust domain td"));
  EXPECT_EQ(defect, SvidDefect::kUnknownIssuer);
}

TEST_F(SvidVerifierTest, RefusesATrustDomainWithoutABundle) {
  const TestCa other("other", kNow);
  SvidDefect defect = SvidDefect::kNone;
  EXPECT_THAT(Verify(ca_, other.IssueSvid("/a").chain, kNow, &defect),
              Refused("trust domain other, for which there is no trust bundle"));
  EXPECT_EQ(defect, SvidDefect::kUnknownIssuer);
  EXPECT_THAT(VerifySvid(ca_.IssueSvid("/a").chain, TrustBundleSet(), kNow),
              Refused("no trust bundle"));
}

TEST_F(SvidVerifierTest, RefusesAnIssuerOfTheSameNameWithAnotherKey) {
  const TestCa impostor("td", kNow);
  EXPECT_THAT(Verify(ca_, impostor.IssueSvid("/a").chain), Refused("not signed by a root"));
}

TEST_F(SvidVerifierTest, RefusesAMissingIntermediate) {
  const TestCa intermediate = ca_.MakeIntermediate(ca_.IntermediateSpec());
  CertificateChain chain = intermediate.IssueSvid("/a").chain;
  chain.pop_back();
  EXPECT_THAT(Verify(ca_, chain), Refused("not signed by a root"));
}

TEST_F(SvidVerifierTest, RefusesEmptyAndTooLongChains) {
  EXPECT_THAT(Verify(ca_, {}), Refused("no certificate was presented"));
  TestCa ca = ca_;
  for (int i = 0; i < 4; ++i) ca = ca.MakeIntermediate(ca.IntermediateSpec());
  const CertificateChain chain = ca.IssueSvid("/a").chain;
  ASSERT_EQ(chain.size(), 5u);
  EXPECT_THAT(Verify(ca_, chain), Refused("chain of 5 certificates; at most 4"));
  EXPECT_THAT(Verify(ca_, CertificateChain(50, chain[0])), Refused("chain of 50"));
}

TEST_F(SvidVerifierTest, AcceptsHundredsOfOtherNamesButNoSecondUri) {
  CertificateSpec spec = ca_.SvidSpec("/a");
  for (int i = 0; i < 500; ++i) spec.dns_sans.push_back(absl::StrCat("h", i, ".example"));
  EXPECT_THAT(Verify(ca_, ca_.Issue(spec).chain), IsOk());
  spec.uri_sans.resize(200, "spiffe://td/a");
  EXPECT_THAT(Verify(ca_, ca_.Issue(spec).chain), Refused("has 200 URI"));
}

}  // namespace
}  // namespace byrnie
