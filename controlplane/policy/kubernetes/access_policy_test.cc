#include "controlplane/policy/kubernetes/access_policy.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr char kRoot[] = "byrnie-system";
const char kEverything[] =
    R"({"scope":"WORKLOAD_SELECTOR","action":"DENY","dryRun":true,"rules":[{"clauses":[{"matches":[)"
    R"({"namespaces":[{"exact":"a"}],"notNamespaces":[{"prefix":"b"}],"principals":[{"suffix":"c"}],)"
    R"("notPrincipals":[{"presence":true}],"sourceIPs":["10.0.0.0/8"],"notSourceIPs":["fd00::/8"],)"
    R"("destinationIPs":["10.1.0.1/32"],"notDestinationIPs":["10.2.0.0/16"],"destinationPorts":[80],)"
    R"("notDestinationPorts":[81],"serviceAccounts":[{"namespace":"d","serviceAccount":"e"}],)"
    R"("notServiceAccounts":[{"namespace":"f","serviceAccount":"g"}]}]}]}],)"
    R"("selector":{"matchLabels":{"app":"cart","example.org/tier":""}}})";

absl::StatusOr<AccessPolicySpec> Parse(const std::string& text, const std::string& ns = "shop") {
  const absl::StatusOr<JsonValue> value = JsonValue::Parse(text, 1 << 20);
  if (!value.ok()) return value.status();
  return ParseAccessPolicySpec(*value, {ns, "p"}, kRoot);
}
std::string ErrorOf(const std::string& text, const std::string& ns = "shop") {
  const absl::StatusOr<AccessPolicySpec> spec = Parse(text, ns);
  return spec.ok() ? "" : std::string(spec.status().message());
}
absl::StatusOr<AccessPolicy> ParseObject(const std::string& rest) {
  const absl::StatusOr<JsonValue> value = JsonValue::Parse(
      absl::StrCat(R"({"metadata":{"namespace":"shop","name":"p","uid":"u","resourceVersion":"7",)",
                   R"("generation":3})", rest, "}"),
      1 << 20);
  if (!value.ok()) return value.status();
  return ParseAccessPolicy(*value, kRoot);
}

TEST(AccessPolicyTest, ReadsAllThatAPolicyCanSay) {
  const absl::StatusOr<AccessPolicySpec> spec = Parse(kEverything);
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->policy.namespace_(), "shop");
  EXPECT_EQ(spec->policy.name(), "p");
  EXPECT_TRUE(spec->policy.dry_run());
  const istio::security::Match& match = spec->policy.rules(0).clauses(0).matches(0);
  EXPECT_EQ(match.not_source_ips_size(), 1);
  EXPECT_EQ(match.not_service_accounts(0).service_account(), "g");
  EXPECT_EQ(spec->selector.at("app"), "cart");
}

TEST(AccessPolicyTest, WritesWhatItReadsAgainAlwaysTheSame) {
  const absl::StatusOr<AccessPolicySpec> spec = Parse(kEverything);
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(WriteAccessPolicySpec(*spec), kEverything);
  const absl::StatusOr<AccessPolicySpec> again = Parse(WriteAccessPolicySpec(*spec));
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(spec->policy.SerializeAsString(), again->policy.SerializeAsString());
  EXPECT_EQ(spec->selector, again->selector);
}

TEST(AccessPolicyTest, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(ErrorOf(R"({"scope":"NAMESPACE","action":"ALLOW","rule":[]})"), HasSubstr("rule"));
  // The names of the API's documents.
  EXPECT_THAT(ErrorOf(R"({"scope":"NAMESPACE","action":"ALLOW","dry_run":true})"),
              HasSubstr("dry_run"));
  EXPECT_THAT(ErrorOf(R"({"scope":"NAMESPACE","action":"AUDIT"})"), HasSubstr("AUDIT"));
  EXPECT_THAT(ErrorOf(R"({"scope":"MESH","action":"ALLOW"})"), HasSubstr("MESH"));
}

TEST(AccessPolicyTest, HasNoDefaultForWhatDecidesWhoGetsIn) {
  EXPECT_THAT(ErrorOf(R"({"action":"ALLOW"})"), HasSubstr("scope"));
  EXPECT_THAT(ErrorOf(R"({"scope":"NAMESPACE"})"), HasSubstr("action"));
}

TEST(AccessPolicyTest, IsAboutTheMeshInTheRootNamespaceAlone) {
  const std::string global = R"({"scope":"GLOBAL","action":"DENY"})";
  EXPECT_THAT(ErrorOf(global), HasSubstr("the namespace byrnie-system alone"));
  EXPECT_EQ(ErrorOf(global, kRoot), "");
}

TEST(AccessPolicyTest, SelectsPodsWithItsScopeAndWithNoOther) {
  EXPECT_THAT(ErrorOf(R"({"scope":"WORKLOAD_SELECTOR","action":"DENY"})"),
              HasSubstr("\"selector\" is missing"));
  EXPECT_THAT(ErrorOf(R"({"scope":"WORKLOAD_SELECTOR","action":"DENY","selector":)"
                      R"({"matchLabels":{}}})"),
              HasSubstr("at least one label"));
  EXPECT_THAT(ErrorOf(R"({"scope":"NAMESPACE","action":"DENY","selector":)"
                      R"({"matchLabels":{"app":"a"}}})"),
              HasSubstr("means nothing"));
  EXPECT_THAT(ErrorOf(R"({"scope":"WORKLOAD_SELECTOR","action":"DENY","selector":)"
                      R"({"matchLabels":{"app":"a"},"matchExpressions":[]}})"),
              HasSubstr("\"matchExpressions\" are not supported; say"));
  for (const char* labels : {R"({"app":"a b"})", R"({"a=b":"c"})", R"({"":"c"})"}) {
    EXPECT_THAT(ErrorOf(absl::StrCat(R"({"scope":"WORKLOAD_SELECTOR","action":"DENY","selector":)",
                                     R"({"matchLabels":)", labels, "}}")),
                HasSubstr("no label's"));
  }
}

TEST(AccessPolicyTest, IsCheckedAsPoliciesOfTheApiAre) {
  const auto with_principal = [](const char* principal) {
    return absl::StrCat(R"({"scope":"NAMESPACE","action":"ALLOW","rules":[{"clauses":[{"matches":)",
                        R"([{"principals":[)", principal, "]}]}]}]}");
  };
  EXPECT_THAT(ErrorOf(with_principal(R"({"exact":"spiffe://td/ns/a/sa/b"})")),
              HasSubstr("leave \"spiffe://\" out"));
  EXPECT_THAT(ErrorOf(with_principal(R"({"exact":"td/*"})")), HasSubstr("literally"));
  EXPECT_THAT(ErrorOf(R"({"scope":"NAMESPACE","action":"ALLOW","rules":[{"clauses":[{"matches":)"
                      R"([{"sourceIPs":["10.0.0.0/33"]}]}]}]})"),
              HasSubstr("prefix length"));
}

TEST(AccessPolicyTest, IsAsLongAsAPolicyMayBe) {
  std::string ports = "1";
  for (int i = 0; i < 60000; ++i) absl::StrAppend(&ports, ",65535");
  EXPECT_THAT(ErrorOf(absl::StrCat(R"({"scope":"NAMESPACE","action":"ALLOW","rules":[{"clauses":)",
                                   R"([{"matches":[{"destinationPorts":[)", ports, "]}]}]}]}")),
              HasSubstr("make several policies of it"));
}

TEST(AccessPolicyTest, IsThereWhateverItsSpecIs) {
  for (const char* rest : {"", R"(,"spec":null)", R"(,"spec":{"scope":7})"}) {
    const absl::StatusOr<AccessPolicy> object = ParseObject(rest);
    ASSERT_THAT(object, IsOk());
    EXPECT_EQ(object->generation, 3);
    EXPECT_EQ(object->uid, "u");
    EXPECT_THAT(object->spec, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_FALSE(object->status.has_value());
  }
  // Where it is wrong is said from the object's top.
  EXPECT_THAT(std::string(ParseObject(R"(,"spec":{"scope":7})")->spec.status().message()),
              HasSubstr("spec.scope"));
}

TEST(AccessPolicyTest, ReadsItsStatus) {
  const absl::StatusOr<AccessPolicy> object = ParseObject(
      R"(,"spec":{"scope":"NAMESPACE","action":"ALLOW"},"status":{"observedGeneration":2,"conditions":[)"
      R"({"type":"Other","status":"True"},{"type":"Accepted","status":"False","reason":"Invalid",)"
      R"("message":"m","observedGeneration":2,"lastTransitionTime":"2026-01-01T00:00:00Z"}],)"
      R"("lastAccepted":{"generation":1,"spec":"{}"}})");
  ASSERT_THAT(object, IsOk());
  ASSERT_TRUE(object->status.has_value());
  EXPECT_EQ(*object->status, (AccessPolicyStatus{false, "Invalid", "m", 2, 1, "{}"}));
  EXPECT_EQ(object->since, "2026-01-01T00:00:00Z");
}

TEST(AccessPolicyTest, HasNoStatusThatIsNotUnderstood) {
  for (const char* status : {"null", "7", "{}", R"({"conditions":[{"type":"Accepted"}]})",
                             R"({"lastAccepted":{"generation":0,"spec":""}})"}) {
    const absl::StatusOr<AccessPolicy> object = ParseObject(absl::StrCat(R"(,"status":)", status));
    ASSERT_THAT(object, IsOk());
    EXPECT_FALSE(object->status.has_value()) << status;
  }
}

}  // namespace
}  // namespace byrnie
