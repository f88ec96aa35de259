#include "common/crypto/csr.h"

#include <string>

#include "common/base/status_matchers.h"
#include "common/crypto/key_type.h"
#include "common/crypto/private_key.h"
#include "common/crypto/testing/other_keys.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/digest.h"
#include "openssl/evp.h"
#include "openssl/mem.h"
#include "openssl/nid.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

TEST(CsrTest, ProvesItsKey) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  ASSERT_OK_AND_ASSIGN(std::string csr, CreateCsr(*key, "spiffe://cluster.local/ns/a/sa/b"));
  EXPECT_THAT(VerifyCsr(csr), IsOkAndHolds(key->PublicKeyDer()));
}

TEST(CsrTest, NeedsNoSubjectAltName) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  ASSERT_OK_AND_ASSIGN(std::string csr, CreateCsr(*key, ""));
  EXPECT_THAT(VerifyCsr(csr), IsOkAndHolds(key->PublicKeyDer()));
}

TEST(CsrTest, IsRefusedWhenAnyByteIsChanged) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  ASSERT_OK_AND_ASSIGN(const std::string csr, CreateCsr(*key, "spiffe://cluster.local/x"));
  for (size_t i = 0; i < csr.size(); ++i) {
    std::string changed = csr;
    changed[i] ^= 0x01;
    EXPECT_THAT(VerifyCsr(changed), StatusIs(absl::StatusCode::kInvalidArgument)) << i;
  }
}

TEST(CsrTest, IsRefusedWhenCutOrFollowedByBytesOrTooLarge) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  ASSERT_OK_AND_ASSIGN(const std::string csr, CreateCsr(*key, ""));
  for (size_t size = 0; size < csr.size(); ++size) {
    EXPECT_THAT(VerifyCsr(csr.substr(0, size)), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(VerifyCsr(csr + "x"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(VerifyCsr(std::string(16 * 1024 + 1, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 16384")));
}

std::string CsrOf(EVP_PKEY* key, const EVP_MD* digest = EVP_sha256()) {
  bssl::UniquePtr<X509_REQ> request(X509_REQ_new());
  EXPECT_TRUE(X509_REQ_set_pubkey(request.get(), key) && X509_REQ_sign(request.get(), key, digest));
  uint8_t* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  EXPECT_GT(size, 0);
  std::string csr(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return csr;
}

TEST(CsrTest, IsRefusedWhereItsDigestIsWeak) {
  const KeyTypes all = {KeyType::kP256, KeyType::kRsa};
  const auto ec = NewEcKey(NID_X9_62_prime256v1), rsa = NewRsaKey(2048);
  for (EVP_PKEY* key : {ec.get(), rsa.get()}) {
    EXPECT_THAT(VerifyCsr(CsrOf(key, EVP_sha1()), all),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("SHA-1")));
    EXPECT_THAT(VerifyCsr(CsrOf(key, EVP_sha384()), all), IsOk());
  }
}

TEST(CsrTest, IsRefusedForKeysThatAreNotOfATypeThatIsTaken) {
  const std::string p384 = CsrOf(NewEcKey(NID_secp384r1).get()), rsa = CsrOf(NewRsaKey(2048).get());
  for (const std::string& csr : {p384, rsa}) {
    EXPECT_THAT(VerifyCsr(csr), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("P-256")));
  }
  EXPECT_THAT(VerifyCsr(p384, {KeyType::kP384}), IsOk());
  EXPECT_THAT(VerifyCsr(rsa, {KeyType::kP256, KeyType::kRsa}), IsOk());
  EXPECT_THAT(VerifyCsr(rsa, {KeyType::kP384}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not P-384")));
}

TEST(CsrTest, IsRefusedForOtherCurvesAndShortRsaKeysWhateverIsTaken) {
  const KeyTypes all = {KeyType::kP256, KeyType::kP384, KeyType::kRsa};
  for (const std::string& csr :
       {CsrOf(NewEcKey(NID_secp521r1).get()), CsrOf(NewRsaKey(1024).get())}) {
    EXPECT_THAT(VerifyCsr(csr, all),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("is not P-256 or P-384 or RSA of 2048 to 4096 bits")));
  }
}

TEST(KeyTypesTest, AreReadByName) {
  EXPECT_THAT(ParseKeyTypes("p256"), IsOkAndHolds(KeyTypes{KeyType::kP256}));
  EXPECT_THAT(ParseKeyTypes("rsa,p384,rsa"), IsOkAndHolds(KeyTypes{KeyType::kP384, KeyType::kRsa}));
  for (const char* const text : {"", "p256,", "P256", "ed25519"}) {
    EXPECT_THAT(ParseKeyTypes(text), StatusIs(absl::StatusCode::kInvalidArgument,
                                              HasSubstr("none of p256, p384 and rsa")));
  }
}

}  // namespace
}  // namespace byrnie
