#include "certagent/istio_messages.h"

#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_matchers.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/csr.h"
#include "common/crypto/private_key.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::istio::v1::auth::IstioCertificateResponse;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);

class IstioMessagesTest : public ::testing::Test {
 protected:
  CertificatePtr Make(const std::string& name, bool is_ca) {
    CertificateSpec spec;
    spec.common_name = name;
    spec.is_ca = is_ca;
    spec.not_before = kNow;
    spec.not_after = kNow + absl::Hours(1);
    return *BuildCertificate(spec, key_->PublicKeyDer(), nullptr, *key_);
  }
  const std::shared_ptr<const PrivateKey> key_ = *PrivateKey::Generate();
  const CertificatePtr leaf_ = Make("leaf", false);
  const CertificatePtr intermediate_ = Make("intermediate", true);
  const CertificatePtr root_ = Make("root", true);
  const CertificatePtr other_root_ = Make("other root", true);
  IstioCertificateResponse response_;
};

TEST_F(IstioMessagesTest, TakesTheLastElementForTheRoots) {
  response_.add_cert_chain(leaf_->ToPem());
  response_.add_cert_chain(intermediate_->ToPem());
  response_.add_cert_chain(absl::StrCat(root_->ToPem(), other_root_->ToPem()));
  ASSERT_OK_AND_ASSIGN(IstioCertificate parsed, ParseIstioResponse(response_));
  ASSERT_THAT(parsed.chain, SizeIs(2));
  EXPECT_EQ(parsed.chain[0]->der(), leaf_->der());
  EXPECT_EQ(parsed.chain[1]->der(), intermediate_->der());
  EXPECT_THAT(parsed.roots, SizeIs(2));
}

TEST_F(IstioMessagesTest, TakesSeveralCertificatesInOneElement) {
  response_.add_cert_chain(absl::StrCat(leaf_->ToPem(), intermediate_->ToPem()));
  response_.add_cert_chain(root_->ToPem());
  ASSERT_OK_AND_ASSIGN(IstioCertificate parsed, ParseIstioResponse(response_));
  EXPECT_THAT(parsed.chain, SizeIs(2));
}

TEST_F(IstioMessagesTest, KnowsEqualRootsInWhateverOrder) {
  response_.add_cert_chain(leaf_->ToPem());
  response_.add_cert_chain(
      absl::StrCat(root_->ToPem(), other_root_->ToPem(), "\n", root_->ToPem()));
  ASSERT_OK_AND_ASSIGN(IstioCertificate one, ParseIstioResponse(response_));
  response_.set_cert_chain(1, absl::StrCat(other_root_->ToPem(), root_->ToPem()));
  ASSERT_OK_AND_ASSIGN(IstioCertificate other, ParseIstioResponse(response_));
  ASSERT_THAT(one.roots, SizeIs(2));
  ASSERT_THAT(other.roots, SizeIs(2));
  EXPECT_EQ(one.roots[0]->der(), other.roots[0]->der());
  EXPECT_EQ(one.roots[1]->der(), other.roots[1]->der());
}

TEST_F(IstioMessagesTest, RefusesAChainWithoutRoots) {
  EXPECT_THAT(ParseIstioResponse(response_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 elements")));
  response_.add_cert_chain(leaf_->ToPem());
  EXPECT_THAT(ParseIstioResponse(response_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 elements")));
}

TEST_F(IstioMessagesTest, NamesTheElementThatIsNoCertificate) {
  response_.add_cert_chain(leaf_->ToPem());
  response_.add_cert_chain("garbage");
  response_.add_cert_chain(root_->ToPem());
  EXPECT_THAT(ParseIstioResponse(response_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cert_chain[1]")));
  response_.set_cert_chain(1, leaf_->ToPem());
  response_.set_cert_chain(2, "");
  EXPECT_THAT(ParseIstioResponse(response_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cert_chain[2]")));
}

TEST_F(IstioMessagesTest, RefusesAnEndlessChain) {
  for (int i = 0; i < 10; ++i) response_.add_cert_chain(leaf_->ToPem());
  EXPECT_THAT(ParseIstioResponse(response_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 8")));
}

TEST_F(IstioMessagesTest, WritesRequestsAsPem) {
  const std::string der = *CreateCsr(*key_, "");
  const std::string pem = CsrToPem(der);
  const std::string body = absl::StrReplaceAll(pem, {{"-----BEGIN CERTIFICATE REQUEST-----", ""},
                                                     {"-----END CERTIFICATE REQUEST-----", ""},
                                                     {"\n", ""}});
  std::string decoded;
  ASSERT_TRUE(absl::Base64Unescape(body, &decoded));
  EXPECT_EQ(decoded, der);
}

TEST_F(IstioMessagesTest, NamesTheFlagWhenTheLifeAskedForIsTooLong) {
  const absl::Status refused = absl::InvalidArgumentError(
      "requested TTL 48h0m0s is greater than the max allowed TTL 24h0m0s");
  EXPECT_THAT(ExplainIstioError(refused, absl::Hours(48)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--certificate_ttl")));
  EXPECT_EQ(ExplainIstioError(refused, absl::ZeroDuration()), refused);
  const absl::Status other = absl::InvalidArgumentError("CSR does not parse");
  EXPECT_EQ(ExplainIstioError(other, absl::Hours(48)), other);
}

}  // namespace
}  // namespace byrnie
