#include "controlplane/attest/jwt_config.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/json.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kIssuer[] = R"({
  "issuer": "https://ci.example", "audiences": ["byrnie", "mesh"], "jwks_file": "/etc/ci.jwks",
  "identities": [{"claims": {"repository": "acme/{repo}"},
                  "spiffe_id": "spiffe://cluster.local/ci/{repo}"}]})";

std::string File(absl::string_view issuers, absl::string_view more = "") {
  return absl::StrCat("{\"issuers\": [", issuers, "]", more, "}");
}

absl::StatusOr<JwtConfig> Parse(absl::string_view text) {
  return JwtConfig::Parse(text, "cluster.local");
}

// kIssuer with one part replaced.
std::string With(const char* part, const char* other) {
  return File(absl::StrReplaceAll(kIssuer, {{part, other}}));
}

TEST(JwtConfigTest, ReadsIssuersWithDefaults) {
  absl::StatusOr<JwtConfig> config = Parse(File(kIssuer));
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->leeway, absl::Seconds(30));
  ASSERT_EQ(config->issuers.size(), 1u);
  const JwtIssuer& issuer = config->issuers[0];
  EXPECT_EQ(issuer.name, "https://ci.example");
  EXPECT_THAT(issuer.audiences, ElementsAre("byrnie", "mesh"));
  EXPECT_EQ(issuer.jwks_file, "/etc/ci.jwks");
  EXPECT_EQ(issuer.max_life, absl::Hours(1));
  EXPECT_FALSE(issuer.single_use);
  ASSERT_EQ(issuer.identities.size(), 1u);
  EXPECT_EQ(issuer.identities[0]
                .Map(*JsonValue::Parse(R"({"repository":"acme/shop"})", 100)->AsObject())
                ->text(),
            "spiffe://cluster.local/ci/shop");
}

TEST(JwtConfigTest, ReadsWhatIsSaid) {
  const std::string issuer = absl::StrReplaceAll(
      kIssuer, {{"\"audiences\"", R"("max_life": "12h", "single_use": true, "audiences")"}});
  absl::StatusOr<JwtConfig> config = Parse(File(issuer, R"(, "leeway": "0s")"));
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->leeway, absl::ZeroDuration());
  EXPECT_EQ(config->issuers[0].max_life, absl::Hours(12));
  EXPECT_TRUE(config->issuers[0].single_use);
}

TEST(JwtConfigTest, SaysWhereAMistakeIs) {
  const std::pair<std::string, const char*> files[] = {
      {"", "invalid JSON"},
      {"[]", "expected an object"},
      {"{}", "\"issuers\" is missing"},
      {File(""), "issuers: has 0 entries"},
      {File(kIssuer, ", \"issuer\": 1"), "\"issuer\""},
      {File(kIssuer, R"(, "leeway": "6m")"), "leeway: is no duration from 0 to 5m"},
      {File(kIssuer, R"(, "leeway": "-1s")"), "leeway: is no duration"},
      {File(kIssuer, R"(, "leeway": 30)"), "leeway: expected a string"},
      {File(absl::StrCat(kIssuer, ",", kIssuer)), "issuers[1]: the issuer is there twice"},
      {With("\"audiences\"", "\"audience\""), "audience"},
      {With("[\"byrnie\", \"mesh\"]", "[]"), "issuers[0].audiences: has 0 entries"},
      {With("[\"byrnie\", \"mesh\"]", "\"byrnie\""), "issuers[0].audiences: expected an array"},
      {With("\"mesh\"", "\"\""), "issuers[0].audiences[1]: has 0 bytes"},
      {With("https://ci.example", "a\\nb"), "issuers[0].issuer: has a character"},
      {With("/etc/ci.jwks", ""), "\"jwks_file\" is empty"},
      {With("\"audiences\"", R"("max_life": "25h", "audiences")"),
       "issuers[0].max_life: is no duration from 1m to 24h"},
      {With("\"audiences\"", R"("single_use": 1, "audiences")"), "issuers[0].single_use"},
      {With("acme/{repo}", "acme/{repo}x"), "issuers[0].identities[0]: claim \"repository\""},
      {With("\"acme/{repo}\"", "1"), "expected a string"},
      {With("\"repository\": \"acme/{repo}\"", ""), "issuers[0].identities[0]: no claims"},
      {With("spiffe://cluster.local/ci", "spiffe://other.example/ci"), "own trust domain"},
      {With("spiffe://cluster.local/ci", "spiffe://cluster.local/byrnie"), "reserved"},
  };
  for (const auto& [text, why] : files) {
    EXPECT_THAT(Parse(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why))) << text;
  }
}

}  // namespace
}  // namespace byrnie
