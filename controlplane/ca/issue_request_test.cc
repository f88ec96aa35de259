#include "controlplane/ca/issue_request.h"

#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/crypto/pem.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class IssueRequestTest : public ::testing::Test {
 protected:
  IssueRequestTest() { istio_.set_csr(ToPem("csr", "CERTIFICATE REQUEST")); }
  absl::StatusOr<CertificateRequest> Read() { return ReadIstioRequest(istio_, caller_); }
  void SetMetadata(const char* name, const std::string& value) {
    (*istio_.mutable_metadata()->mutable_fields())[name].set_string_value(value);
  }

  const SpiffeId caller_ = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/app");
  istio::v1::auth::IstioCertificateRequest istio_;
};

auto Invalid(const std::string& why) {
  return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why));
}

TEST_F(IssueRequestTest, ReadsOurOwn) {
  byrnie::ca::v1::IssueRequest request;
  request.set_csr("csr");
  auto read = ReadIssueRequest(request);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->csr, "csr");
  EXPECT_EQ(read->ttl, absl::nullopt);
  request.mutable_ttl()->set_seconds(60);
  EXPECT_EQ(ReadIssueRequest(request)->ttl, absl::Minutes(1));
}

TEST_F(IssueRequestTest, ReadsIstios) {
  auto read = Read();
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->csr, "csr");
  EXPECT_EQ(read->ttl, absl::nullopt);
  istio_.set_validity_duration(86400);
  EXPECT_EQ(Read()->ttl, absl::Hours(24));
  istio_.set_validity_duration(std::numeric_limits<int64_t>::max());
  EXPECT_GT(*Read()->ttl, absl::Hours(24));
  istio_.set_validity_duration(-1);
  EXPECT_LT(*Read()->ttl, absl::ZeroDuration());
}

TEST_F(IssueRequestTest, TakesOneCsrAndNothingElse) {
  const std::string one = istio_.csr();
  istio_.set_csr("");
  EXPECT_THAT(Read(), Invalid("without a certificate request"));
  istio_.set_csr(one + one);
  EXPECT_THAT(Read(), Invalid("2 certificate requests"));
  istio_.set_csr(ToPem("csr", "PRIVATE KEY"));
  EXPECT_THAT(Read(), Invalid("-----BEGIN PRIVATE KEY-----"));
  istio_.set_csr("csr");
  EXPECT_THAT(Read(), Invalid("without a certificate request"));
  istio_.set_csr(std::string(40000, '-'));
  EXPECT_THAT(Read(), Invalid("40000 bytes"));
}

TEST_F(IssueRequestTest, TakesWhatOtherToolsWrite) {
  const std::string one = istio_.csr();
  for (const std::string& csr :
       {"Certificate Request:\n    Data:\n" + one, ToPem("csr", "NEW CERTIFICATE REQUEST")}) {
    istio_.set_csr(csr);
    const auto read = Read();
    ASSERT_THAT(read, IsOk()) << csr;
    EXPECT_EQ(read->csr, "csr");
  }
  istio_.set_csr(one + ToPem("csr", "NEW CERTIFICATE REQUEST"));
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(IssueRequestTest, RefusesMetadataThatAreNoText) {
  auto& fields = *istio_.mutable_metadata()->mutable_fields();
  for (const char* name : {"ImpersonatedIdentity", "CertSigner"}) {
    fields[name].set_number_value(1);
    EXPECT_THAT(Read(), Invalid(absl::StrCat(name, " is not a string")));
    fields.erase(name);
  }
  fields["WorkloadName"].set_number_value(1);
  EXPECT_THAT(Read(), IsOk());
}

TEST_F(IssueRequestTest, GivesNobodyACertificateOfSomebodyElse) {
  SetMetadata("WorkloadName", "app");
  SetMetadata("ImpersonatedIdentity", caller_.text());
  EXPECT_THAT(Read(), IsOk());
  SetMetadata("ImpersonatedIdentity", "spiffe://cluster.local/ns/demo/sa/other");
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("somebody else")));
}

TEST_F(IssueRequestTest, HasNoOtherSigner) {
  SetMetadata("CertSigner", "");
  EXPECT_THAT(Read(), IsOk());
  SetMetadata("CertSigner", "clusterissuers.cert-manager.io/x");
  EXPECT_THAT(Read(), Invalid("CertSigner"));
}

}  // namespace
}  // namespace byrnie
