#include "common/crypto/client_key.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/base/status_matchers.h"
#include "common/crypto/private_key.h"
#include "common/crypto/testing/other_keys.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/bio.h"
#include "openssl/evp.h"
#include "openssl/pem.h"
#include "openssl/rsa.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

SecretBytes Bytes(absl::string_view text) {
  return SecretBytes(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

// PKCS#1 or PKCS#8, with a password or without.
std::string Pem(EVP_PKEY* key, bool pkcs1, const char* password = nullptr) {
  const bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  const EVP_CIPHER* const cipher = password == nullptr ? nullptr : EVP_aes_128_cbc();
  const int size = password == nullptr ? 0 : static_cast<int>(strlen(password));
  const bool written = pkcs1 ? PEM_write_bio_RSAPrivateKey(bio.get(), EVP_PKEY_get0_RSA(key),
                                                           nullptr, nullptr, 0, nullptr, nullptr)
                             : PEM_write_bio_PKCS8PrivateKey(bio.get(), key, cipher, password, size,
                                                             nullptr, nullptr);
  EXPECT_TRUE(written);
  const uint8_t* data = nullptr;
  size_t length = 0;
  EXPECT_TRUE(BIO_mem_contents(bio.get(), &data, &length));
  return std::string(reinterpret_cast<const char*>(data), length);
}

TEST(ClientKeyTest, ReadsWhateverAuthoritiesMake) {
  const bssl::UniquePtr<EVP_PKEY> rsa = NewRsaKey(2048);
  for (const bool pkcs1 : {false, true}) {
    ASSERT_OK_AND_ASSIGN(const auto key, ClientKey::FromPem(Bytes(Pem(rsa.get(), pkcs1))));
    EXPECT_EQ(EVP_PKEY_cmp(key->native(), rsa.get()), 1);
  }
  ASSERT_OK_AND_ASSIGN(const auto p256, PrivateKey::Generate());
  ASSERT_OK_AND_ASSIGN(const auto key, ClientKey::FromPem(p256->ToPem()));
  EXPECT_EQ(EVP_PKEY_cmp(key->native(), p256->native()), 1);
}

TEST(ClientKeyTest, SkipsWhatStandsBeforeTheKey) {
  const bssl::UniquePtr<EVP_PKEY> rsa = NewRsaKey(2048);
  const std::string text =
      absl::StrCat("a comment\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                   Pem(rsa.get(), true));
  EXPECT_THAT(ClientKey::FromPem(Bytes(text)), IsOk());
}

TEST(ClientKeyTest, RefusesWhatIsNoKeyQuotingNothing) {
  const bssl::UniquePtr<EVP_PKEY> rsa = NewRsaKey(2048);
  for (const std::string& text :
       {std::string(), std::string("hunter2"), Pem(rsa.get(), false, "hunter2"),
        std::string("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n")}) {
    const absl::Status status = ClientKey::FromPem(Bytes(text)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter2")));
  }
}

}  // namespace
}  // namespace byrnie
