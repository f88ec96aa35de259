#include <memory>
#include <string>

#include "common/base/status_matchers.h"
#include "common/policy/authorizer.h"
#include "gmock/gmock.h"
#include "google/protobuf/repeated_field.h"
#include "gtest/gtest.h"
#include "istio/security/authorization.pb.h"

// What is taken for a set of policies, and what rejects it.

namespace byrnie {
namespace {

namespace pb = ::istio::security;
using ::testing::AllOf;
using ::testing::HasSubstr;

using Policies = google::protobuf::RepeatedPtrField<pb::Authorization>;

// A policy of namespace demo with one rule of one clause of one match, which `match` points to.
pb::Authorization* Add(Policies* policies, const std::string& name, pb::Action action,
                       pb::Match** match = nullptr) {
  pb::Authorization* policy = policies->Add();
  policy->set_name(name);
  policy->set_namespace_("demo");
  policy->set_scope(pb::NAMESPACE);
  policy->set_action(action);
  pb::Match* made = policy->add_rules()->add_clauses()->add_matches();
  if (match != nullptr) *match = made;
  return policy;
}

class InvalidPolicyTest : public ::testing::Test {
 protected:
  InvalidPolicyTest() { policy_ = Add(&policies_, "p", pb::ALLOW, &match_); }
  absl::Status Create() const { return PolicySet::Create(1, policies_).status(); }
  // Replaces the policy by what is parsed of its bytes with `extra` behind them.
  absl::Status CreateWithBytes(const std::string& extra) {
    std::string bytes = policy_->SerializeAsString() + extra;
    Policies policies;
    EXPECT_TRUE(policies.Add()->ParseFromString(bytes));
    return PolicySet::Create(1, policies).status();
  }
  // `message` as field `number` of the one around it.
  static std::string Wrap(int number, const std::string& message) {
    std::string out(1, static_cast<char>(number << 3 | 2));
    out.push_back(static_cast<char>(message.size()));
    return out + message;
  }
  static ::testing::Matcher<absl::Status> Rejected(const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument,
                    AllOf(HasSubstr("policy \"demo/p\""), HasSubstr(text)));
  }

  Policies policies_;
  pb::Authorization* policy_;
  pb::Match* match_;
};

TEST_F(InvalidPolicyTest, OneBadPolicyRejectsTheSet) {
  EXPECT_THAT(Create(), IsOk());
  pb::Authorization* other = Add(&policies_, "zz", pb::ALLOW);
  other->set_action(static_cast<pb::Action>(2));
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kInvalidArgument,
                                 AllOf(HasSubstr("demo/zz"), HasSubstr("unknown action 2"))));
}

TEST_F(InvalidPolicyTest, RejectsUnknownEnumValues) {
  policy_->set_scope(static_cast<pb::Scope>(3));
  EXPECT_THAT(Create(), Rejected("unknown scope 3"));
  policy_->set_scope(static_cast<pb::Scope>(-1));
  EXPECT_THAT(Create(), Rejected("unknown scope -1"));
}

TEST_F(InvalidPolicyTest, RejectsUnknownFieldsAtEveryDepth) {
  // Field 15, a varint, behind the known fields of each message.
  const std::string field("\x78\x01", 2);
  EXPECT_THAT(CreateWithBytes(field), Rejected("unknown field 15"));
  const std::string rule = Wrap(5, field);
  EXPECT_THAT(CreateWithBytes(rule), Rejected("in \"rules\""));
  EXPECT_THAT(CreateWithBytes(Wrap(5, Wrap(1, field))), Rejected("in \"rules.clauses\""));
  const auto in_match = [this](const std::string& match) {
    return CreateWithBytes(Wrap(5, Wrap(1, Wrap(2, match))));
  };
  EXPECT_THAT(in_match(field), Rejected("in \"rules.clauses.matches\""));
  for (int kind = 1; kind <= 12; ++kind) {
    if (kind == 9 || kind == 10) continue;  // Numbers.
    EXPECT_THAT(in_match(Wrap(kind, field)), Rejected("in \"rules.clauses.matches."));
  }
  EXPECT_THAT(in_match(Wrap(1, Wrap(4, field))), Rejected("namespaces.presence"));
}

TEST_F(InvalidPolicyTest, RejectsAKnownFieldOfAnotherType) {
  EXPECT_THAT(CreateWithBytes(Wrap(4, "x")), Rejected("unknown field 4 of wire type 2"));
}

TEST_F(InvalidPolicyTest, AcceptsPortsInEitherEncoding) {
  const std::string packed = Wrap(5, Wrap(1, Wrap(2, std::string("\x4a\x01\x50", 3))));
  const std::string unpacked = Wrap(5, Wrap(1, Wrap(2, std::string("\x48\x50", 2))));
  EXPECT_THAT(CreateWithBytes(packed), IsOk());
  EXPECT_THAT(CreateWithBytes(unpacked), IsOk());
}

TEST_F(InvalidPolicyTest, RejectsNamesThatAreNoKey) {
  policy_->set_namespace_("de/mo");
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'/'")));
  policy_->clear_namespace_();
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no namespace")));
  policy_->set_scope(pb::GLOBAL);
  EXPECT_THAT(Create(), IsOk());
  policy_->clear_name();
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no name")));
}

TEST_F(InvalidPolicyTest, RejectsANameThatAppearsTwice) {
  Add(&policies_, "p", pb::DENY);
  EXPECT_THAT(Create(), Rejected("appears twice"));
}

TEST_F(InvalidPolicyTest, RejectsValuesThatMeanNothing) {
  const auto reject = [this](void (*fill)(pb::Match*), const std::string& text) {
    match_->Clear();
    fill(match_);
    EXPECT_THAT(Create(), Rejected(text));
  };
  reject([](pb::Match* m) { m->add_not_principals(); }, "not_principals: no exact");
  reject([](pb::Match* m) { m->add_namespaces(); }, "namespaces: no exact");
  reject([](pb::Match* m) { m->add_destination_ports(0); }, "port 0");
  reject([](pb::Match* m) { m->add_not_destination_ports(65536); }, "port 65536");
  reject([](pb::Match* m) { m->add_source_ips(); }, "source_ips: ");
  reject([](pb::Match* m) { m->add_source_ips()->set_address("12345"); }, "source_ips: ");
  reject(
      [](pb::Match* m) {
        pb::Address* block = m->add_not_destination_ips();
        block->set_address(std::string(4, '\1'));
        block->set_length(33);
      },
      "not_destination_ips: prefix length 33");
  reject(
      [](pb::Match* m) {
        pb::Address* block = m->add_source_ips();
        block->set_address(std::string(10, '\0') + "\xFF\xFF" + std::string(4, '\1'));
        block->set_length(90);
      },
      "IPv4-mapped");
  reject([](pb::Match* m) { m->add_service_accounts()->set_service_account("x"); },
         "service_accounts: ");
}

TEST(PolicySetTest, KeepsEpochAndOrder) {
  Policies policies;
  Add(&policies, "b", pb::ALLOW);
  Add(&policies, "a", pb::DENY);
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<const PolicySet> set, PolicySet::Create(7, policies));
  EXPECT_EQ(set->epoch(), 7u);
  ASSERT_EQ(set->policies().size(), 2u);
  EXPECT_EQ(set->policies()[0].Key(), "demo/a");
  EXPECT_EQ(set->Find("demo/b"), 1u);
  EXPECT_EQ(set->Find("demo/c"), PolicySet::npos);
}

}  // namespace
}  // namespace byrnie
