#include "common/crypto/certificate.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_matchers.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

class CertificateTest : public ::testing::Test {
 protected:
  CertificatePtr Make(CertificateSpec spec) {
    spec.not_before = kStart;
    spec.not_after = kStart + absl::Hours(1);
    absl::StatusOr<CertificatePtr> made =
        BuildCertificate(spec, key_->PublicKeyDer(), nullptr, *key_);
    EXPECT_THAT(made, IsOk());
    return made.ok() ? *made : nullptr;
  }
  CertificatePtr MakeSimple() {
    CertificateSpec spec;
    spec.common_name = "a name";
    spec.uri_sans = {"spiffe://td/a"};
    return Make(spec);
  }
  std::shared_ptr<const PrivateKey> key_ = *PrivateKey::Generate();
};

TEST_F(CertificateTest, ReadsBackWhatWasWritten) {
  const CertificatePtr made = MakeSimple();
  ASSERT_OK_AND_ASSIGN(CertificatePtr read, Certificate::FromDer(made->der()));
  EXPECT_EQ(read->not_before(), kStart);
  EXPECT_EQ(read->not_after(), kStart + absl::Hours(1));
  EXPECT_THAT(read->uri_sans(), ElementsAre("spiffe://td/a"));
  EXPECT_EQ(read->Subject(), "CN=a name");
  EXPECT_FALSE(read->is_ca());
  EXPECT_THAT(read->SerialHex(), SizeIs(32));
  EXPECT_THAT(read->FingerprintHex(), SizeIs(64));
  EXPECT_TRUE(read->MatchesKey(*key_));
}

TEST_F(CertificateTest, DoesNotMatchAnotherKey) {
  ASSERT_OK_AND_ASSIGN(auto other, PrivateKey::Generate());
  EXPECT_FALSE(MakeSimple()->MatchesKey(*other));
}

TEST_F(CertificateTest, KeepsNulBytesInUris) {
  CertificateSpec spec;
  spec.common_name = "x";
  spec.uri_sans = {std::string("spiffe://td/a\0b", 15), ""};
  EXPECT_THAT(Make(spec)->uri_sans(), ElementsAre(std::string("spiffe://td/a\0b", 15), ""));
}

TEST_F(CertificateTest, ListsOnlyUrisAsUris) {
  CertificateSpec spec;
  spec.common_name = "x";
  spec.dns_sans = {"spiffe://td/dns"};
  spec.email_sans = {"spiffe://td/email"};
  EXPECT_THAT(Make(spec)->uri_sans(), SizeIs(0));
}

TEST_F(CertificateTest, IsForTheHostsItNamesAndNotForItsSubject) {
  CertificateSpec spec;
  spec.common_name = "subject.example";
  spec.uri_sans = {"spiffe://td/a"};
  spec.dns_sans = {"istiod.istio-system.svc"};
  const CertificatePtr made = Make(spec);
  EXPECT_TRUE(made->IsForHost("istiod.istio-system.svc"));
  EXPECT_TRUE(made->IsForHost("ISTIOD.istio-system.svc"));
  for (const std::string other :
       {"subject.example", "istio-system.svc", "spiffe://td/a", "10.0.0.1", ""}) {
    EXPECT_FALSE(made->IsForHost(other)) << other;
  }
}

TEST_F(CertificateTest, RefusesNamesThatAnotherReaderMightSeeDifferently) {
  const auto with_names = [this](const std::string& der) {
    CertificateSpec spec;
    spec.common_name = "x";
    spec.raw_extensions = {{"2.5.29.17", false, der}};
    return BuildCertificate(spec, key_->PublicKeyDer(), nullptr, *key_);
  };
  const auto malformed =
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("malformed or repeated"));
  ASSERT_OK_AND_ASSIGN(CertificatePtr good, with_names("\x30\x06\x86\x01u\x82\x01x"));
  EXPECT_THAT(good->uri_sans(), ElementsAre("u"));
  EXPECT_THAT(with_names(std::string("\x30\x00", 2)), malformed) << "no name";
  EXPECT_THAT(with_names("\x30\x05\xa6\x03\x16\x01u"), malformed) << "a constructed string";
  EXPECT_THAT(with_names("\x30\x03\x86\x01ux"), malformed) << "something after the list";
  EXPECT_THAT(with_names("\x30\x03\x86\x05u"), malformed) << "cut";
  CertificateSpec twice;
  twice.common_name = "x";
  twice.uri_sans = {"u"};
  twice.raw_extensions = {{"2.5.29.17", false, "\x30\x03\x86\x01v"}};
  EXPECT_THAT(BuildCertificate(twice, key_->PublicKeyDer(), nullptr, *key_), malformed);
}

TEST_F(CertificateTest, EscapesControlCharactersOfTheSubject) {
  CertificateSpec spec;
  spec.common_name = "a\nb";
  EXPECT_THAT(Make(spec)->Subject(), Not(HasSubstr("\n")));
}

TEST_F(CertificateTest, IsRefusedWhenCutOrFollowedByBytes) {
  const std::string der = MakeSimple()->der();
  for (size_t size = 0; size < der.size(); ++size) {
    EXPECT_THAT(Certificate::FromDer(der.substr(0, size)),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(Certificate::FromDer(der + "x"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 bytes after")));
}

TEST_F(CertificateTest, NeverCrashesOnAChangedByte) {
  const std::string der = MakeSimple()->der();
  for (size_t i = 0; i < der.size(); ++i) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string changed = der;
      changed[i] ^= flip;
      absl::StatusOr<CertificatePtr> read = Certificate::FromDer(changed);
      if (read.ok()) {
        (*read)->Subject();
        (*read)->SerialHex();
        (*read)->MatchesKey(*key_);
      }
    }
  }
}

TEST_F(CertificateTest, RefusesDistributionPointsThatWouldMultiplyTheIssuersName) {
  constexpr char kPoints[] = "2.5.29.31";
  const auto with_points = [this](const std::string& der) {
    CertificateSpec spec;
    spec.common_name = "x";
    spec.raw_extensions = {{kPoints, false, der}};
    return BuildCertificate(spec, key_->PublicKeyDer(), nullptr, *key_);
  };
  // SEQUENCE { SEQUENCE { [0] { [0] { [6] "h" } } } }: a full name.
  EXPECT_THAT(with_points("\x30\x09\x30\x07\xa0\x05\xa0\x03\x86\x01h"), IsOk());
  // [0] { [1] { SEQUENCE { commonName "x" } } }: a relative one.
  EXPECT_THAT(with_points("\x30\x10\x30\x0e\xa0\x0c\xa1\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01x"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("relative to its issuer")));
  EXPECT_THAT(with_points("\x30\x05\x30"), StatusIs(absl::StatusCode::kInvalidArgument,
                                                    HasSubstr("malformed CRL distribution")));
}

TEST_F(CertificateTest, IsRefusedUnparsedWhenTooLarge) {
  EXPECT_THAT(Certificate::FromDer(std::string(100 * 1024, '\x30')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 16384")));
}

TEST_F(CertificateTest, ListsPemInOrder) {
  const CertificatePtr one = MakeSimple(), two = MakeSimple();
  ASSERT_OK_AND_ASSIGN(
      auto list, Certificate::ListFromPem(absl::StrCat("\r\n", one->ToPem(), "\n", two->ToPem())));
  ASSERT_THAT(list, SizeIs(2));
  EXPECT_EQ(list[0]->der(), one->der());
  EXPECT_EQ(list[1]->der(), two->der());
}

TEST_F(CertificateTest, PassesOverWhatOpensslWritesAroundCertificates) {
  const std::string pem = MakeSimple()->ToPem();
  const std::string text = "Certificate:\n    Data:\n        Version: 3 (0x2)\n";
  const std::string bag = "Bag Attributes\n    localKeyID: 01\nsubject=CN = a\n\nissuer=CN = b\n\n";
  EXPECT_THAT(Certificate::ListFromPem(text + pem + bag + pem), IsOkAndHolds(SizeIs(2)));
}

TEST_F(CertificateTest, RefusesPemOfAnythingElse) {
  const std::string pem = MakeSimple()->ToPem();
  const std::string key_pem(key_->ToPem().view());
  EXPECT_THAT(Certificate::ListFromPem(""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without a certificate")));
  EXPECT_THAT(Certificate::ListFromPem(" \n "), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Certificate::ListFromPem("garbage"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Certificate::ListFromPem(pem + pem.substr(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("certificate 2")));
  EXPECT_THAT(Certificate::ListFromPem(pem.substr(0, pem.size() - 5)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no end line")));
  EXPECT_THAT(Certificate::ListFromPem("-----BEGIN CERTIFICATE-----\n!!\n"
                                       "-----END CERTIFICATE-----\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("base64")));
  EXPECT_THAT(Certificate::ListFromPem(std::string(2 * 1024 * 1024, ' ')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most")));
  EXPECT_THAT(Certificate::ListFromPem(pem + key_pem),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("BEGIN PRIVATE KEY")));
}

TEST_F(CertificateTest, NeverQuotesKeyMaterialOfAMisplacedFile) {
  const std::string key_pem(key_->ToPem().view());
  const std::string body = key_pem.substr(28, 20);
  EXPECT_THAT(Certificate::ListFromPem(key_pem),
              StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr(body))));
  EXPECT_THAT(Certificate::ListFromPem(key_pem.substr(28)),
              StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr(body))));
}

}  // namespace
}  // namespace byrnie
