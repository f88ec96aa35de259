#include "common/crypto/csr.h"

#include <string>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/ec_key.h"
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

TEST(CsrTest, IsRefusedForKeysThatAreNotP256) {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_secp384r1));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  ASSERT_TRUE(EC_KEY_generate_key(ec.get()) && EVP_PKEY_set1_EC_KEY(key.get(), ec.get()));
  bssl::UniquePtr<X509_REQ> request(X509_REQ_new());
  ASSERT_TRUE(X509_REQ_set_pubkey(request.get(), key.get()) &&
              X509_REQ_sign(request.get(), key.get(), EVP_sha256()));
  uint8_t* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  ASSERT_GT(size, 0);
  const std::string csr(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  EXPECT_THAT(VerifyCsr(csr), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("P-256")));
}

}  // namespace
}  // namespace byrnie
