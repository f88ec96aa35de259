#include "common/identity/jwt_svid.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "common/base/status_matchers.h"
#include "common/crypto/ecdsa_signature.h"
#include "common/crypto/private_key.h"
#include "common/identity/jwt_key.h"
#include "common/tls/testing/test_ca.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kId[] = "spiffe://cluster.local/ns/demo/sa/app";
constexpr char kHeader[] = R"({"alg":"ES256","kid":"k1","typ":"JWT"})";

class JwtSvidTest : public ::testing::Test {
 protected:
  JwtSvidTest() {
    TrustBundleMap bundles;
    bundles["cluster.local"] = Bundle("cluster.local", "k1", *key_);
    bundles["other.example"] = Bundle("other.example", "k2", *other_key_);
    bundles_ = *TrustBundleSet::Create(std::move(bundles));
  }

  TrustBundle Bundle(const std::string& trust_domain, const std::string& key_id,
                     const PrivateKey& key) {
    TrustBundle bundle;
    bundle.roots = {TestCa(trust_domain, now_).root()};
    bundle.jwt_keys = {{key_id, *PublicKey::FromDer(key.PublicKeyDer()), now_ + absl::Hours(1)}};
    return bundle;
  }

  std::string Token(absl::Duration life = absl::Minutes(5)) {
    return *SignJwtSvid(*SpiffeId::Parse(kId), {"db", "cache"}, now_, now_ + life, "k1", *key_);
  }

  // Whatever it says, signed with the right key.
  std::string Signed(absl::string_view header, absl::string_view claims) {
    const std::string text =
        absl::StrCat(absl::WebSafeBase64Escape(header), ".", absl::WebSafeBase64Escape(claims));
    const std::string der = *key_->SignEcdsaSha256(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
    return absl::StrCat(text, ".", absl::WebSafeBase64Escape(*RawEcdsaSignature(der)));
  }
  std::string WithClaims(absl::string_view claims) { return Signed(kHeader, claims); }
  std::string Claims(absl::string_view more = "") {
    return absl::StrCat(R"({"sub":")", kId, R"(","aud":["db"],"exp":)",
                        absl::ToUnixSeconds(now_) + 60, more, "}");
  }

  absl::Status Verify(absl::string_view token, absl::string_view audience = "db") {
    return VerifyJwtSvid(token, audience, bundles_, now_).status();
  }

  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  const std::shared_ptr<const PrivateKey> key_ = *PrivateKey::Generate();
  const std::shared_ptr<const PrivateKey> other_key_ = *PrivateKey::Generate();
  TrustBundleSet bundles_;
};

auto Refused(const std::string& why) {
  return StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr(why));
}

TEST_F(JwtSvidTest, WhatWasSignedVerifiesForEachOfItsAudiences) {
  absl::StatusOr<JwtSvid> svid = VerifyJwtSvid(Token(), "cache", bundles_, now_);
  ASSERT_THAT(svid, IsOk());
  EXPECT_EQ(svid->id.text(), kId);
  EXPECT_THAT(svid->audience, ElementsAre("db", "cache"));
  EXPECT_EQ(svid->expires_at, now_ + absl::Minutes(5));
  EXPECT_THAT(svid->claims_json, HasSubstr(R"("iat":1800000000)"));
  EXPECT_THAT(Verify(Token(), "db"), IsOk());
}

TEST_F(JwtSvidTest, RefusesAnotherAudience) {
  EXPECT_THAT(Verify(Token(), "mail"), Refused("another audience"));
  EXPECT_THAT(Verify(Token(), "d"), Refused("another audience"));
  EXPECT_THAT(Verify(Token(), ""), Refused("another audience"));
  EXPECT_THAT(Verify(WithClaims(absl::StrReplaceAll(Claims(), {{"[\"db\"]", "[]"}})), ""),
              Refused("another audience"));
}

TEST_F(JwtSvidTest, TakesAnAudienceThatIsOneString) {
  EXPECT_THAT(Verify(WithClaims(absl::StrReplaceAll(Claims(), {{"[\"db\"]", "\"db\""}}))), IsOk());
}

TEST_F(JwtSvidTest, EndsAtItsExpiryToTheSecond) {
  const std::string token = Token(absl::Seconds(30));
  EXPECT_THAT(VerifyJwtSvid(token, "db", bundles_, now_ + absl::Milliseconds(29999)), IsOk());
  EXPECT_THAT(VerifyJwtSvid(token, "db", bundles_, now_ + absl::Seconds(30)),
              Refused("expired 0 ago"));
  EXPECT_THAT(VerifyJwtSvid(token, "db", bundles_, now_ + absl::Seconds(39)),
              Refused("expired 9s ago"));
}

TEST_F(JwtSvidTest, EndsWithItsKey) {
  const std::string token = Token(absl::Hours(2));
  EXPECT_THAT(VerifyJwtSvid(token, "db", bundles_, now_ + absl::Minutes(59)), IsOk());
  EXPECT_THAT(VerifyJwtSvid(token, "db", bundles_, now_ + absl::Hours(1)),
              Refused("the key of its kid has ended"));
}

TEST_F(JwtSvidTest, RefusesASignatureThatIsNotTheKeys) {
  const std::string token =
      *SignJwtSvid(*SpiffeId::Parse(kId), {"db"}, now_, now_ + absl::Minutes(1), "k1", *other_key_);
  EXPECT_THAT(Verify(token), Refused("signature is wrong"));
  std::vector<std::string> parts = absl::StrSplit(Token(), '.');
  std::string claims;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(parts[1], &claims));
  parts[1] = absl::WebSafeBase64Escape(absl::StrReplaceAll(claims, {{"app", "apq"}}));
  EXPECT_THAT(Verify(absl::StrCat(parts[0], ".", parts[1], ".", parts[2])),
              Refused("signature is wrong"));
  EXPECT_THAT(Verify(absl::StrCat(parts[0], ".", parts[1], ".")), Refused("signature is wrong"));
}

TEST_F(JwtSvidTest, RefusesADerSignature) {
  const std::string text =
      absl::StrCat(absl::WebSafeBase64Escape(kHeader), ".", absl::WebSafeBase64Escape(Claims()));
  const std::string der = *key_->SignEcdsaSha256(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  EXPECT_THAT(Verify(absl::StrCat(text, ".", absl::WebSafeBase64Escape(der))),
              Refused("signature is wrong"));
}

TEST_F(JwtSvidTest, OnlyTheKeysOfItsOwnTrustDomainCount) {
  // The other domain's key, under the other domain's kid, for an identity of ours.
  const std::string token =
      *SignJwtSvid(*SpiffeId::Parse(kId), {"db"}, now_, now_ + absl::Minutes(1), "k2", *other_key_);
  EXPECT_THAT(Verify(token), Refused("no key of its kid"));
  const std::string theirs = *SignJwtSvid(*SpiffeId::Parse("spiffe://other.example/x"), {"db"},
                                          now_, now_ + absl::Minutes(1), "k2", *other_key_);
  EXPECT_THAT(Verify(theirs), IsOk());
  const std::string unknown = *SignJwtSvid(*SpiffeId::Parse("spiffe://third.example/x"), {"db"},
                                           now_, now_ + absl::Minutes(1), "k1", *key_);
  EXPECT_THAT(Verify(unknown), Refused("no key of its kid"));
}

TEST_F(JwtSvidTest, RefusesEveryOtherAlgorithm) {
  for (const char* algorithm : {"none", "None", "", "HS256", "RS256", "ES384", "es256", "ES256 "}) {
    const std::string header = absl::StrCat(R"({"alg":")", algorithm, R"(","kid":"k1"})");
    EXPECT_THAT(Verify(Signed(header, Claims())), Refused("alg is not ES256")) << algorithm;
  }
  EXPECT_THAT(Verify(Signed(R"({"kid":"k1"})", Claims())), Refused("alg is not ES256"));
  EXPECT_THAT(Verify(Signed(R"({"alg":["ES256"],"kid":"k1"})", Claims())),
              Refused("alg is not ES256"));
  // And a token without a signature at all.
  const std::string none = absl::StrCat(absl::WebSafeBase64Escape(R"({"alg":"none","kid":"k1"})"),
                                        ".", absl::WebSafeBase64Escape(Claims()), ".");
  EXPECT_THAT(Verify(none), Refused("alg is not ES256"));
}

TEST_F(JwtSvidTest, RefusesWhatTheHeaderMayNotSay) {
  const std::pair<const char*, const char*> headers[] = {
      {R"({"alg":"ES256"})", "no kid"},
      {R"({"alg":"ES256","kid":""})", "no kid"},
      {R"({"alg":"ES256","kid":7})", "no kid"},
      {R"({"alg":"ES256","kid":"k3"})", "no key of its kid"},
      {R"({"alg":"ES256","kid":"k1","typ":"at+jwt"})", "typ is neither"},
      {R"({"alg":"ES256","kid":"k1","typ":1})", "typ is neither"},
      {R"({"alg":"ES256","kid":"k1","crit":["x"]})", "more than alg, kid and typ"},
      {R"({"alg":"ES256","kid":"k1","jwk":{}})", "more than alg, kid and typ"},
      {R"({"alg":"ES256","kid":"k1","alg":"none"})", "header is not a strict JSON object"},
      {R"(["alg"])", "header is not a strict JSON object"},
      {R"({"alg":"ES256","kid":"k1")", "header is not a strict JSON object"},
      {"", "header is not a strict JSON object"},
  };
  for (const auto& [header, why] : headers) {
    EXPECT_THAT(Verify(Signed(header, Claims())), Refused(why)) << header;
  }
  EXPECT_THAT(Verify(Signed(R"({"alg":"ES256","kid":"k1","typ":"JOSE"})", Claims())), IsOk());
}

TEST_F(JwtSvidTest, RefusesWhatTheClaimsMayNotSay) {
  const std::string exp = absl::StrCat(absl::ToUnixSeconds(now_) + 60);
  const std::string sub = absl::StrCat(R"("sub":")", kId, R"(",)");
  const std::pair<std::string, const char*> claims[] = {
      {"", "claims is not a strict JSON object"},
      {"[]", "claims is not a strict JSON object"},
      {Claims(R"(,"exp":99999999999)"), "claims is not a strict JSON object"},
      {R"({"aud":"db","exp":)" + exp + "}", "no sub"},
      {R"({"sub":"me","aud":"db","exp":)" + exp + "}", "sub is not a SPIFFE ID"},
      {R"({"sub":"spiffe://cluster.local","aud":"db","exp":)" + exp + "}",
       "sub is not a SPIFFE ID"},
      {"{" + sub + R"("exp":)" + exp + "}", "no aud"},
      {"{" + sub + R"("aud":{"db":1},"exp":)" + exp + "}", "aud is neither"},
      {"{" + sub + R"("aud":["db",1],"exp":)" + exp + "}", "aud is neither"},
      {"{" + sub + R"("aud":"db"})", "no exp"},
      {"{" + sub + R"("aud":"db","exp":")" + exp + "\"}", "exp is no date"},
      {"{" + sub + R"("aud":"db","exp":1e300})", "exp is no date"},
      {"{" + sub + R"("aud":"db","exp":-1})", "exp is no date"},
      {"{" + sub + R"("aud":"db","exp":0})", "expired"},
      {Claims(R"(,"nbf":1800000007)"), "valid in 7s"},
      {Claims(R"(,"nbf":null)"), "nbf is no date"},
  };
  for (const auto& [text, why] : claims) {
    EXPECT_THAT(Verify(WithClaims(text)), Refused(why)) << text;
  }
  EXPECT_THAT(Verify(WithClaims(Claims(R"(,"nbf":1800000000,"x":{"y":[1]})"))), IsOk());
  EXPECT_THAT(Verify(WithClaims("{" + sub + R"("aud":"db","exp":)" + exp + ".5}")), IsOk());
}

TEST_F(JwtSvidTest, RefusesWhatIsNoCompactSerialization) {
  const std::string token = Token();
  EXPECT_THAT(Verify(""), Refused("three parts"));
  EXPECT_THAT(Verify("a.b"), Refused("three parts"));
  EXPECT_THAT(Verify(token + ".x"), Refused("three parts"));
  EXPECT_THAT(Verify(".."), Refused("not a strict JSON object"));
  EXPECT_THAT(Verify(token + "="), Refused("signature is not base64url"));
  EXPECT_THAT(Verify(" " + token), Refused("header is not base64url"));
  EXPECT_THAT(Verify(token + "\n"), Refused("signature is not base64url"));
  EXPECT_THAT(Verify(absl::StrReplaceAll(token, {{".", "+."}})), Refused("not base64url"));
}

TEST_F(JwtSvidTest, RefusesASecondSpellingOfTheSameBytes) {
  // 64 bytes leave four unused bits in the last character.
  std::string token = Token();
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  token.back() = alphabet[alphabet.find(token.back()) + 1];
  EXPECT_THAT(Verify(token), Refused("signature is not base64url"));
}

TEST_F(JwtSvidTest, RefusesWhatIsHugeBeforeItIsParsed) {
  EXPECT_THAT(Verify(std::string(kMaxJwtSvidSize + 1, 'A')), Refused("16385 bytes"));
  EXPECT_THAT(Verify(std::string(10'000'000, '.')), Refused("10000000 bytes"));
  EXPECT_THAT(
      Verify(Signed(absl::StrCat(R"({"alg":"ES256","kid":")", std::string(2000, 'k'), R"("})"),
                    Claims())),
      Refused("header is not a strict JSON object"));
  EXPECT_THAT(Verify(WithClaims(std::string(5000, '['))), Refused("claims is not"));
}

TEST_F(JwtSvidTest, QuotesNothingOfATokenThatIsNotAuthentic) {
  const absl::Status status = Verify(absl::StrReplaceAll(Token(), {{".", ".secret"}}));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
}

TEST_F(JwtSvidTest, ChecksTheAudiencesItSigns) {
  EXPECT_THAT(CheckJwtAudiences({}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CheckJwtAudiences({"a", ""}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CheckJwtAudiences({std::string(1025, 'a')}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CheckJwtAudiences(std::vector<std::string>(17, "a")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CheckJwtAudiences({std::string(1024, 'a')}), IsOk());
  EXPECT_THAT(SignJwtSvid(*SpiffeId::Parse(kId), {}, now_, now_, "k1", *key_),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(JwtSvidTest, AudiencesThatNeedEscapingSurvive) {
  const std::string audience = "https://a.example/\"\\\n\u00e9";
  const std::string token =
      *SignJwtSvid(*SpiffeId::Parse(kId), {audience}, now_, now_ + absl::Minutes(1), "k1", *key_);
  EXPECT_THAT(Verify(token, audience), IsOk());
}

}  // namespace
}  // namespace byrnie
