#include "common/identity/svid_verifier.h"

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/crypto/private_key.h"
#include "common/crypto/testing/other_keys.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/bytestring.h"
#include "openssl/evp.h"
#include "openssl/mem.h"
#include "openssl/nid.h"

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

// DER of extension values.
const std::string& Empty() {
  static const std::string* const empty = new std::string("\x30\x00", 2);
  return *empty;
}
constexpr char kExtendedKeyUsage[] = "2.5.29.37";
constexpr char kServerAuth[] = "\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
constexpr char kCodeSigning[] = "\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x03";
constexpr char kNameConstraints[] = "2.5.29.30";

// One URI subtree, permitted or excluded (RFC 5280 section 4.2.1.10).
std::string NameConstraints(bool permitted, const std::string& host) {
  const auto wrap = [](char tag, const std::string& content) {
    return absl::StrCat(std::string(1, tag), std::string(1, static_cast<char>(content.size())),
                        content);
  };
  const std::string subtree = wrap(0x30, wrap('\x86', host));
  return wrap(0x30, wrap(permitted ? '\xa0' : '\xa1', subtree));
}

std::string PublicKeyDer(const EVP_PKEY* key) {
  bssl::ScopedCBB cbb;
  uint8_t* der = nullptr;
  size_t size = 0;
  EXPECT_TRUE(CBB_init(cbb.get(), 0) && EVP_marshal_public_key(cbb.get(), key) &&
              CBB_finish(cbb.get(), &der, &size));
  const bssl::UniquePtr<uint8_t> owned(der);
  return std::string(reinterpret_cast<char*>(der), size);
}

std::string Ed25519Key() {
  const uint8_t seed[32] = {1};
  bssl::UniquePtr<EVP_PKEY> key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed, sizeof(seed)));
  return PublicKeyDer(key.get());
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
      {"empty subject, and its subjectAltName is not critical",
       [](CertificateSpec* s) { s->san_not_critical = true; }},
      {"signature algorithm", [](CertificateSpec* s) { s->sha1 = true; }},
      {"unhandled critical extension",
       [](CertificateSpec* s) {
         s->raw_extensions = {{"1.3.6.1.4.1.55555.1", true, Empty()}};
       }},
      {"the same extension twice",
       [](CertificateSpec* s) {
         s->raw_extensions = {{"1.3.6.1.4.1.55555.1", false, "x"},
                              {"1.3.6.1.4.1.55555.1", false, "y"}};
       }},
      {"extensions; at most 32",
       [](CertificateSpec* s) {
         for (int i = 0; i < 40; ++i) {
           s->raw_extensions.push_back({absl::StrCat("1.3.6.1.4.1.55555.", i + 1), false, "x"});
         }
       }},
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
              Refused("is not a CA certificate: cA is false"));
  spec.key_usage_cert_sign = true;
  EXPECT_THAT(Verify(ca_, ca_.MakeIntermediate(spec).IssueSvid("/a").chain),
              Refused("is not a CA certificate: cA is false"));
}

TEST_F(SvidVerifierTest, RefusesAnIntermediateWithADefect) {
  struct Case {
    std::string why;
    std::function<void(CertificateSpec*)> spoil;
  };
  const std::vector<Case> cases = {
      {"has no key usage; a signing certificate has keyCertSign",
       [](CertificateSpec* s) { s->omit_key_usage = true; }},
      {"lacks the key usage keyCertSign", [](CertificateSpec* s) { s->omit_cert_sign = true; }},
      {"signing certificate's has no path",
       [](CertificateSpec* s) { s->uri_sans = {"spiffe://td/ca"}; }},
      {"signing certificate's has no path",
       [](CertificateSpec* s) { s->uri_sans = {"spiffe://td/"}; }},
      {"signing certificate's has no path", [](CertificateSpec* s) { s->uri_sans = {"SPIFFE:x"}; }},
      {"beside another URI",
       [](CertificateSpec* s) {
         s->uri_sans = {"spiffe://td", "https://td"};
       }},
      {"signature algorithm", [](CertificateSpec* s) { s->sha1 = true; }},
      {"unhandled critical extension",
       [](CertificateSpec* s) {
         s->raw_extensions = {{"1.3.6.1.4.1.55555.1", true, Empty()}};
       }},
      {"lacks the extended key usages",
       [](CertificateSpec* s) {
         s->raw_extensions = {{kExtendedKeyUsage, false, kCodeSigning}};
       }},
      {"lacks the extended key usage clientAuth",
       [](CertificateSpec* s) {
         s->raw_extensions = {{kExtendedKeyUsage, false, kServerAuth}};
       }},
  };
  for (const Case& c : cases) {
    CertificateSpec spec = ca_.IntermediateSpec();
    c.spoil(&spec);
    SvidDefect defect = SvidDefect::kNone;
    EXPECT_THAT(Verify(ca_, ca_.MakeIntermediate(spec).IssueSvid("/a").chain, kNow, &defect),
                Refused(c.why));
    EXPECT_EQ(defect, SvidDefect::kMalformed) << c.why;
  }
}

TEST_F(SvidVerifierTest, AcceptsAnIntermediateWithItsOwnSpiffeIdOrAnotherUri) {
  for (const char* uri : {"spiffe://td", "spiffe://other.domain", "https://ca.example/"}) {
    CertificateSpec spec = ca_.IntermediateSpec();
    spec.uri_sans = {uri};
    EXPECT_THAT(Verify(ca_, ca_.MakeIntermediate(spec).IssueSvid("/a").chain), IsOk()) << uri;
  }
}

TEST_F(SvidVerifierTest, EnforcesUriNameConstraintsOfIntermediates) {
  const TestCa ca("prod.example.org", kNow);
  const auto verify_below = [&](bool permitted, const std::string& constraint) {
    CertificateSpec spec = ca.IntermediateSpec();
    spec.raw_extensions = {{kNameConstraints, true, NameConstraints(permitted, constraint)}};
    return Verify(ca, ca.MakeIntermediate(spec).IssueSvid("/a").chain);
  };
  EXPECT_THAT(verify_below(true, "prod.example.org"), IsOk());
  EXPECT_THAT(verify_below(true, ".example.org"), IsOk());
  EXPECT_THAT(verify_below(true, "test.example.org"), Refused("name constraints"));
  EXPECT_THAT(verify_below(true, "example.org"), Refused("name constraints"));
  EXPECT_THAT(verify_below(true, ".prod.example.org"), Refused("name constraints"));
  EXPECT_THAT(verify_below(false, "test.example.org"), IsOk());
  EXPECT_THAT(verify_below(false, "prod.example.org"), Refused("name constraints"));
  EXPECT_THAT(verify_below(false, ".example.org"), Refused("name constraints"));
}

TEST_F(SvidVerifierTest, EnforcesThePathLengthOfTheRootToo) {
  const std::shared_ptr<const PrivateKey> key = *PrivateKey::Generate();
  CertificateSpec spec = ca_.IntermediateSpec();
  spec.common_name = "short root";
  spec.path_length = 0;
  const CertificatePtr root = *BuildCertificate(spec, key->PublicKeyDer(), nullptr, *key);
  const std::shared_ptr<const PrivateKey> below_key = *PrivateKey::Generate();
  const CertificatePtr below =
      *BuildCertificate(ca_.IntermediateSpec(), below_key->PublicKeyDer(), root.get(), *key);
  const TrustBundleSet bundles = *TrustBundleSet::Create({{"td", {{root}}}});
  const std::string leaf_key = (*PrivateKey::Generate())->PublicKeyDer();
  const CertificatePtr good = *BuildCertificate(ca_.SvidSpec("/a"), leaf_key, root.get(), *key);
  EXPECT_THAT(VerifySvid({good}, bundles, kNow), IsOk());
  const CertificatePtr deep =
      *BuildCertificate(ca_.SvidSpec("/a"), leaf_key, below.get(), *below_key);
  EXPECT_THAT(VerifySvid({deep, below}, bundles, kNow), Refused("path length of 0"));
}

TEST_F(SvidVerifierTest, FindsTheRightOneOfTwoRootsOfOneNameWithoutKeyIdentifiers) {
  CertificateSpec spec = ca_.IntermediateSpec();
  spec.common_name = "the root";
  spec.omit_key_ids = true;
  const std::shared_ptr<const PrivateKey> old_key = *PrivateKey::Generate();
  const std::shared_ptr<const PrivateKey> new_key = *PrivateKey::Generate();
  const CertificatePtr old_root =
      *BuildCertificate(spec, old_key->PublicKeyDer(), nullptr, *old_key);
  const CertificatePtr new_root =
      *BuildCertificate(spec, new_key->PublicKeyDer(), nullptr, *new_key);
  CertificateSpec leaf = ca_.SvidSpec("/a");
  leaf.omit_key_ids = true;
  const TrustBundleSet bundles = *TrustBundleSet::Create({{"td", {{old_root, new_root}}}});
  const std::string key = (*PrivateKey::Generate())->PublicKeyDer();
  EXPECT_THAT(VerifySvid({*BuildCertificate(leaf, key, old_root.get(), *old_key)}, bundles, kNow),
              IsOk());
  EXPECT_THAT(VerifySvid({*BuildCertificate(leaf, key, new_root.get(), *new_key)}, bundles, kNow),
              IsOk());
}

TEST_F(SvidVerifierTest, TakesACaOfABundleAsItIsWhoeverSignedIt) {
  const TestCa below = ca_.MakeIntermediate(ca_.IntermediateSpec());
  const TrustBundleSet bundles = *TrustBundleSet::Create({{"td", {{below.certificate()}}}});
  const CertificateChain chain = below.IssueSvid("/a").chain;
  EXPECT_THAT(VerifySvid(chain, bundles, kNow), IsOk()) << "presented with the bundle's CA";
  EXPECT_THAT(VerifySvid({chain[0]}, bundles, kNow), IsOk());
  EXPECT_THAT(VerifySvid(ca_.IssueSvid("/a").chain, bundles, kNow),
              Refused("not signed by a root"));
}

TEST_F(SvidVerifierTest, EndsWithItsRoot) {
  CertificateSpec spec = ca_.IntermediateSpec();
  spec.common_name = "brief root";
  spec.not_after = kNow + absl::Minutes(3);
  const std::shared_ptr<const PrivateKey> key = *PrivateKey::Generate();
  const CertificatePtr root = *BuildCertificate(spec, key->PublicKeyDer(), nullptr, *key);
  const CertificatePtr leaf = *BuildCertificate(
      ca_.SvidSpec("/a"), (*PrivateKey::Generate())->PublicKeyDer(), root.get(), *key);
  const TrustBundleSet bundles = *TrustBundleSet::Create({{"td", {{root}}}});
  ASSERT_OK_AND_ASSIGN(VerifiedSvid svid, VerifySvid({leaf}, bundles, kNow));
  EXPECT_EQ(svid.not_after, spec.not_after);
  EXPECT_THAT(VerifySvid({leaf}, bundles, kNow + absl::Minutes(4)), Refused("expired 60 s ago"));
}

TEST_F(SvidVerifierTest, TakesOnlyKeysThatAreNeitherWeakNorExpensive) {
  const auto with_key = [&](const std::string& public_key) {
    return Verify(ca_,
                  {*BuildCertificate(ca_.SvidSpec("/a"), public_key, ca_.root().get(), ca_.key())});
  };
  EXPECT_THAT(with_key(PublicKeyDer(NewEcKey(NID_secp384r1).get())), IsOk());
  EXPECT_THAT(with_key(PublicKeyDer(NewRsaKey(2048).get())), IsOk());
  EXPECT_THAT(with_key(PublicKeyDer(NewEcKey(NID_secp521r1).get())), Refused("use P-256 or P-384"));
  EXPECT_THAT(with_key(PublicKeyDer(NewRsaKey(1024).get())),
              Refused("RSA key of 1024 bits; 2048 to 4096 are taken"));
  EXPECT_THAT(with_key(PublicKeyDer(NewRsaKey(1920).get())), Refused("RSA key of 1920 bits"));
  EXPECT_THAT(with_key(Ed25519Key()), Refused("use P-256, P-384 or RSA"));
}

TEST_F(SvidVerifierTest, RefusesChainsThatAreTooLargeTogether) {
  CertificateSpec spec = ca_.IntermediateSpec();
  spec.raw_extensions = {{"1.3.6.1.4.1.55555.1", false, std::string(9000, 'x')}};
  const TestCa one = ca_.MakeIntermediate(spec);
  EXPECT_THAT(Verify(ca_, one.IssueSvid("/a").chain), IsOk());
  EXPECT_THAT(Verify(ca_, one.MakeIntermediate(spec).IssueSvid("/a").chain),
              Refused("bytes; at most 16384 are taken"));
}

class SvidRevocationTest : public SvidVerifierTest {
 protected:
  TrustBundleSet With(std::vector<RevocationListPtr> lists) const {
    return *TrustBundleSet::Create({{"td", {{ca_.root()}, std::move(lists)}}});
  }
  RevocationListPtr RootList(std::vector<CertificatePtr> revoked, absl::Time now = kNow) const {
    return MakeCrl(*ca_.root(), ca_.key(), now, std::move(revoked));
  }

  const TestIdentity svid_ = ca_.IssueSvid("/a"), other_ = ca_.IssueSvid("/b");
};

TEST_F(SvidRevocationTest, RefusesWhatIsRevokedAndNothingElse) {
  const TrustBundleSet bundles = With({RootList({svid_.chain[0]})});
  SvidDefect defect = SvidDefect::kNone;
  EXPECT_THAT(VerifySvid(svid_.chain, bundles, kNow, &defect), Refused("is revoked"));
  EXPECT_EQ(defect, SvidDefect::kRevoked);
  EXPECT_THAT(VerifySvid(other_.chain, bundles, kNow), IsOk());
}

TEST_F(SvidRevocationTest, DeniesWhenTheListHasEndedOrBeginsLater) {
  const TrustBundleSet bundles = With({RootList({})});
  SvidDefect defect = SvidDefect::kNone;
  const absl::Time end = kNow + absl::Hours(1);
  EXPECT_THAT(VerifySvid(svid_.chain, bundles, end - absl::Minutes(2), &defect), IsOk());
  const TestIdentity longer = ca_.IssueSvid("/a", absl::Hours(5));
  EXPECT_THAT(VerifySvid(longer.chain, bundles, end - absl::Seconds(1), &defect), IsOk());
  EXPECT_THAT(VerifySvid(longer.chain, bundles, end + absl::Seconds(5), &defect),
              Refused("may be revoked, nobody knows: the revocation list of its issuer ended 5 s"));
  EXPECT_EQ(defect, SvidDefect::kRevocationUnknown);
  // thisUpdate is one hour before the time given.
  const TrustBundleSet soon = With({RootList({}, kNow + absl::Hours(1) + absl::Seconds(59))});
  EXPECT_THAT(VerifySvid(svid_.chain, soon, kNow), IsOk()) << "clocks differ a little";
  const TrustBundleSet later = With({RootList({}, kNow + absl::Hours(1) + absl::Minutes(5))});
  EXPECT_THAT(VerifySvid(svid_.chain, later, kNow, &defect), Refused("clock of this machine"));
  EXPECT_EQ(defect, SvidDefect::kRevocationUnknown);
}

TEST_F(SvidRevocationTest, DeniesByAnOldListTooWhenItNamesTheCertificate) {
  const RevocationListPtr old = RootList({svid_.chain[0]}, kNow - absl::Hours(12));
  EXPECT_THAT(VerifySvid(svid_.chain, With({RootList({}), old}), kNow), Refused("is revoked"));
  EXPECT_THAT(VerifySvid(other_.chain, With({old, RootList({})}), kNow), IsOk());
}

TEST_F(SvidRevocationTest, WantsAListOfEveryIssuerOfThePath) {
  const TestCa below = ca_.MakeIntermediate(ca_.IntermediateSpec());
  const TestIdentity deep = below.IssueSvid("/deep");
  const RevocationListPtr below_list = MakeCrl(*below.certificate(), below.key(), kNow);
  SvidDefect defect = SvidDefect::kNone;
  EXPECT_THAT(VerifySvid(deep.chain, With({RootList({})}), kNow, &defect),
              Refused("there are revocation lists, but none of its issuer"));
  EXPECT_EQ(defect, SvidDefect::kRevocationUnknown);
  EXPECT_THAT(VerifySvid(deep.chain, With({below_list}), kNow, &defect), Refused("none of its"));
  EXPECT_THAT(VerifySvid(deep.chain, With({below_list, RootList({})}), kNow), IsOk());
  EXPECT_THAT(
      VerifySvid(deep.chain, With({below_list, RootList({below.certificate()})}), kNow, &defect),
      Refused("is revoked"));
  EXPECT_EQ(defect, SvidDefect::kRevoked);
}

TEST_F(SvidRevocationTest, TakesNoListOfSomebodyElseOfTheSameName) {
  const TestCa impostor("td", kNow);
  SvidDefect defect = SvidDefect::kNone;
  const RevocationListPtr forged =
      MakeCrl(*impostor.root(), impostor.key(), kNow, {svid_.chain[0]});
  EXPECT_THAT(VerifySvid(svid_.chain, With({forged, RootList({})}), kNow), IsOk());
  EXPECT_THAT(VerifySvid(svid_.chain, With({forged}), kNow, &defect), Refused("none of its"));
}

TEST_F(SvidRevocationTest, AsksOnlyTheListsOfTheOwnTrustDomain) {
  const TestCa other("other", kNow);
  const TrustBundleSet bundles = *TrustBundleSet::Create(
      {{"td", {{ca_.root()}, {RootList({svid_.chain[0]})}}}, {"other", {{other.root()}}}});
  EXPECT_THAT(VerifySvid(other.IssueSvid("/a").chain, bundles, kNow), IsOk());
}

TEST_F(SvidRevocationTest, LeavesItToOthersToJudgeOnesOwn) {
  const TrustBundleSet bundles = With({RootList({svid_.chain[0]})});
  EXPECT_THAT(VerifyOwnSvid(svid_.chain, bundles, kNow), IsOk());
}

TEST_F(SvidRevocationTest, JudgesAgainAsOfTheEndButForRevocation) {
  const absl::Time not_after = svid_.chain[0]->not_after();
  const absl::Time later = not_after + absl::Minutes(30);
  SvidDefect defect = SvidDefect::kNone;
  EXPECT_THAT(ReverifySvid(svid_.chain, ca_.Bundles(), not_after, later, &defect), IsOk());
  EXPECT_THAT(ReverifySvid(svid_.chain, With({RootList({}, later)}), not_after, later, &defect),
              IsOk());
  EXPECT_THAT(ReverifySvid(svid_.chain, With({RootList({}, kNow)}), not_after, later, &defect),
              Refused("ended"));
  EXPECT_EQ(defect, SvidDefect::kRevocationUnknown);
  EXPECT_THAT(ReverifySvid(svid_.chain, With({RootList({svid_.chain[0]}, later)}), not_after, later,
                           &defect),
              Refused("is revoked"));
  EXPECT_EQ(defect, SvidDefect::kRevoked);
  const TestCa other("td", kNow);
  EXPECT_THAT(ReverifySvid(svid_.chain, other.Bundles(), not_after, later, &defect),
              Refused("not signed by a root"));
  EXPECT_EQ(defect, SvidDefect::kUnknownIssuer);
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
