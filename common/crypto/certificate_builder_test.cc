#include "common/crypto/certificate_builder.h"

#include <set>
#include <string>

#include "common/base/status_matchers.h"
#include "common/crypto/private_key.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/nid.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

CertificateSpec RootSpec() {
  CertificateSpec spec;
  spec.common_name = "root";
  spec.is_ca = true;
  spec.not_before = kStart;
  spec.not_after = kStart + absl::Hours(24);
  return spec;
}

CertificateSpec LeafSpec() {
  CertificateSpec spec;
  spec.uri_sans = {"spiffe://td/workload"};
  spec.not_before = kStart;
  spec.not_after = kStart + absl::Hours(1);
  return spec;
}

bool IsCritical(const Certificate& certificate, int nid) {
  const int at = X509_get_ext_by_NID(certificate.native(), nid, -1);
  EXPECT_GE(at, 0);
  return X509_EXTENSION_get_critical(X509_get_ext(certificate.native(), at)) != 0;
}

class CertificateBuilderTest : public ::testing::Test {
 protected:
  absl::StatusOr<CertificatePtr> Root(const CertificateSpec& spec) {
    return BuildCertificate(spec, root_key_->PublicKeyDer(), nullptr, *root_key_);
  }
  std::shared_ptr<const PrivateKey> root_key_ = *PrivateKey::Generate();
  std::shared_ptr<const PrivateKey> leaf_key_ = *PrivateKey::Generate();
};

TEST_F(CertificateBuilderTest, NamesIpAddresses) {
  CertificateSpec spec = RootSpec();
  spec.ip_sans = {std::string("\x0a\x00\x00\x01", 4), std::string("\xfd", 1) + std::string(15, 1)};
  ASSERT_OK_AND_ASSIGN(CertificatePtr made, Root(spec));
  EXPECT_EQ(X509_check_ip_asc(made->native(), "10.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(made->native(), "fd01:101:101:101:101:101:101:101", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(made->native(), "10.0.0.2", 0), 0);
  EXPECT_TRUE(made->IsForHost("10.0.0.1"));
}

TEST_F(CertificateBuilderTest, MakesASelfSignedRoot) {
  ASSERT_OK_AND_ASSIGN(CertificatePtr root, Root(RootSpec()));
  EXPECT_TRUE(root->is_ca());
  EXPECT_TRUE(IsCritical(*root, NID_basic_constraints));
  EXPECT_TRUE(IsCritical(*root, NID_key_usage));
  EXPECT_EQ(X509_get_key_usage(root->native()),
            uint32_t{X509v3_KU_KEY_CERT_SIGN | X509v3_KU_CRL_SIGN});
  EXPECT_EQ(X509_verify(root->native(), root_key_->native()), 1);
}

TEST_F(CertificateBuilderTest, MakesALeafAsX509SvidWants) {
  ASSERT_OK_AND_ASSIGN(CertificatePtr root, Root(RootSpec()));
  ASSERT_OK_AND_ASSIGN(CertificatePtr leaf, BuildCertificate(LeafSpec(), leaf_key_->PublicKeyDer(),
                                                             root.get(), *root_key_));
  EXPECT_FALSE(leaf->is_ca());
  EXPECT_EQ(leaf->Subject(), "");
  EXPECT_THAT(leaf->uri_sans(), ElementsAre("spiffe://td/workload"));
  EXPECT_TRUE(IsCritical(*leaf, NID_subject_alt_name));  // RFC 5280 section 4.1.2.6.
  EXPECT_TRUE(IsCritical(*leaf, NID_key_usage));
  EXPECT_EQ(X509_get_key_usage(leaf->native()), uint32_t{X509v3_KU_DIGITAL_SIGNATURE});
  EXPECT_EQ(X509_get_extended_key_usage(leaf->native()), uint32_t{XKU_SSL_SERVER | XKU_SSL_CLIENT});
  EXPECT_EQ(X509_check_issued(root->native(), leaf->native()), X509_V_OK);
  EXPECT_EQ(X509_verify(leaf->native(), root_key_->native()), 1);
  EXPECT_TRUE(leaf->MatchesKey(*leaf_key_));
}

TEST_F(CertificateBuilderTest, NeverRepeatsASerial) {
  std::set<std::string> serials;
  for (int i = 0; i < 50; ++i) {
    ASSERT_OK_AND_ASSIGN(CertificatePtr root, Root(RootSpec()));
    EXPECT_EQ(root->SerialHex().size(), 32u);
    serials.insert(root->SerialHex());
  }
  EXPECT_EQ(serials.size(), 50u);
}

TEST_F(CertificateBuilderTest, WritesThePathLength) {
  CertificateSpec spec = RootSpec();
  spec.path_length = 0;
  ASSERT_OK_AND_ASSIGN(CertificatePtr root, Root(spec));
  EXPECT_EQ(X509_get_pathlen(root->native()), 0);
}

TEST_F(CertificateBuilderTest, WritesTimesBeyondTheYear2050) {
  CertificateSpec spec = RootSpec();
  spec.not_after = absl::FromUnixSeconds(4'000'000'000);
  ASSERT_OK_AND_ASSIGN(CertificatePtr root, Root(spec));
  EXPECT_EQ(root->not_after(), absl::FromUnixSeconds(4'000'000'000));
}

TEST_F(CertificateBuilderTest, NamesWhatIsWrongWithTheSpec) {
  CertificateSpec spec = RootSpec();
  spec.common_name = std::string(65, 'x');
  EXPECT_THAT(Root(spec), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 64")));
  spec = RootSpec();
  spec.common_name = "";
  EXPECT_THAT(Root(spec), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("common name")));
  spec = RootSpec();
  spec.not_after = spec.not_before - absl::Seconds(1);
  EXPECT_THAT(Root(spec), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ends before")));
  spec = RootSpec();
  spec.not_after = absl::InfiniteFuture();
  EXPECT_THAT(Root(spec), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("validity")));
  spec = RootSpec();
  spec.is_ca = false;
  spec.path_length = 1;
  EXPECT_THAT(Root(spec), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("path length")));
}

TEST_F(CertificateBuilderTest, RefusesAKeyThatIsNotTheIssuersAndABrokenSubjectKey) {
  ASSERT_OK_AND_ASSIGN(CertificatePtr root, Root(RootSpec()));
  EXPECT_THAT(BuildCertificate(LeafSpec(), leaf_key_->PublicKeyDer(), root.get(), *leaf_key_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("CN=root")));
  EXPECT_THAT(BuildCertificate(LeafSpec(), "garbage", root.get(), *root_key_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("public key")));
  EXPECT_THAT(BuildCertificate(RootSpec(), leaf_key_->PublicKeyDer(), nullptr, *root_key_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("own key")));
  CertificateSpec nameless = LeafSpec();
  nameless.uri_sans = {};
  EXPECT_THAT(BuildCertificate(nameless, leaf_key_->PublicKeyDer(), root.get(), *root_key_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("subjectAltName")));
}

}  // namespace
}  // namespace byrnie
