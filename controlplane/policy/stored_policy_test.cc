#include "controlplane/policy/stored_policy.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "byrnie/store/v1/policy.pb.h"
#include "common/base/status_matchers.h"
#include "controlplane/policy/policy_document.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

std::string Record(const std::string& document) {
  byrnie::store::v1::Policy record;
  record.set_document(document);
  return record.SerializeAsString();
}

// As a newer release might write it.
std::string Newer(const std::string& scope, const std::string& action,
                  const std::string& more = "") {
  return Record(absl::StrCat(R"({"name":"x","namespace":"demo","scope":")", scope,
                             R"(","action":")", action, R"(","weather":"rain")", more, "}"));
}

istio::security::Authorization StandIn(const std::string& value) {
  const auto stand_in = StandInFor("demo/x", value);
  EXPECT_TRUE(stand_in.has_value());
  return stand_in.value_or(istio::security::Authorization());
}

TEST(StoredPolicyTest, IsReadAsItWasWritten) {
  const auto policy = ParsePolicyDocument(
      R"({"name":"x","namespace":"demo","scope":"NAMESPACE","action":"ALLOW"})");
  ASSERT_THAT(policy, IsOk());
  const auto read =
      ReadStoredPolicy("demo/x", WriteStoredPolicy(*policy, "bob", absl::FromUnixSeconds(7)));
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->policy.SerializeAsString(), policy->SerializeAsString());
  EXPECT_EQ(read->applied_by, "bob");
  EXPECT_EQ(read->applied_at, absl::FromUnixSeconds(7));
}

TEST(StoredPolicyTest, WhatIsNotUnderstoodIsRefused) {
  const auto refused = [](const std::string& value) {
    return ReadStoredPolicy("demo/x", value).status();
  };
  EXPECT_THAT(refused("nonsense"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("damaged")));
  EXPECT_THAT(refused(Newer("NAMESPACE", "DENY")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("weather")));
  EXPECT_THAT(
      refused(Record(R"({"name":"y","namespace":"demo","scope":"NAMESPACE","action":"ALLOW"})")),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("of another policy")));
}

TEST(StandInTest, DeniesTheWholeMeshWhereNothingIsKnown) {
  for (const std::string& value :
       {std::string("nonsense"), Record("{"), Record("{}"), Newer("GALAXY", "DENY")}) {
    const auto stand_in = StandIn(value);
    EXPECT_EQ(stand_in.name(), "x");
    EXPECT_EQ(stand_in.namespace_(), "demo");
    EXPECT_EQ(stand_in.scope(), istio::security::GLOBAL);
    EXPECT_EQ(stand_in.action(), istio::security::DENY);
    ASSERT_EQ(stand_in.rules_size(), 1);
    EXPECT_FALSE(stand_in.dry_run());
    EXPECT_EQ(DescribeStandIn(stand_in),
              "a policy that denies every connection to the pods of the whole mesh");
  }
}

TEST(StandInTest, IsNarrowedByWhatTheRecordTells) {
  EXPECT_EQ(DescribeStandIn(StandIn(Newer("NAMESPACE", "DENY"))),
            "a policy that denies every connection to the pods of namespace demo");
  EXPECT_EQ(DescribeStandIn(StandIn(Newer("WORKLOAD_SELECTOR", "LOG"))),
            "a policy that denies every connection to the pods that name it");
  const auto allows = StandIn(Newer("NAMESPACE", "ALLOW"));
  EXPECT_EQ(allows.action(), istio::security::ALLOW);
  EXPECT_EQ(allows.rules_size(), 0);
  EXPECT_THAT(DescribeStandIn(allows), HasSubstr("allows nothing"));
  EXPECT_TRUE(StandIn(Newer("NAMESPACE", "DENY", R"(,"dry_run":true)")).dry_run());
}

TEST(StandInTest, AnotherPolicysRecordNarrowsNothing) {
  const auto stand_in =
      StandIn(Record(R"({"name":"y","namespace":"demo","scope":"NAMESPACE","action":"ALLOW"})"));
  EXPECT_EQ(stand_in.scope(), istio::security::GLOBAL);
  EXPECT_EQ(stand_in.action(), istio::security::DENY);
}

TEST(StandInTest, ThereIsNoneForAKeyThatNoPolicyHas) {
  for (const char* key : {"", "x", "demo/", "/x", "a/b/c", "demo/x y"}) {
    EXPECT_FALSE(StandInFor(key, "nonsense").has_value()) << key;
  }
}

}  // namespace
}  // namespace byrnie
