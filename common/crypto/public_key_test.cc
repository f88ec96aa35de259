#include "common/crypto/public_key.h"

#include <string>

#include "absl/types/span.h"
#include "common/base/status_matchers.h"
#include "common/crypto/ecdsa_signature.h"
#include "common/crypto/private_key.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

std::string Sign(const PrivateKey& key, absl::string_view message) {
  return *key.SignEcdsaSha256(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(message.data()), message.size()));
}

class PublicKeyTest : public ::testing::Test {
 protected:
  const std::shared_ptr<const PrivateKey> private_ = *PrivateKey::Generate();
  const std::shared_ptr<const PublicKey> public_ = *PublicKey::FromDer(private_->PublicKeyDer());
};

TEST_F(PublicKeyTest, VerifiesWhatItsKeySignedAndNothingElse) {
  const std::string signature = Sign(*private_, "message");
  EXPECT_TRUE(public_->VerifyEcdsaSha256("message", signature));
  EXPECT_FALSE(public_->VerifyEcdsaSha256("massage", signature));
  EXPECT_FALSE(public_->VerifyEcdsaSha256("message", ""));
  EXPECT_FALSE(public_->VerifyEcdsaSha256("message", Sign(**PrivateKey::Generate(), "message")));
}

TEST_F(PublicKeyTest, ItsCoordinatesAreTheEndOfItsDer) {
  // An uncompressed point is the end of a SubjectPublicKeyInfo.
  EXPECT_EQ(public_->x() + public_->y(), public_->der().substr(public_->der().size() - 64));
}

TEST_F(PublicKeyTest, IsMadeOfItsCoordinates) {
  auto key = PublicKey::FromCoordinates(public_->x(), public_->y());
  ASSERT_THAT(key, IsOk());
  EXPECT_EQ((*key)->der(), public_->der());
  EXPECT_TRUE((*key)->VerifyEcdsaSha256("message", Sign(*private_, "message")));

  EXPECT_THAT(PublicKey::FromCoordinates(public_->y(), public_->x()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(PublicKey::FromCoordinates(public_->x().substr(1), public_->y()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(PublicKey::FromCoordinates(public_->x() + '\0', public_->y().substr(1)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  const std::string zeros(32, '\0'), field(32, '\xff');
  EXPECT_THAT(PublicKey::FromCoordinates(zeros, zeros),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(PublicKey::FromCoordinates(field, field),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(PublicKeyTest, RefusesWhatIsNoP256Key) {
  const std::string der = private_->PublicKeyDer();
  EXPECT_THAT(PublicKey::FromDer(""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(PublicKey::FromDer(der + "x"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(PublicKey::FromDer(der.substr(0, der.size() - 1)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(PublicKey::FromDer(std::string(10000, '0')),
              StatusIs(absl::StatusCode::kInvalidArgument));
  std::string off_the_curve = der;
  off_the_curve.back() ^= 1;
  EXPECT_THAT(PublicKey::FromDer(off_the_curve), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(PublicKeyTest, BothFormsOfASignatureAreOne) {
  // Often enough that numbers with leading zeros and with the highest bit set are among them.
  for (int i = 0; i < 300; ++i) {
    const std::string der = Sign(*private_, "message");
    absl::StatusOr<std::string> raw = RawEcdsaSignature(der);
    ASSERT_THAT(raw, IsOk());
    EXPECT_EQ(raw->size(), kRawEcdsaSignatureSize);
    EXPECT_EQ(*DerEcdsaSignature(*raw), der);
  }
}

TEST_F(PublicKeyTest, RefusesSignaturesOfAnotherSize) {
  for (const size_t size : {0, 1, 63, 65, 128}) {
    EXPECT_THAT(DerEcdsaSignature(std::string(size, '\1')),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(RawEcdsaSignature("no DER"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(public_->VerifyEcdsaSha256("message", *DerEcdsaSignature(std::string(64, '\0'))));
}

}  // namespace
}  // namespace byrnie
