#include "common/crypto/revocation_list.h"

#include <string>

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

class RevocationListTest : public ::testing::Test {
 protected:
  TestCrlSpec GoodSpec() const {
    TestCrlSpec spec;
    spec.this_update = kNow - absl::Hours(1);
    spec.next_update = kNow + absl::Hours(1);
    spec.revoked = {one_, two_};
    return spec;
  }
  std::string Der(const TestCrlSpec& spec) const {
    return MakeCrlDer(spec, *ca_.root(), ca_.key());
  }
  absl::StatusOr<RevocationListPtr> Read(const TestCrlSpec& spec) const {
    return RevocationList::FromDer(Der(spec));
  }

  const TestCa ca_{"td", kNow}, other_{"td", kNow};
  const CertificatePtr one_ = ca_.IssueSvid("/one").chain[0];
  const CertificatePtr two_ = ca_.IssueSvid("/two").chain[0];
  const CertificatePtr three_ = ca_.IssueSvid("/three").chain[0];
};

MATCHER_P(Invalid, why, "") {
  return ::testing::ExplainMatchResult(StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)),
                                       arg, result_listener);
}

TEST_F(RevocationListTest, SaysWhoIsRevokedAndForHowLongThatHolds) {
  ASSERT_OK_AND_ASSIGN(RevocationListPtr list, Read(GoodSpec()));
  EXPECT_EQ(list->size(), 2u);
  EXPECT_TRUE(list->Lists(*one_));
  EXPECT_TRUE(list->Lists(*two_));
  EXPECT_FALSE(list->Lists(*three_));
  EXPECT_EQ(list->this_update(), kNow - absl::Hours(1));
  EXPECT_EQ(list->next_update(), kNow + absl::Hours(1));
  EXPECT_EQ(list->issuer(), ca_.root()->Subject());
}

TEST_F(RevocationListTest, MayBeEmpty) {
  TestCrlSpec spec = GoodSpec();
  spec.revoked.clear();
  ASSERT_OK_AND_ASSIGN(RevocationListPtr list, Read(spec));
  EXPECT_EQ(list->size(), 0u);
  EXPECT_FALSE(list->Lists(*one_));
}

TEST_F(RevocationListTest, BelongsOnlyToTheIssuerThatSignedIt) {
  ASSERT_OK_AND_ASSIGN(RevocationListPtr list, Read(GoodSpec()));
  EXPECT_TRUE(list->IsIssuedBy(*ca_.root()));
  EXPECT_TRUE(list->IsIssuedBy(*ca_.root())) << "the same answer when asked again";
  EXPECT_FALSE(list->IsIssuedBy(*other_.root())) << "the same name, another key";
  EXPECT_FALSE(list->IsIssuedBy(*one_));
  std::string forged = list->der();
  forged[forged.size() - 1] ^= 1;
  absl::StatusOr<RevocationListPtr> bad = RevocationList::FromDer(forged);
  EXPECT_FALSE(bad.ok() && (*bad)->IsIssuedBy(*ca_.root()));
}

TEST_F(RevocationListTest, IsNoListOfAnIssuerThatMayNotSignLists) {
  CertificateSpec spec = ca_.IntermediateSpec();
  spec.omit_crl_sign = true;
  const TestCa below = ca_.MakeIntermediate(spec);
  const std::string der = MakeCrlDer(GoodSpec(), *below.certificate(), below.key());
  ASSERT_OK_AND_ASSIGN(RevocationListPtr list, RevocationList::FromDer(der));
  EXPECT_FALSE(list->IsIssuedBy(*below.certificate()));
}

TEST_F(RevocationListTest, RefusesWhatItCannotVouchFor) {
  TestCrlSpec spec = GoodSpec();
  spec.next_update.reset();
  EXPECT_THAT(Read(spec), Invalid("without nextUpdate"));
  spec.next_update = spec.this_update;
  EXPECT_THAT(Read(spec), Invalid("ends before it begins"));
  spec = GoodSpec();
  spec.version_1 = true;
  EXPECT_THAT(Read(spec), Invalid("not of version 2"));
  spec = GoodSpec();
  spec.sha1 = true;
  EXPECT_THAT(Read(spec), Invalid("signature algorithm"));
  spec = GoodSpec();
  spec.critical_extensions = {"1.3.6.1.4.1.55555.1"};
  EXPECT_THAT(Read(spec), Invalid("critical extension 1.3.6.1.4.1.55555.1 in its list"));
  spec = GoodSpec();
  spec.critical_entry_extensions = {"2.5.29.29"};  // certificateIssuer: an indirect list.
  EXPECT_THAT(Read(spec), Invalid("critical extension 2.5.29.29 in its entry"));
}

TEST_F(RevocationListTest, RefusesDeltaAndPartialListsEvenWhenNotMarkedCritical) {
  for (const bool critical : {false, true}) {
    TestCrlSpec delta = GoodSpec(), partial = GoodSpec();
    (critical ? delta.critical_extensions : delta.extensions) = {"2.5.29.27"};
    (critical ? partial.critical_extensions : partial.extensions) = {"2.5.29.28"};
    EXPECT_THAT(Read(delta), Invalid("delta"));
    EXPECT_THAT(Read(partial), Invalid("a part of its issuer's certificates"));
  }
}

TEST_F(RevocationListTest, TakesExtensionsThatDoNotChangeItsMeaning) {
  TestCrlSpec spec = GoodSpec();
  spec.extensions = {"2.5.29.20", "2.5.29.35", "1.3.6.1.4.1.55555.1"};
  EXPECT_THAT(Read(spec), IsOk());
}

TEST_F(RevocationListTest, IsRefusedWhenCutOrFollowedByBytes) {
  const std::string der = Der(GoodSpec());
  for (size_t size = 0; size < der.size(); ++size) {
    EXPECT_THAT(RevocationList::FromDer(der.substr(0, size)), Invalid(""));
  }
  EXPECT_THAT(RevocationList::FromDer(der + "x"), Invalid("1 bytes after"));
  EXPECT_THAT(RevocationList::FromDer(std::string(RevocationList::kMaxDerSize + 1, '\x30')),
              Invalid("at most 1048576"));
}

TEST_F(RevocationListTest, NeverPassesForItsIssuersWithAChangedByte) {
  const std::string der = Der(GoodSpec());
  for (size_t i = 0; i < der.size(); ++i) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string changed = der;
      changed[i] ^= flip;
      absl::StatusOr<RevocationListPtr> read = RevocationList::FromDer(changed);
      EXPECT_FALSE(read.ok() && (*read)->IsIssuedBy(*ca_.root())) << "byte " << i;
    }
  }
}

TEST_F(RevocationListTest, ReadsFilesOfEitherForm) {
  const std::string der = Der(GoodSpec());
  ASSERT_OK_AND_ASSIGN(RevocationListPtr list, RevocationList::FromDer(der));
  ASSERT_OK_AND_ASSIGN(auto from_der, RevocationList::ListFromFile(der));
  EXPECT_THAT(from_der, SizeIs(1));
  ASSERT_OK_AND_ASSIGN(auto from_pem, RevocationList::ListFromFile(
                                          absl::StrCat("\n", list->ToPem(), list->ToPem())));
  ASSERT_THAT(from_pem, SizeIs(2));
  EXPECT_EQ(from_pem[1]->der(), der);
  // As openssl crl -text and openssl ca write it.
  EXPECT_THAT(RevocationList::ListFromFile(absl::StrCat(
                  "\xEF\xBB\xBF", "Certificate Revocation List (CRL):\n", list->ToPem())),
              IsOkAndHolds(SizeIs(1)));
  EXPECT_THAT(RevocationList::ListFromFile(""), Invalid("not a revocation list"));
  EXPECT_THAT(RevocationList::ListFromFile(one_->ToPem()), Invalid("BEGIN CERTIFICATE"));
}

}  // namespace
}  // namespace byrnie
