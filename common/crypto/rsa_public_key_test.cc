#include "common/crypto/rsa_public_key.h"

#include <cstdint>
#include <string>

#include "common/base/status_matchers.h"
#include "common/crypto/testing/rsa_signer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

TEST(RsaPublicKeyTest, VerifiesWhatItsKeySigned) {
  const RsaSigner signer(2048);
  auto key = RsaPublicKey::FromNumbers(signer.modulus(), signer.exponent());
  ASSERT_THAT(key, IsOk());
  const std::string signature = signer.SignPkcs1Sha256("message");
  EXPECT_TRUE((*key)->VerifyPkcs1Sha256("message", signature));
  EXPECT_FALSE((*key)->VerifyPkcs1Sha256("massage", signature));
  EXPECT_FALSE((*key)->VerifyPkcs1Sha256("message", signature.substr(1)));
  EXPECT_FALSE((*key)->VerifyPkcs1Sha256("message", std::string(1, '\0') + signature));
  EXPECT_FALSE((*key)->VerifyPkcs1Sha256("message", ""));
  std::string other = signature;
  other[100] = static_cast<char>(other[100] ^ 1);
  EXPECT_FALSE((*key)->VerifyPkcs1Sha256("message", other));
}

TEST(RsaPublicKeyTest, RefusesAnotherKeysSignatureAndAnotherScheme) {
  const RsaSigner signer(2048), another(2048);
  auto key = RsaPublicKey::FromNumbers(signer.modulus(), signer.exponent());
  ASSERT_THAT(key, IsOk());
  EXPECT_FALSE((*key)->VerifyPkcs1Sha256("message", another.SignPkcs1Sha256("message")));
  EXPECT_FALSE((*key)->VerifyPkcs1Sha256("message", signer.SignPssSha256("message")));
}

TEST(RsaPublicKeyTest, TakesSizesFrom2048To4096Bits) {
  // Of a made-up modulus, odd and with its highest bit set: nobody factors it here.
  const auto modulus = [](size_t bytes) { return std::string(bytes, '\xff'); };
  const std::string exponent("\x01\x00\x01", 3);
  EXPECT_THAT(RsaPublicKey::FromNumbers(modulus(256), exponent), IsOk());
  EXPECT_THAT(RsaPublicKey::FromNumbers(modulus(512), exponent), IsOk());
  EXPECT_THAT(RsaPublicKey::FromNumbers(modulus(128), exponent),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1024 bits")));
  std::string short_by_a_bit = modulus(256);
  short_by_a_bit[0] = '\x7f';
  EXPECT_THAT(RsaPublicKey::FromNumbers(short_by_a_bit, exponent),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2047 bits")));
  EXPECT_THAT(RsaPublicKey::FromNumbers(modulus(513), exponent),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("513 bytes")));
  EXPECT_THAT(RsaPublicKey::FromNumbers("", exponent),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(RsaPublicKey::FromNumbers(std::string(1, '\0') + modulus(256), exponent),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leading zeros")));
}

TEST(RsaPublicKeyTest, RefusesNumbersThatNoKeyHas) {
  const std::string modulus(256, '\xff');
  std::string even = modulus;
  even.back() = '\xfe';
  EXPECT_THAT(RsaPublicKey::FromNumbers(even, std::string("\x01\x00\x01", 3)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  for (const std::string& exponent :
       {std::string(), std::string("\x03"), std::string("\xff\xff"), std::string("\x01\x00\x00", 3),
        std::string("\x00\x01\x00\x01", 4), std::string(5, '\x01')}) {
    EXPECT_THAT(RsaPublicKey::FromNumbers(modulus, exponent),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace byrnie
