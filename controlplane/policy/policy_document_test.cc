#include "controlplane/policy/policy_document.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/grpc/error_details.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string WithMatch(const std::string& match) {
  return absl::StrCat(
      R"({"name":"x","namespace":"demo","scope":"NAMESPACE","action":"ALLOW","rules":[{"clauses":[{"matches":[)",
      match, "]}]}]}");
}

std::string FieldOf(const absl::Status& status) {
  google::rpc::BadRequest detail;
  return GetDetail(status, &detail) && detail.field_violations_size() == 1
             ? detail.field_violations(0).field()
             : "";
}

TEST(PolicyDocumentTest, WhatIsWrittenIsReadAsTheSame) {
  const std::string text = WithMatch(R"({
      "namespaces":[{"exact":"a"}],"not_namespaces":[{"prefix":"b"}],
      "principals":[{"suffix":"/sa/c"},{"presence":true}],
      "not_principals":[{"exact":"cluster.local/ns/d/sa/e"}],
      "source_ips":["10.0.0.0/8","fd00::/8"],"not_source_ips":["10.1.2.3"],
      "destination_ips":["10.0.0.1"],"not_destination_ips":["10.0.0.2/31"],
      "destination_ports":[80,8080],"not_destination_ports":[81],
      "service_accounts":[{"namespace":"a","service_account":"b"}],
      "not_service_accounts":[{"namespace":"c","service_account":"d"}]})");
  auto policy = ParsePolicyDocument(text);
  ASSERT_THAT(policy, IsOk());
  policy->set_dry_run(true);
  const std::string written = WritePolicyDocument(*policy);
  auto again = ParsePolicyDocument(written);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->SerializeAsString(), policy->SerializeAsString());
  EXPECT_EQ(WritePolicyDocument(*again), written);
}

TEST(PolicyDocumentTest, EmptyRulesAndClausesStayWhatTheyAre) {
  for (const char* rules :
       {"[]", "[{}]", R"([{"clauses":[{}]}])", R"([{"clauses":[{"matches":[{}]}]}])"}) {
    const std::string text = absl::StrCat(
        R"({"name":"x","namespace":"demo","scope":"GLOBAL","action":"DENY","rules":)", rules, "}");
    auto policy = ParsePolicyDocument(text);
    ASSERT_THAT(policy, IsOk());
    EXPECT_EQ(ParsePolicyDocument(WritePolicyDocument(*policy))->SerializeAsString(),
              policy->SerializeAsString());
  }
}

TEST(PolicyDocumentTest, RefusesWhatItDoesNotUnderstandAndNamesThePlace) {
  const struct {
    std::string text, field;
  } kCases[] = {
      {"", "document"},
      {"{", "document"},
      {"[]", "document"},
      {R"({"name":"x","namespace":"demo","scope":"NAMESPACE","action":"AUDIT"})",
       "document.action"},
      {R"({"name":"x","namespace":"demo","scope":"ALL","action":"DENY"})", "document.scope"},
      {R"({"name":"x","namespace":"demo","scope":"GLOBAL"})", "document"},
      {R"({"name":"a/b","namespace":"demo","scope":"GLOBAL","action":"DENY"})", "document"},
      {WithMatch(R"({"ports":[80]})"), "document.rules[0].clauses[0].matches[0]"},
      {WithMatch(R"({"destination_ports":[0]})"),
       "document.rules[0].clauses[0].matches[0].destination_ports[0]"},
  };
  for (const auto& c : kCases) {
    const absl::Status status = ParsePolicyDocument(c.text).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << c.text;
    EXPECT_THAT(FieldOf(status), StartsWith(c.field)) << status;
  }
}

TEST(PolicyDocumentTest, RefusesOneThatIsTooLong) {
  EXPECT_THAT(ParsePolicyDocument(std::string(kMaxPolicyDocument + 1, ' ')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("document")));
}

}  // namespace
}  // namespace byrnie
