#include "common/crypto/token/jwk_set.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/types/span.h"
#include "common/base/status_matchers.h"
#include "common/crypto/ecdsa_signature.h"
#include "common/crypto/private_key.h"
#include "common/crypto/testing/rsa_signer.h"
#include "common/crypto/token/testing/jwt_maker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class JwkSetTest : public ::testing::Test {
 protected:
  static const RsaSigner& Rsa() {
    static const RsaSigner* const signer = new RsaSigner(2048);
    return *signer;
  }
  std::string SignEc(absl::string_view text) {
    return *RawEcdsaSignature(*ec_->SignEcdsaSha256(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size())));
  }
  const std::shared_ptr<const PrivateKey> ec_ = *PrivateKey::Generate();
};

auto Invalid(const std::string& why) {
  return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why));
}

TEST_F(JwkSetTest, FindsKeysOfBothKindsByTheirIds) {
  absl::StatusOr<JwkSet> set =
      JwkSet::Parse(JwkSetOf({JwkOf(*ec_, R"("kid":"e","use":"sig","alg":"ES256",)"),
                              JwkOf(Rsa(), R"("kid":"r","key_ops":["verify"],"x5t":"?",)")}));
  ASSERT_THAT(set, IsOk());
  EXPECT_EQ(set->size(), 2u);
  const Jwk* const ec = set->Find("e");
  const Jwk* const rsa = set->Find("r");
  ASSERT_TRUE(ec != nullptr && rsa != nullptr);
  EXPECT_EQ(ec->algorithm(), "ES256");
  EXPECT_EQ(rsa->algorithm(), "RS256");
  EXPECT_TRUE(ec->Verify("message", SignEc("message")));
  EXPECT_FALSE(ec->Verify("massage", SignEc("message")));
  EXPECT_FALSE(ec->Verify("message", Rsa().SignPkcs1Sha256("message")));
  EXPECT_FALSE(ec->Verify("message", ""));
  EXPECT_TRUE(rsa->Verify("message", Rsa().SignPkcs1Sha256("message")));
  EXPECT_FALSE(rsa->Verify("message", SignEc("message")));
  EXPECT_EQ(set->Find("x"), nullptr);
}

TEST_F(JwkSetTest, ATokenWithoutAnIdGetsTheOnlyKeyThereIs) {
  absl::StatusOr<JwkSet> one = JwkSet::Parse(JwkSetOf({JwkOf(*ec_, "")}));
  ASSERT_THAT(one, IsOk());
  EXPECT_NE(one->Find(""), nullptr);
  EXPECT_EQ(one->Find("e"), nullptr);
  absl::StatusOr<JwkSet> two =
      JwkSet::Parse(JwkSetOf({JwkOf(*ec_, R"("kid":"e",)"), JwkOf(Rsa(), "")}));
  ASSERT_THAT(two, IsOk());
  EXPECT_EQ(two->Find(""), nullptr);
}

TEST_F(JwkSetTest, LeavesOutWhatItCannotUse) {
  const std::string good = JwkOf(*ec_, R"("kid":"e",)");
  for (const std::string& other :
       {std::string(R"({"kty":"OKP","crv":"Ed25519","x":"AA"})"), std::string(R"({"kty":"new"})"),
        JwkOf(*ec_, R"("use":"enc",)"), JwkOf(*ec_, R"("key_ops":["deriveKey"],)"),
        JwkOf(*ec_, R"("alg":"ES384",)"), JwkOf(Rsa(), R"("alg":"PS256",)"),
        JwkOf(Rsa(), R"("alg":"ES256",)"),
        std::string(R"({"kty":"EC","crv":"P-384","x":"AA","y":"AA"})"),
        JwkOf(RsaSigner(1024), "")}) {
    absl::StatusOr<JwkSet> set = JwkSet::Parse(JwkSetOf({other, good}));
    ASSERT_THAT(set, IsOk()) << other;
    EXPECT_EQ(set->size(), 1u) << other;
    EXPECT_EQ(set->ignored(), 1u) << other;
    EXPECT_THAT(JwkSet::Parse(JwkSetOf({other})), Invalid("no key that can be used")) << other;
  }
}

TEST_F(JwkSetTest, RefusesWhatIsBroken) {
  const std::string good = JwkOf(*ec_, R"("kid":"e",)");
  const std::pair<std::string, const char*> texts[] = {
      {"", "invalid JSON"},
      {"[]", "expected an object"},
      {"{}", "\"keys\" is missing"},
      {R"({"keys":{}})", "keys: expected an array"},
      {R"({"keys":[]})", "no key that can be used"},
      {R"({"keys":[1]})", "keys[0]: expected an object"},
      {R"({"keys":[{}]})", "\"kty\" is missing"},
      {JwkSetOf({good, good}), "keys[1]: another key has the same"},
      {JwkSetOf({good, JwkOf(*ec_, ""), JwkOf(Rsa(), "")}), "keys[2]: another key"},
      {JwkSetOf({JwkOf(*ec_, R"("kid":7,)")}), "expected a string"},
      {JwkSetOf({JwkOf(*ec_, absl::StrCat("\"kid\":\"", std::string(129, 'k'), "\","))}),
       "more than 128 bytes"},
      {JwkSetOf({R"({"kty":"EC","crv":"P-256","x":"AA","y":"AA"})"}), "coordinates of 1"},
      {JwkSetOf({R"({"kty":"EC","crv":"P-256","x":"A+","y":"AA"})"}), "not base64url"},
      {JwkSetOf({R"({"kty":"EC","crv":"P-256"})"}), "\"x\" is missing"},
      {absl::StrReplaceAll(JwkSetOf({JwkOf(Rsa(), "")}), {{"AQAB", "Aw"}}), "below 65537"},
      {JwkSetOf({JwkOf(*ec_, R"("d":"AA",)")}), "private"},
      {JwkSetOf({good, R"({"kty":"oct","k":"c2VjcmV0"})"}), "keys[1]: a private or secret key"},
      {std::string(JwkSet::kMaxSize + 1, ' '), "longer than"},
  };
  for (const auto& [text, why] : texts) {
    EXPECT_THAT(JwkSet::Parse(text), Invalid(why)) << text.substr(0, 200);
  }
  std::string many = "{\"keys\":[";
  for (int i = 0; i < 65; ++i) absl::StrAppend(&many, i == 0 ? "" : ",", R"({"kty":"new"})");
  EXPECT_THAT(JwkSet::Parse(many + "]}"), Invalid("65 keys"));
}

}  // namespace
}  // namespace byrnie
