#include "controlplane/attest/token_signatures.h"

#include <memory>
#include <string>

#include "common/base/status_matchers.h"
#include "common/crypto/private_key.h"
#include "common/crypto/token/testing/jwt_maker.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using Verdict = TokenSignatures::Verdict;

class TokenSignaturesTest : public ::testing::Test {
 protected:
  void Publish(const std::string& id) {
    absl::StatusOr<JwkSet> keys =
        JwkSet::Parse(JwkSetOf({JwkOf(*key_, "\"kid\":\"" + id + "\",")}));
    ASSERT_THAT(keys, IsOk());
    signatures_.SetKeys(std::make_shared<const JwkSet>(*std::move(keys)));
  }
  Verdict Judge(const std::string& token) {
    absl::StatusOr<CompactJwt> jwt = ParseCompactJwt(token, 4096);
    EXPECT_THAT(jwt, IsOk());
    return signatures_.Judge(*jwt);
  }

  const std::shared_ptr<const PrivateKey> key_ = *PrivateKey::Generate();
  const std::shared_ptr<const PrivateKey> other_ = *PrivateKey::Generate();
  TokenSignatures signatures_;
};

TEST_F(TokenSignaturesTest, SaysNothingBeforeThereAreKeys) {
  EXPECT_EQ(Judge(MakeJwt(*key_, R"({"alg":"ES256","kid":"k1"})", "{}")), Verdict::kUnclear);
}

TEST_F(TokenSignaturesTest, TellsARightSignatureFromAWrongOne) {
  Publish("k1");
  EXPECT_EQ(Judge(MakeJwt(*key_, R"({"alg":"ES256","kid":"k1"})", "{}")), Verdict::kRight);
  EXPECT_EQ(Judge(MakeJwt(*other_, R"({"alg":"ES256","kid":"k1"})", "{}")), Verdict::kWrong);
}

TEST_F(TokenSignaturesTest, KnowsKeysByTheirNamesAlone) {
  Publish("k1");
  EXPECT_EQ(Judge(MakeJwt(*key_, R"({"alg":"ES256","kid":"k2"})", "{}")), Verdict::kUnknownKey);
  Publish("k2");
  EXPECT_EQ(Judge(MakeJwt(*key_, R"({"alg":"ES256","kid":"k2"})", "{}")), Verdict::kRight);
  for (const char* header :
       {R"({"alg":"ES256"})", R"({"alg":"ES256","kid":""})", R"({"alg":"ES256","kid":1})",
        R"({"alg":"RS256","kid":"k2"})", R"({"kid":"k2"})"}) {
    EXPECT_EQ(Judge(MakeJwt(*other_, header, "{}")), Verdict::kUnclear) << header;
  }
}

}  // namespace
}  // namespace byrnie
