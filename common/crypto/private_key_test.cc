#include "common/crypto/private_key.h"

#include <string>
#include <type_traits>

#include "absl/strings/match.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/bio.h"
#include "openssl/bytestring.h"
#include "openssl/ec_key.h"
#include "openssl/evp.h"
#include "openssl/mem.h"
#include "openssl/nid.h"
#include "openssl/pem.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

SecretBytes EncodePkcs8OnCurve(int nid) {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(nid));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  EXPECT_TRUE(EC_KEY_generate_key(ec.get()) && EVP_PKEY_set1_EC_KEY(key.get(), ec.get()));
  bssl::ScopedCBB cbb;
  EXPECT_TRUE(CBB_init(cbb.get(), 64) && EVP_marshal_private_key(cbb.get(), key.get()));
  return SecretBytes(absl::MakeConstSpan(CBB_data(cbb.get()), CBB_len(cbb.get())));
}

TEST(PrivateKeyTest, SurvivesPkcs8AndBack) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  ASSERT_OK_AND_ASSIGN(auto again, PrivateKey::FromPkcs8(key->ToPkcs8()));
  EXPECT_EQ(again->PublicKeyDer(), key->PublicKeyDer());
}

TEST(PrivateKeyTest, MakesADifferentKeyEachTime) {
  ASSERT_OK_AND_ASSIGN(auto one, PrivateKey::Generate());
  ASSERT_OK_AND_ASSIGN(auto two, PrivateKey::Generate());
  EXPECT_NE(one->PublicKeyDer(), two->PublicKeyDer());
}

TEST(PrivateKeyTest, SignsWhatItsPublicKeyVerifies) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  const std::string message = "a message";
  const auto* bytes = reinterpret_cast<const uint8_t*>(message.data());
  ASSERT_OK_AND_ASSIGN(std::string signature,
                       key->SignEcdsaSha256(absl::MakeConstSpan(bytes, message.size())));
  bssl::ScopedEVP_MD_CTX context;
  ASSERT_TRUE(EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key->native()));
  EXPECT_TRUE(EVP_DigestVerify(context.get(), reinterpret_cast<const uint8_t*>(signature.data()),
                               signature.size(), bytes, message.size()));
}

TEST(PrivateKeyTest, WritesPemThatAnotherReaderTakes) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  const SecretBytes pem = key->ToPem();
  EXPECT_TRUE(absl::StartsWith(pem.view(), "-----BEGIN PRIVATE KEY-----\n"));
  EXPECT_TRUE(absl::EndsWith(pem.view(), "\n-----END PRIVATE KEY-----\n"));
  bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(pem.span().data(), static_cast<ossl_ssize_t>(pem.size())));
  bssl::UniquePtr<EVP_PKEY> read(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  ASSERT_TRUE(read);
  EXPECT_EQ(EVP_PKEY_cmp(read.get(), key->native()), 1);
}

TEST(PrivateKeyTest, RefusesOtherCurves) {
  EXPECT_THAT(PrivateKey::FromPkcs8(EncodePkcs8OnCurve(NID_secp384r1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a P-256 key")));
}

TEST(PrivateKeyTest, RefusesGarbageEmptyTruncatedAndTrailingBytes) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  const SecretBytes good = key->ToPkcs8();
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_THAT(PrivateKey::FromPkcs8(SecretBytes(good.span().subspan(0, size))),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << size;
  }
  std::string longer(good.view());
  longer.push_back('\0');
  EXPECT_THAT(PrivateKey::FromPkcs8(SecretBytes::TakeFrom(&longer)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(PrivateKeyTest, CannotBeCopied) {
  EXPECT_FALSE(std::is_copy_constructible<PrivateKey>::value);
  EXPECT_FALSE(std::is_copy_assignable<PrivateKey>::value);
}

}  // namespace
}  // namespace byrnie
