#include "common/crypto/token/compact_jwt.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_matchers.h"
#include "common/crypto/token/testing/jwt_maker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr size_t kMaxSize = 4096;

auto Invalid(const std::string& why) {
  return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why));
}

JsonObject Object(absl::string_view json) { return *JsonValue::Parse(json, kMaxSize)->AsObject(); }

TEST(CompactJwtTest, TakesATokenApart) {
  const std::string token = MakeJwt("sig\xff", R"({"alg":"x"})", R"({"sub":"me"})");
  absl::StatusOr<CompactJwt> jwt = ParseCompactJwt(token, kMaxSize);
  ASSERT_THAT(jwt, IsOk());
  EXPECT_EQ(*jwt->header.GetString("alg"), "x");
  EXPECT_EQ(*jwt->claims.GetString("sub"), "me");
  EXPECT_EQ(jwt->claims_json, R"({"sub":"me"})");
  EXPECT_EQ(jwt->signature, "sig\xff");
  EXPECT_EQ(jwt->signed_part, token.substr(0, token.rfind('.')));
}

TEST(CompactJwtTest, RefusesOtherShapesAndSpellings) {
  const std::string token = MakeJwt("sig", "{}", "{}");
  EXPECT_THAT(ParseCompactJwt("", kMaxSize), Invalid("three parts"));
  EXPECT_THAT(ParseCompactJwt("a.b", kMaxSize), Invalid("three parts"));
  EXPECT_THAT(ParseCompactJwt(token + ".x", kMaxSize), Invalid("three parts"));
  EXPECT_THAT(ParseCompactJwt(token + "=", kMaxSize), Invalid("signature is not base64url"));
  EXPECT_THAT(ParseCompactJwt(" " + token, kMaxSize), Invalid("header is not base64url"));
  EXPECT_THAT(ParseCompactJwt(token, token.size() - 1), Invalid("more than"));
  EXPECT_THAT(ParseCompactJwt(MakeJwt("s", "[]", "{}"), kMaxSize), Invalid("header is not"));
  EXPECT_THAT(ParseCompactJwt(MakeJwt("s", "{}", R"({"a":1,"a":2})"), kMaxSize),
              Invalid("claims is not a strict"));
  EXPECT_THAT(
      ParseCompactJwt(MakeJwt("s", absl::StrCat("{\"a\":\"", std::string(1100, 'a'), "\"}"), "{}"),
                      kMaxSize),
      Invalid("header is not"));
}

TEST(CompactJwtTest, KnowsWhatIsMeantAsAJwt) {
  EXPECT_TRUE(LooksLikeJwt("eyJ.e-J._"));
  for (const char* text : {"", "eyJ", "eyJ.eyJ", "eyJ..sig", ".eyJ.sig", "eyJ.eyJ.", "a.b.c.d",
                           "a.b.c=", "a b.c.d", "..", "\xff.a.b"}) {
    EXPECT_FALSE(LooksLikeJwt(text)) << text;
  }
}

TEST(CompactJwtTest, ReadsDates) {
  const JsonObject claims =
      Object(R"({"a":1.5,"b":"1","c":-1,"d":1e300,"e":null,"f":0,"g":253402300800})");
  EXPECT_EQ(**FindJwtDate(claims, "a"), absl::UnixEpoch() + absl::Milliseconds(1500));
  EXPECT_EQ(**FindJwtDate(claims, "f"), absl::UnixEpoch());
  EXPECT_EQ(*FindJwtDate(claims, "z"), absl::nullopt);
  for (const char* name : {"b", "c", "d", "e", "g"}) {
    EXPECT_THAT(FindJwtDate(claims, name), Invalid("is no date")) << name;
  }
}

TEST(CompactJwtTest, ReadsAudiences) {
  EXPECT_THAT(*GetJwtAudience(Object(R"({"aud":"a"})")), ElementsAre("a"));
  EXPECT_THAT(*GetJwtAudience(Object(R"({"aud":["a","b"]})")), ElementsAre("a", "b"));
  EXPECT_THAT(GetJwtAudience(Object("{}")), Invalid("no aud"));
  EXPECT_THAT(GetJwtAudience(Object(R"({"aud":["a",1]})")), Invalid("neither"));
  EXPECT_THAT(GetJwtAudience(Object(R"({"aud":{"a":1}})")), Invalid("neither"));
}

}  // namespace
}  // namespace byrnie
