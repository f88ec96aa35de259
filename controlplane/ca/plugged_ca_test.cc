#include "controlplane/ca/plugged_ca.h"

#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/crypto/ca_key.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "common/crypto/revocation_list_builder.h"
#include "common/crypto/testing/other_keys.h"
#include "common/identity/svid_verifier.h"
#include "common/identity/trust_bundle.h"
#include "common/tls/testing/test_ca.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/bio.h"
#include "openssl/bytestring.h"
#include "openssl/evp.h"
#include "openssl/nid.h"
#include "openssl/pem.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class PluggedCaTest : public ::testing::Test {
 protected:
  PluggedCaTest() { ::mkdir(directory_.c_str(), 0700); }

  void Write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    ASSERT_THAT(WriteFileAtomically(directory_ + "/" + name, text, mode), IsOk());
  }
  void WriteKey(const TestCa& ca, mode_t mode = 0600) {
    const SecretBytes pem = ca.key().ToPem();
    Write("ca-key.pem", std::string(pem.view()), mode);
  }
  void Plug(const TestCa& issuer, const std::string& chain, const TestCa& root) {
    Write("ca-cert.pem", issuer.certificate()->ToPem());
    WriteKey(issuer);
    Write("root-cert.pem", root.certificate()->ToPem());
    Write("cert-chain.pem", chain);
  }
  absl::StatusOr<std::unique_ptr<PluggedCa>> Create() {
    return PluggedCa::Create(directory_, "cluster.local", &clock_, &logger_, &metrics_);
  }
  // A certificate of it, as a peer that has only the roots would judge it.
  absl::StatusOr<VerifiedSvid> IssueAndVerify(const AuthoritySnapshot& snapshot) {
    auto key = PrivateKey::Generate();
    auto chain =
        snapshot.signer->Sign(*SpiffeId::Parse("spiffe://cluster.local/a"), (*key)->PublicKeyDer(),
                              clock_.WallNow(), clock_.WallNow() + absl::Hours(1));
    if (!chain.ok()) return chain.status();
    return VerifySvid(*chain, *TrustBundleSet::Create({{"cluster.local", {snapshot.roots}}}),
                      clock_.WallNow());
  }
  struct OtherCa {
    std::string pem;  // Of the key.
    std::shared_ptr<const IssuerKey> key;
    CertificatePtr certificate;
  };
  OtherCa MakeOther(const EVP_PKEY& native, const OtherCa* issuer) {
    bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
    const uint8_t* text;
    size_t size;
    EXPECT_TRUE(
        PEM_write_bio_PKCS8PrivateKey(bio.get(), &native, nullptr, nullptr, 0, nullptr, nullptr) &&
        BIO_mem_contents(bio.get(), &text, &size));
    OtherCa made;
    made.pem.assign(reinterpret_cast<const char*>(text), size);
    made.key = *ParseCaKey(SecretBytes(absl::MakeConstSpan(text, size)));
    bssl::ScopedCBB spki;
    EXPECT_TRUE(CBB_init(spki.get(), 256) && EVP_marshal_public_key(spki.get(), &native));
    CertificateSpec spec = root_.IntermediateSpec();
    spec.common_name = issuer == nullptr ? "root of another kind" : "intermediate";
    auto certificate = BuildCertificate(
        spec,
        absl::string_view(reinterpret_cast<const char*>(CBB_data(spki.get())), CBB_len(spki.get())),
        issuer == nullptr ? nullptr : issuer->certificate.get(),
        issuer == nullptr ? *made.key : *issuer->key);
    EXPECT_THAT(certificate, IsOk());
    made.certificate = *certificate;
    return made;
  }
  OtherCa SelfSigned(const EVP_PKEY& native) { return MakeOther(native, nullptr); }
  OtherCa Below(const OtherCa& issuer, const EVP_PKEY& native) {
    return MakeOther(native, &issuer);
  }
  void ExpectRefused(const std::string& words) {
    MetricRegistry metrics;
    EXPECT_THAT(PluggedCa::Create(directory_, "cluster.local", &clock_, &logger_, &metrics)
                    .status()
                    .message(),
                HasSubstr(words));
  }

  const std::string directory_ =
      ::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
  FakeClock clock_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  const TestCa root_{"cluster.local", clock_.WallNow()};
  const TestCa middle_ = root_.MakeIntermediate(root_.IntermediateSpec());
};

TEST_F(PluggedCaTest, ARootThatSignsItself) {
  Plug(root_, "", root_);
  auto ca = Create();
  ASSERT_THAT(ca, IsOk());
  EXPECT_THAT(IssueAndVerify(*(*ca)->snapshot()), IsOk());
  EXPECT_EQ((*ca)->snapshot()->signer->root_id(), root_.certificate()->FingerprintHex());
}

TEST_F(PluggedCaTest, AnIntermediateUnderAnOfflineRoot) {
  for (const std::string& chain : {std::string(), middle_.certificate()->ToPem(),
                                   middle_.certificate()->ToPem() + root_.certificate()->ToPem()}) {
    Plug(middle_, chain, root_);
    MetricRegistry metrics;
    auto ca = PluggedCa::Create(directory_, "cluster.local", &clock_, &logger_, &metrics);
    ASSERT_THAT(ca, IsOk());
    EXPECT_THAT(IssueAndVerify(*(*ca)->snapshot()), IsOk());
    EXPECT_THAT((*ca)->snapshot()->roots, SizeIs(1));
  }
}

// As Istio's own scripts make them, RSA, and as others do.
TEST_F(PluggedCaTest, KeysOfOtherKinds) {
  const bssl::UniquePtr<EVP_PKEY> rsa = NewRsaKey(2048), ec = NewEcKey(NID_secp384r1);
  for (const EVP_PKEY* native : {rsa.get(), ec.get()}) {
    const OtherCa root = SelfSigned(*native);
    const OtherCa middle = Below(root, *NewRsaKey(2048));
    Write("ca-cert.pem", middle.certificate->ToPem());
    Write("ca-key.pem", middle.pem);
    Write("root-cert.pem", root.certificate->ToPem());
    Write("cert-chain.pem", middle.certificate->ToPem() + root.certificate->ToPem());
    MetricRegistry metrics;
    auto ca = PluggedCa::Create(directory_, "cluster.local", &clock_, &logger_, &metrics);
    ASSERT_THAT(ca, IsOk());
    EXPECT_THAT(IssueAndVerify(*(*ca)->snapshot()), IsOk());
    RevocationListSpec list;
    list.this_update = clock_.WallNow();
    list.next_update = clock_.WallNow() + absl::Hours(1);
    EXPECT_THAT(BuildRevocationList(list, (*ca)->snapshot()->signer->issuer(),
                                    (*ca)->snapshot()->signer->key()),
                IsOk());
    Write("ca-key.pem", root.pem);
    ExpectRefused("is not the key of");
  }
}

TEST_F(PluggedCaTest, TwoIntermediatesInAChain) {
  const TestCa lower = middle_.MakeIntermediate(middle_.IntermediateSpec());
  Plug(lower, lower.certificate()->ToPem() + middle_.certificate()->ToPem(), root_);
  auto ca = Create();
  ASSERT_THAT(ca, IsOk());
  EXPECT_THAT(IssueAndVerify(*(*ca)->snapshot()), IsOk());
  Plug(lower, "", root_);
  ExpectRefused("is not signed by a root");
}

TEST_F(PluggedCaTest, ALeafIsNoLongerThanTheIntermediate) {
  CertificateSpec spec = root_.IntermediateSpec();
  spec.not_after = clock_.WallNow() + absl::Minutes(10);
  Plug(root_.MakeIntermediate(spec), "", root_);
  auto ca = Create();
  ASSERT_THAT(ca, IsOk());
  auto svid = IssueAndVerify(*(*ca)->snapshot());
  ASSERT_THAT(svid, IsOk());
  EXPECT_EQ(svid->not_after, spec.not_after);
}

TEST_F(PluggedCaTest, SaysWhatIsWrongWithTheFiles) {
  ExpectRefused("ca-cert.pem");
  Plug(middle_, "", root_);
  WriteKey(root_);
  ExpectRefused("is not the key of");
  WriteKey(middle_, 0644);
  ExpectRefused("chmod 600");
  Write("ca-key.pem", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n");
  ExpectRefused("not exactly one private key");
  WriteKey(middle_);
  Write("ca-cert.pem", middle_.certificate()->ToPem() + root_.certificate()->ToPem());
  ExpectRefused("holds 2 certificates");
  Write("ca-cert.pem", middle_.certificate()->ToPem());
  const TestCa other("cluster.local", clock_.WallNow());
  Write("root-cert.pem", other.certificate()->ToPem());
  ExpectRefused("is not signed by a root");
  ::unlink((directory_ + "/root-cert.pem").c_str());
  ExpectRefused("root-cert.pem");
}

TEST_F(PluggedCaTest, RefusesAnIntermediateThatMayNotSign) {
  CertificateSpec spec = root_.IntermediateSpec();
  spec.omit_cert_sign = true;
  Plug(root_.MakeIntermediate(spec), "", root_);
  ExpectRefused("would be refused");
  spec = root_.IntermediateSpec();
  spec.not_before = clock_.WallNow() - absl::Hours(1);
  spec.not_after = clock_.WallNow() - absl::Minutes(1);
  Plug(root_.MakeIntermediate(spec), "", root_);
  ExpectRefused("expired");
  spec.not_before = clock_.WallNow() + absl::Minutes(5);
  spec.not_after = clock_.WallNow() + absl::Hours(1);
  Plug(root_.MakeIntermediate(spec), "", root_);
  ExpectRefused("valid from");
}

TEST_F(PluggedCaTest, RefusesAPathThatIsTooLong) {
  CertificateSpec spec = root_.IntermediateSpec();
  spec.path_length = 0;
  const TestCa narrow = root_.MakeIntermediate(spec);
  const TestCa below = narrow.MakeIntermediate(narrow.IntermediateSpec());
  Plug(below, narrow.certificate()->ToPem(), root_);
  ExpectRefused("would be refused");
}

TEST_F(PluggedCaTest, FollowsTheFilesAndKeepsTheLastGoodOnes) {
  Plug(middle_, "", root_);
  auto ca = Create();
  ASSERT_THAT(ca, IsOk());
  EXPECT_FALSE((*ca)->Poll());
  const AuthoritySnapshotPtr before = (*ca)->snapshot();
  // Replaced file by file: the certificate comes before its key.
  const TestCa other = root_.MakeIntermediate(root_.IntermediateSpec());
  Write("ca-cert.pem", other.certificate()->ToPem());
  EXPECT_FALSE((*ca)->Poll());
  EXPECT_EQ((*ca)->snapshot(), before);
  WriteKey(other);
  EXPECT_TRUE((*ca)->Poll());
  EXPECT_NE((*ca)->snapshot(), before);
  EXPECT_EQ((*ca)->snapshot()->signer->issuer().der(), other.certificate()->der());
  EXPECT_THAT(IssueAndVerify(*(*ca)->snapshot()), IsOk());
  ::unlink((directory_ + "/ca-cert.pem").c_str());
  EXPECT_FALSE((*ca)->Poll());
  EXPECT_THAT(IssueAndVerify(*(*ca)->snapshot()), IsOk());
}

TEST_F(PluggedCaTest, PublishesAllRootsWhileTheyAreReplaced) {
  const TestCa other("cluster.local", clock_.WallNow());
  Plug(middle_, "", root_);
  Write("root-cert.pem", other.certificate()->ToPem() + root_.certificate()->ToPem());
  auto ca = Create();
  ASSERT_THAT(ca, IsOk());
  EXPECT_THAT((*ca)->snapshot()->roots, SizeIs(2));
  EXPECT_EQ((*ca)->snapshot()->signer->root_id(), root_.certificate()->FingerprintHex());
}

}  // namespace
}  // namespace byrnie
