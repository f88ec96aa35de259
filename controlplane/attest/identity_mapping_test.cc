#include "controlplane/attest/identity_mapping.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Claims = IdentityMapping::ClaimPatterns;

JsonObject Object(absl::string_view json) { return *JsonValue::Parse(json, 1 << 20)->AsObject(); }

auto Invalid(const std::string& why) {
  return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why));
}

absl::StatusOr<IdentityMapping> Create(const Claims& claims, absl::string_view spiffe_id) {
  return IdentityMapping::Create(claims, spiffe_id, "cluster.local");
}

// The identity, or why there is none.
std::string Map(const Claims& claims, absl::string_view spiffe_id, absl::string_view token) {
  absl::StatusOr<IdentityMapping> mapping = Create(claims, spiffe_id);
  if (!mapping.ok()) return absl::StrCat("mapping: ", mapping.status().message());
  absl::StatusOr<SpiffeId> id = mapping->Map(Object(token));
  return id.ok() ? id->text() : std::string(id.status().message());
}

TEST(IdentityMappingTest, FillsInWhatThePatternsPick) {
  EXPECT_EQ(
      Map({{"sub", "system:serviceaccount:{ns}:{sa}"}}, "spiffe://cluster.local/ns/{ns}/sa/{sa}",
          R"({"sub":"system:serviceaccount:demo:web-1.x_Y"})"),
      "spiffe://cluster.local/ns/demo/sa/web-1.x_Y");
  EXPECT_EQ(
      Map({{"kubernetes.io/namespace", "{ns}"}, {"kubernetes.io/serviceaccount/name", "{sa}"}},
          "spiffe://cluster.local/ns/{ns}/sa/vm-{sa}",
          R"({"kubernetes.io":{"namespace":"demo","serviceaccount":{"name":"web"}}})"),
      "spiffe://cluster.local/ns/demo/sa/vm-web");
  EXPECT_EQ(Map({{"repository", "acme/{repo}"}, {"ref", "refs/heads/main"}},
                "spiffe://cluster.local/ci/{repo}",
                R"({"repository":"acme/shop","ref":"refs/heads/main","more":[1]})"),
            "spiffe://cluster.local/ci/shop");
  EXPECT_EQ(Map({{"https:~1~1a.example~1x~01", "{v}"}}, "spiffe://cluster.local/a/{v}",
                R"({"https://a.example/x~1":"b"})"),
            "spiffe://cluster.local/a/b");
}

TEST(IdentityMappingTest, TakesNumbersAndBooleansAsText) {
  EXPECT_EQ(Map({{"id", "{id}"}, {"verified", "true"}}, "spiffe://cluster.local/u/{id}",
                R"({"id":12,"verified":true})"),
            "spiffe://cluster.local/u/12");
  EXPECT_EQ(Map({{"verified", "true"}}, "spiffe://cluster.local/u", R"({"verified":false})"),
            R"(its claim "verified" is "false")");
  for (const char* value : {"1.5", "null", "[]", "[\"a\"]", "{}", "1e3", "18446744073709551615"}) {
    EXPECT_THAT(Map({{"id", "{id}"}}, "spiffe://cluster.local/u/{id}",
                    absl::StrCat("{\"id\":", value, "}")),
                HasSubstr("no claim"))
        << value;
  }
}

TEST(IdentityMappingTest, EveryClaimMustBeThereAndMatchAsAWhole) {
  const Claims claims = {{"sub", "repo:acme/{repo}:ref:refs/heads/main"}, {"env", "prod"}};
  const std::string id = "spiffe://cluster.local/ci/{repo}";
  const auto with = [](absl::string_view sub, absl::string_view env) {
    return absl::StrCat(R"({"sub":")", sub, R"(","env":")", env, "\"}");
  };
  EXPECT_EQ(Map(claims, id, with("repo:acme/shop:ref:refs/heads/main", "prod")),
            "spiffe://cluster.local/ci/shop");
  for (const char* sub :
       {"", "repo:acme/shop:ref:refs/heads/main2", "repo:acme/shop:ref:refs/heads/mai",
        "xrepo:acme/shop:ref:refs/heads/main", "repo:acme/:ref:refs/heads/main",
        "repo:acme/a/b:ref:refs/heads/main", "repo:acme/a b:ref:refs/heads/main",
        "repo:acme/a%2fb:ref:refs/heads/main", "repo:ACME/shop:ref:refs/heads/main",
        "repo:acme/sh\u00f6p:ref:refs/heads/main"}) {
    EXPECT_THAT(Map(claims, id, with(sub, "prod")), HasSubstr("its claim \"sub\" is")) << sub;
  }
  EXPECT_THAT(Map(claims, id, with("repo:acme/shop:ref:refs/heads/main", "production")),
              HasSubstr("its claim \"env\""));
  EXPECT_THAT(Map(claims, id, R"({"sub":"repo:acme/shop:ref:refs/heads/main"})"),
              HasSubstr("no claim \"env\""));
}

TEST(IdentityMappingTest, AValueCannotBecomeAnythingButAPartOfASegment) {
  for (const char* value : {".", "..", "", "a/b", "/", "{x}", "a\\u0000b"}) {
    EXPECT_THAT(Map({{"v", "{v}"}}, "spiffe://cluster.local/a/{v}/b",
                    absl::StrCat(R"({"v":")", value, "\"}")),
                Not(::testing::StartsWith("spiffe://")))
        << value;
  }
  EXPECT_THAT(Map({{"v", "{v}"}}, "spiffe://cluster.local/a/{v}",
                  absl::StrCat(R"({"v":")", std::string(3000, 'a'), "\"}")),
              HasSubstr("at most 2048"));
}

TEST(IdentityMappingTest, QuotesNoMoreOfAClaimThanHelps) {
  EXPECT_LT(Map({{"v", "x"}}, "spiffe://cluster.local/a",
                absl::StrCat(R"({"v":")", std::string(3000, 'a'), "\"}"))
                .size(),
            200u);
}

TEST(IdentityMappingTest, RefusesIdentitiesThatAreForeignOrReserved) {
  const Claims claims = {{"a", "{a}"}, {"b", "{b}"}};
  const std::pair<const char*, const char*> identities[] = {
      {"spiffe://other.example/ns/{a}", "no identity of the own trust domain"},
      {"spiffe://cluster.local.evil/ns/{a}", "no identity of the own trust domain"},
      {"spiffe://{a}/ns/{b}", "no identity of the own trust domain"},
      {"ns/{a}", "no identity of the own trust domain"},
      {"", "no identity of the own trust domain"},
      {"spiffe://cluster.local", "no identity of the own trust domain"},
      {"spiffe://cluster.local/byrnie/{a}", "reserved"},
      {"spiffe://cluster.local/byrnie", "reserved"},
      {"spiffe://cluster.local/{a}/{b}", "first segment be literal"},
      {"spiffe://cluster.local/byr{a}/{b}", "first segment be literal"},
      {"spiffe://cluster.local/", "the path ends with '/'"},
      {"spiffe://cluster.local/ns//{a}", "empty segment"},
      {"spiffe://cluster.local/ns/../byrnie/{a}", "segment '..'"},
      {"spiffe://cluster.local/ns/{a}/", "ends with '/'"},
      {"spiffe://cluster.local/ns/{a}?x", "the character"},
      {"spiffe://cluster.local/ns/{a}-{b}", "two placeholders in one segment"},
      {"spiffe://cluster.local/ns/{a}{b}", "two placeholders in one segment"},
      {"spiffe://cluster.local/ns/{c}", "no claim's pattern has the placeholder {c}"},
      {"spiffe://cluster.local/ns/{a", "braces"},
      {"spiffe://cluster.local/ns/a}", "braces"},
      {"spiffe://cluster.local/ns/{A}", "braces"},
      {"spiffe://cluster.local/ns/{}", "braces"},
  };
  for (const auto& [identity, why] : identities) {
    EXPECT_THAT(Create(claims, identity), Invalid(why)) << identity;
  }
  EXPECT_THAT(Create(claims, "spiffe://cluster.local/byrnies/{a}"), IsOk());
}

TEST(IdentityMappingTest, RefusesPatternsThatAreNotClear) {
  const std::string id = "spiffe://cluster.local/x";
  EXPECT_THAT(Create({}, id), Invalid("no claims"));
  for (const char* pattern : {"{a}{b}", "{a}x", "{a}-{b}", "{a}.", "{a}_x"}) {
    EXPECT_THAT(Create({{"sub", pattern}}, id), Invalid("not clear where {a} ends")) << pattern;
  }
  EXPECT_THAT(Create({{"sub", "{a}/{a}"}}, id), Invalid("twice"));
  EXPECT_THAT(Create({{"sub", "{a}"}, {"x", "{a}"}}, id), Invalid("claim \"x\""));
  EXPECT_THAT(Create({{"", "{a}"}}, id), Invalid("a name is empty"));
  EXPECT_THAT(Create({{"a//b", "{a}"}}, id), Invalid("a name is empty"));
  for (const char* pattern : {"{", "}", "{a", "a}", "{}", "{a b}", "{{a}}", "{-}"}) {
    EXPECT_THAT(Create({{"sub", pattern}}, id), Invalid("braces")) << pattern;
  }
  // An empty pattern is an empty claim.
  EXPECT_EQ(Map({{"sub", ""}}, id, R"({"sub":""})"), id);
}

}  // namespace
}  // namespace byrnie
