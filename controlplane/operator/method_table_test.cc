#include "controlplane/operator/method_table.h"

#include <set>
#include <string>

#include "absl/strings/match.h"
#include "byrnie/operator/v1/operator.pb.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

const google::protobuf::ServiceDescriptor& Service() {
  return *byrnie::operator_::v1::GetStatusRequest::descriptor()->file()->FindServiceByName(
      "Operator");
}

TEST(MethodTableTest, SaysOfEveryMethodOfTheServiceWhoMayCallIt) {
  for (int i = 0; i < Service().method_count(); ++i) {
    const std::string& name = Service().method(i)->name();
    EXPECT_NE(FindMethodRule(name), nullptr) << name << " is refused to everybody; put it in";
  }
}

TEST(MethodTableTest, SaysItOnceAndOfNothingElse) {
  std::set<std::string> names;
  for (const MethodRule& rule : MethodTable()) {
    EXPECT_TRUE(names.insert(std::string(rule.method)).second) << rule.method;
    EXPECT_NE(Service().FindMethodByName(std::string(rule.method)), nullptr) << rule.method;
  }
}

// OperatorService finds the rule by the request's name, which cannot be mistyped in one place.
TEST(MethodTableTest, EveryRequestIsNamedAfterItsMethod) {
  for (int i = 0; i < Service().method_count(); ++i) {
    const auto* method = Service().method(i);
    EXPECT_EQ(method->input_type()->name(), method->name() + "Request");
  }
}

TEST(MethodTableTest, WhatOnlyLooksIsForViewersTokensAreForWhoMakesThem) {
  for (const MethodRule& rule : MethodTable()) {
    const bool operators = absl::StrContains(rule.method, "OperatorToken");
    const bool tokens = absl::StrContains(rule.method, "Token");
    // Whom the whole mesh trusts.
    const bool trust = absl::EndsWith(rule.method, "Trust") || rule.method == "RevokeCertificate";
    EXPECT_EQ(rule.role, operators || (trust && rule.mutates) ? Role::kAdmin
                         : tokens || rule.mutates             ? Role::kOperator
                                                              : Role::kViewer)
        << rule.method;
  }
}

TEST(MethodTableTest, AnUnknownMethodHasNoRule) {
  EXPECT_EQ(FindMethodRule(""), nullptr);
  EXPECT_EQ(FindMethodRule("GetStatusX"), nullptr);
}

TEST(RoleTest, IncludesTheOnesBefore) {
  EXPECT_TRUE(Includes(Role::kAdmin, Role::kViewer));
  EXPECT_TRUE(Includes(Role::kOperator, Role::kOperator));
  EXPECT_FALSE(Includes(Role::kViewer, Role::kOperator));
  EXPECT_FALSE(Includes(Role::kOperator, Role::kAdmin));
}

TEST(RoleTest, ReadsItsNamesAndNothingElse) {
  for (const Role role : {Role::kViewer, Role::kOperator, Role::kAdmin}) {
    EXPECT_EQ(*ParseRole(NameOf(role)), role);
  }
  EXPECT_FALSE(ParseRole("Admin").ok());
  EXPECT_FALSE(ParseRole("").ok());
}

}  // namespace
}  // namespace byrnie
