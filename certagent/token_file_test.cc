#include "certagent/token_file.h"

#include <cstdio>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);
constexpr char kSignature[] = "c2lnbmF0dXJl";

std::string Jwt(absl::string_view payload, absl::string_view header = R"({"alg":"RS256"})") {
  return absl::StrCat(absl::WebSafeBase64Escape(header), ".", absl::WebSafeBase64Escape(payload),
                      ".", kSignature);
}

// As the kubelet writes them.
std::string Projected(absl::string_view audience, absl::Duration left) {
  return Jwt(absl::StrCat(R"({"aud":[")", audience, R"("],"exp":)",
                          absl::ToUnixSeconds(kNow + left), R"(,"iss":"https://k8s","sub":"x"})"));
}

TEST(TokenFileTest, KnowsNothingOfJoinTokens) {
  EXPECT_THAT(CheckToken("3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "", kNow), IsOk());
}

TEST(TokenFileTest, DoesNotTakeAJoinTokenForAnAudience) {
  EXPECT_THAT(CheckToken("3q2-7w", "istio-ca", kNow),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("is not a JSON Web Token")));
}

TEST(TokenFileTest, TakesAProjectedTokenOfTheRightAudience) {
  EXPECT_THAT(CheckToken(Projected("istio-ca", absl::Hours(1)), "istio-ca", kNow), IsOk());
  EXPECT_THAT(CheckToken(Projected("istio-ca", absl::Hours(1)), "", kNow), IsOk());
  const std::string one = Jwt(R"({"aud":"istio-ca","exp":1893456001.5})");
  EXPECT_THAT(CheckToken(one, "istio-ca", kNow), IsOk());
}

TEST(TokenFileTest, RefusesOneOfAnotherAudienceAndNamesBoth) {
  EXPECT_THAT(CheckToken(Projected("api", absl::Hours(1)), "istio-ca", kNow),
              StatusIs(absl::StatusCode::kUnauthenticated,
                       HasSubstr("is for the audience api, not for istio-ca")));
  EXPECT_THAT(CheckToken(Jwt(R"({"exp":1893456001})"), "istio-ca", kNow),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("is for no audience")));
  // A part of the name is not the name.
  EXPECT_THAT(CheckToken(Projected("istio-ca-2", absl::Hours(1)), "istio-ca", kNow), Not(IsOk()));
}

TEST(TokenFileTest, RefusesOneThatHasExpiredAndSaysWhen) {
  EXPECT_THAT(CheckToken(Projected("istio-ca", -absl::Seconds(90)), "istio-ca", kNow),
              StatusIs(absl::StatusCode::kUnauthenticated,
                       AllOf(HasSubstr("expired 1m30s ago"), HasSubstr("2029-12-31T23:58:30"))));
  EXPECT_THAT(CheckToken(Projected("istio-ca", absl::ZeroDuration()), "", kNow), Not(IsOk()));
}

TEST(TokenFileTest, SaysWhatIsMalformed) {
  const struct {
    std::string token;
    const char* what;
  } cases[] = {
      {"eyJhbGciOiJub25lIn0", "has 3 parts, this one has 1"},
      {"eyJhbGciOiJub25lIn0.e30.a.b", "this one has 4"},
      {"!.e30.c2ln", "header is not base64url"},
      {absl::StrCat("e30.", absl::WebSafeBase64Escape("{"), ".c2ln"),
       "payload is not a JSON object"},
      {absl::StrCat("e30.", absl::WebSafeBase64Escape("[1]"), ".c2ln"),
       "payload is not a JSON object"},
      {"e30.e30.", "not signed"},
      {Jwt("{}"), "does not say when it expires"},
      {Jwt(R"({"exp":"tomorrow"})"), "is not a number"},
      {Jwt(R"({"exp":1893456001,"aud":7})"), "its audience is not text"},
  };
  for (const auto& bad : cases) {
    EXPECT_THAT(CheckToken(bad.token, "istio-ca", kNow),
                StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr(bad.what)))
        << bad.token;
  }
}

TEST(TokenFileTest, NeverQuotesTheToken) {
  const std::string token = Jwt(R"({"exp":12,"secret":"hunter2"})");
  const absl::Status status = CheckToken(token, "istio-ca", kNow);
  EXPECT_THAT(std::string(status.message()),
              AllOf(Not(HasSubstr(kSignature)), Not(HasSubstr("hunter2"))));
}

class TokenFileReadTest : public ::testing::Test {
 protected:
  ~TokenFileReadTest() override { std::remove(path_.c_str()); }
  void Write(absl::string_view content) {
    ASSERT_THAT(WriteFileAtomically(path_, content, 0600), IsOk());
  }
  const std::string path_ = absl::StrCat(::testing::TempDir(), "/token_file_test_token");
  const TokenFile file_{path_, ""};
};

TEST_F(TokenFileReadTest, ReadsTheFileAnewForEachUse) {
  Write("first\n");
  EXPECT_EQ(file_.Read(kNow)->view(), "first");
  Write(" second ");
  EXPECT_EQ(file_.Read(kNow)->view(), "second");
}

TEST_F(TokenFileReadTest, NamesTheFileThatIsMissingEmptyOrMalformed) {
  EXPECT_THAT(file_.Read(kNow).status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path_)));
  Write("\n");
  EXPECT_THAT(file_.Read(kNow).status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path_)));
  Write("two words");
  EXPECT_THAT(file_.Read(kNow).status(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr(path_)));
  Write("a.b.c");
  EXPECT_THAT(file_.Read(kNow).status(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("is malformed")));
}

}  // namespace
}  // namespace byrnie
