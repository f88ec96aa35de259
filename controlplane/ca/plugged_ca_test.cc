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
#include "common/identity/svid_verifier.h"
#include "common/identity/trust_bundle.h"
#include "common/tls/testing/test_ca.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

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
  ExpectRefused("P-256");
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
