#include "proxy/authorizer.h"

#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "google/protobuf/repeated_field.h"
#include "gtest/gtest.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {
namespace {

namespace pb = ::istio::security;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Policies = google::protobuf::RepeatedPtrField<pb::Authorization>;

IpAddress Ip(absl::string_view text) { return IpAddress::Parse(text).value(); }
SpiffeId Id(absl::string_view text) { return SpiffeId::Parse(text).value(); }

std::shared_ptr<const PolicySet> Set(const Policies& policies) {
  absl::StatusOr<std::shared_ptr<const PolicySet>> set = PolicySet::Create(1, policies);
  EXPECT_TRUE(set.ok()) << set.status();
  return set.ok() ? *set : nullptr;
}

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

WorkloadSelector DemoWorkload() {
  WorkloadSelector workload;
  workload.trust_domain = "cluster.local";
  workload.ns = "demo";
  return workload;
}

ConnectionFacts FromClient(absl::string_view peer = "spiffe://cluster.local/ns/demo/sa/client") {
  ConnectionFacts facts;
  facts.peer = Id(peer);
  facts.source = Ip("10.0.0.1");
  facts.destination = SocketAddress(Ip("10.0.0.2"), 8080);
  return facts;
}

ConnectionFacts Plaintext(bool admitted) {
  ConnectionFacts facts = FromClient();
  facts.peer.reset();
  facts.plaintext_admitted = admitted;
  return facts;
}

std::string Reason(const Policies& policies, const ConnectionFacts& facts) {
  const Decision decision = Authorize(Set(policies).get(), DemoWorkload(), facts);
  return absl::StrCat(decision.allowed ? "+" : "-", decision.reason);
}

TEST(AuthorizerTest, DeniesEverythingBeforeTheFirstPolicySet) {
  for (const ConnectionFacts& facts : {FromClient(), Plaintext(true)}) {
    const Decision decision = Authorize(nullptr, DemoWorkload(), facts);
    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.reason, "no-policy-snapshot");
  }
}

TEST(AuthorizerTest, WithoutPoliciesThePeersOfTheTrustDomainAreAllowed) {
  EXPECT_EQ(Reason({}, FromClient()), "+default-allow-same-trust-domain");
  EXPECT_EQ(Reason({}, FromClient("spiffe://other.local/ns/demo/sa/client")),
            "-foreign-trust-domain");
  EXPECT_EQ(Reason({}, FromClient("spiffe://cluster.local.evil/ns/demo/sa/client")),
            "-foreign-trust-domain");
  WorkloadSelector unknown_self = DemoWorkload();
  unknown_self.trust_domain.clear();
  EXPECT_FALSE(Authorize(Set({}).get(), unknown_self, FromClient()).allowed);
}

TEST(AuthorizerTest, PlaintextIsAllowedOnlyWhereItIsAdmitted) {
  EXPECT_EQ(Reason({}, Plaintext(true)), "+default-allow-plaintext");
  EXPECT_EQ(Reason({}, Plaintext(false)), "-plaintext-refused");
  Policies allow_all;
  Add(&allow_all, "all", pb::ALLOW);
  EXPECT_EQ(Reason(allow_all, Plaintext(true)), "+allowed-by demo/all");
  EXPECT_EQ(Reason(allow_all, Plaintext(false)), "-plaintext-refused");
}

TEST(AuthorizerTest, DenyWinsOverAllow) {
  Policies policies;
  Add(&policies, "a-allow", pb::ALLOW);
  Add(&policies, "z-deny", pb::DENY);
  EXPECT_EQ(Reason(policies, FromClient()), "-policy-deny demo/z-deny");
}

TEST(AuthorizerTest, WhereAllowPoliciesApplyOneMustMatch) {
  Policies policies;
  pb::Match* match;
  Add(&policies, "only-other", pb::ALLOW, &match);
  match->add_principals()->set_exact("cluster.local/ns/demo/sa/other");
  EXPECT_EQ(Reason(policies, FromClient()), "-no-allow-match");
  EXPECT_EQ(Reason(policies, FromClient("spiffe://cluster.local/ns/demo/sa/other")),
            "+allowed-by demo/only-other");
}

TEST(AuthorizerTest, AnAllowPolicyMayNameAnotherTrustDomain) {
  Policies policies;
  pb::Match* match;
  Add(&policies, "federated", pb::ALLOW, &match);
  match->add_principals()->set_prefix("partner.example/");
  EXPECT_EQ(Reason(policies, FromClient("spiffe://partner.example/ns/x/sa/y")),
            "+allowed-by demo/federated");
}

TEST(AuthorizerTest, ADenyPolicyThatDoesNotMatchLeavesTheDefault) {
  Policies policies;
  pb::Match* match;
  Add(&policies, "deny-9", pb::DENY, &match);
  match->add_destination_ports(9);
  EXPECT_EQ(Reason(policies, FromClient()), "+default-allow-same-trust-domain");
}

TEST(AuthorizerTest, EmptyRulesAndClausesNeverMatchAndAClauseWithoutMatchesAlwaysDoes) {
  Policies policies;
  pb::Authorization* policy = Add(&policies, "p", pb::ALLOW);
  policy->clear_rules();  // Allows nobody: Istio's allow-nothing.
  EXPECT_EQ(Reason(policies, FromClient()), "-no-allow-match");
  policy->add_rules();
  EXPECT_EQ(Reason(policies, FromClient()), "-no-allow-match");
  policy->mutable_rules(0)->add_clauses();
  EXPECT_EQ(Reason(policies, FromClient()), "+allowed-by demo/p");
}

TEST(AuthorizerTest, AMatchWithNothingSetMatchesEverything) {
  Policies policies;
  Add(&policies, "deny-all", pb::DENY);
  EXPECT_EQ(Reason(policies, FromClient()), "-policy-deny demo/deny-all");
}

TEST(AuthorizerTest, RulesAndMatchesAreAlternativesClausesAreNot) {
  Policies policies;
  pb::Authorization* policy = Add(&policies, "p", pb::ALLOW);
  policy->clear_rules();
  pb::Rule* rule = policy->add_rules();
  pb::Clause* ports = rule->add_clauses();
  ports->add_matches()->add_destination_ports(1);
  ports->add_matches()->add_destination_ports(8080);
  rule->add_clauses()->add_matches()->add_namespaces()->set_exact("demo");
  EXPECT_EQ(Reason(policies, FromClient()), "+allowed-by demo/p");
  EXPECT_EQ(Reason(policies, FromClient("spiffe://cluster.local/ns/x/sa/client")),
            "-no-allow-match");
  ports->mutable_matches(1)->set_destination_ports(0, 8081);
  EXPECT_EQ(Reason(policies, FromClient()), "-no-allow-match");
  policy->add_rules()->add_clauses();
  EXPECT_EQ(Reason(policies, FromClient()), "+allowed-by demo/p");
}

TEST(AuthorizerTest, KindsWithinAMatchMustAllHold) {
  Policies policies;
  pb::Match* match;
  Add(&policies, "p", pb::ALLOW, &match);
  match->add_namespaces()->set_exact("demo");
  match->add_destination_ports(8080);
  match->add_destination_ports(8081);
  pb::ServiceAccountMatch* account = match->add_service_accounts();
  account->set_namespace_("demo");
  account->set_service_account("client");
  pb::Address* source = match->add_source_ips();
  source->set_address(Ip("10.0.0.0").ToBytes());
  source->set_length(24);
  EXPECT_EQ(Reason(policies, FromClient()), "+allowed-by demo/p");
  ConnectionFacts elsewhere = FromClient();
  elsewhere.source = Ip("10.0.1.1");
  EXPECT_EQ(Reason(policies, elsewhere), "-no-allow-match");
  ConnectionFacts other_port = FromClient();
  other_port.destination = SocketAddress(Ip("10.0.0.2"), 80);
  EXPECT_EQ(Reason(policies, other_port), "-no-allow-match");
  account->set_namespace_("other");
  EXPECT_EQ(Reason(policies, FromClient()), "-no-allow-match");
}

TEST(AuthorizerTest, ScopeSaysWhichWorkloadsAPolicyConcerns) {
  Policies policies;
  pb::Authorization* policy = Add(&policies, "p", pb::DENY);
  policy->set_scope(pb::NAMESPACE);
  WorkloadSelector elsewhere = DemoWorkload();
  elsewhere.ns = "other";
  EXPECT_TRUE(Authorize(Set(policies).get(), elsewhere, FromClient()).allowed);
  EXPECT_FALSE(Authorize(Set(policies).get(), DemoWorkload(), FromClient()).allowed);

  policy->set_scope(pb::GLOBAL);
  EXPECT_FALSE(Authorize(Set(policies).get(), elsewhere, FromClient()).allowed);

  policy->set_scope(pb::WORKLOAD_SELECTOR);
  EXPECT_TRUE(Authorize(Set(policies).get(), DemoWorkload(), FromClient()).allowed);
  WorkloadSelector selected = elsewhere;
  selected.policies = {"demo/p"};
  EXPECT_EQ(Authorize(Set(policies).get(), selected, FromClient()).reason, "policy-deny demo/p");
}

TEST(AuthorizerTest, ASelectedPolicyThatHasNotArrivedDenies) {
  WorkloadSelector workload = DemoWorkload();
  workload.policies = {"demo/late"};
  const Decision decision = Authorize(Set({}).get(), workload, FromClient());
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.reason, "policy-missing demo/late");
}

TEST(AuthorizerTest, DryRunPoliciesOnlyReport) {
  Policies policies;
  pb::Match* match;
  Add(&policies, "a-deny", pb::DENY)->set_dry_run(true);
  Add(&policies, "b-allow-none", pb::ALLOW, &match)->set_dry_run(true);
  match->add_destination_ports(1);
  Add(&policies, "c-allow", pb::ALLOW)->set_dry_run(true);
  Add(&policies, "d-deny-none", pb::DENY, &match)->set_dry_run(true);
  match->add_destination_ports(1);
  const Decision decision = Authorize(Set(policies).get(), DemoWorkload(), FromClient());
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.reason, "default-allow-same-trust-domain");
  ASSERT_EQ(decision.dry_run.size(), 4u);
  EXPECT_EQ(decision.dry_run[0].policy, "demo/a-deny");
  EXPECT_EQ(decision.dry_run[0].effect, DryRunResult::Effect::kWouldDeny);
  EXPECT_EQ(decision.dry_run[1].effect, DryRunResult::Effect::kWouldDeny);
  EXPECT_EQ(decision.dry_run[2].effect, DryRunResult::Effect::kWouldAllow);
  EXPECT_EQ(decision.dry_run[3].effect, DryRunResult::Effect::kWouldNotDeny);
}

// Negative values speak of an attribute the peer does not have: plaintext, or an identity of
// another shape.
TEST(AuthorizerTest, NegativeMatchesOfAnAbsentIdentityFailClosed) {
  using Fill = void (*)(pb::Match*);
  const Fill fills[] = {
      [](pb::Match* m) { m->add_not_principals()->set_exact("cluster.local/ns/demo/sa/bad"); },
      [](pb::Match* m) { m->add_not_namespaces()->set_exact("bad"); },
      [](pb::Match* m) {
        pb::ServiceAccountMatch* account = m->add_not_service_accounts();
        account->set_namespace_("demo");
        account->set_service_account("bad");
      },
  };
  for (const Fill fill : fills) {
    pb::Match* match;
    Policies allow;
    Add(&allow, "p", pb::ALLOW, &match);
    fill(match);
    Policies deny;
    Add(&deny, "p", pb::DENY, &match);
    fill(match);
    // A peer that has the attribute, and is not the one named: both policies match.
    EXPECT_EQ(Reason(allow, FromClient()), "+allowed-by demo/p");
    EXPECT_EQ(Reason(deny, FromClient()), "-policy-deny demo/p");
    // Nobody is known: the allowing policy does not match, the denying one does.
    EXPECT_EQ(Reason(allow, Plaintext(true)), "-no-allow-match");
    EXPECT_EQ(Reason(deny, Plaintext(true)), "-policy-deny demo/p");
  }
  // An identity without a namespace and service account.
  for (size_t i = 1; i < 3; ++i) {
    pb::Match* match;
    Policies allow;
    Add(&allow, "p", pb::ALLOW, &match);
    fills[i](match);
    EXPECT_EQ(Reason(allow, FromClient("spiffe://cluster.local/vm/7")), "-no-allow-match");
    match->Clear();
    Policies deny;
    Add(&deny, "p", pb::DENY, &match);
    fills[i](match);
    EXPECT_EQ(Reason(deny, FromClient("spiffe://cluster.local/vm/7")), "-policy-deny demo/p");
  }
}

TEST(AuthorizerTest, PositiveMatchesOfAnAbsentIdentityNeverMatch) {
  pb::Match* match;
  Policies policies;
  Add(&policies, "p", pb::ALLOW, &match);
  match->add_principals()->set_prefix("");
  EXPECT_EQ(Reason(policies, Plaintext(true)), "-no-allow-match");
  EXPECT_EQ(Reason(policies, FromClient()), "+allowed-by demo/p");
  match->Clear();
  match->add_namespaces()->mutable_presence();
  EXPECT_EQ(Reason(policies, Plaintext(true)), "-no-allow-match");
  EXPECT_EQ(Reason(policies, FromClient("spiffe://cluster.local/vm/7")), "-no-allow-match");
  EXPECT_EQ(Reason(policies, FromClient()), "+allowed-by demo/p");
}

// CVE-2026-39350: a '.' in a service account matched any character.
TEST(AuthorizerTest, ADotIsADot) {
  pb::Match* match;
  Policies policies;
  Add(&policies, "p", pb::ALLOW, &match);
  pb::ServiceAccountMatch* account = match->add_service_accounts();
  account->set_namespace_("demo");
  account->set_service_account("cert-manager.io");
  EXPECT_EQ(Reason(policies, FromClient("spiffe://cluster.local/ns/demo/sa/cert-manager.io")),
            "+allowed-by demo/p");
  EXPECT_EQ(Reason(policies, FromClient("spiffe://cluster.local/ns/demo/sa/cert-managerXio")),
            "-no-allow-match");
  match->Clear();
  match->add_principals()->set_exact("cluster.local/ns/demo/sa/cert-manager.io");
  EXPECT_EQ(Reason(policies, FromClient("spiffe://cluster.local/ns/demo/sa/cert-managerXio")),
            "-no-allow-match");
}

// CVE-2020-16844: DENY with a suffix was bypassed.
TEST(AuthorizerTest, ASuffixDeniesEveryIdentityThatEndsWithIt) {
  pb::Match* match;
  Policies policies;
  Add(&policies, "p", pb::DENY, &match);
  match->add_principals()->set_suffix("/sa/bad");
  for (const char* peer : {"spiffe://cluster.local/ns/demo/sa/bad",
                           "spiffe://other.local/ns/x/sa/bad", "spiffe://a/sa/bad"}) {
    EXPECT_EQ(Reason(policies, FromClient(peer)), "-policy-deny demo/p") << peer;
  }
  EXPECT_EQ(Reason(policies, FromClient("spiffe://cluster.local/ns/demo/sa/bad2")),
            "+default-allow-same-trust-domain");
}

TEST(AuthorizerTest, AStarIsAStar) {
  pb::Match* match;
  Policies policies;
  Add(&policies, "p", pb::ALLOW, &match);
  match->add_principals()->set_exact("*");
  match->add_namespaces()->set_suffix("*");
  EXPECT_EQ(Reason(policies, FromClient()), "-no-allow-match");
}

// GHSA-6g5f-f5pm-mjrg: a policy was not applied to plain TCP.
TEST(AuthorizerTest, DenyAllBlocksEveryPortForEveryPeer) {
  Policies policies;
  Add(&policies, "deny-all", pb::DENY);
  const std::shared_ptr<const PolicySet> set = Set(policies);
  for (int port = 0; port <= 65535; ++port) {
    ConnectionFacts facts = port % 2 == 0 ? FromClient() : Plaintext(true);
    facts.destination =
        SocketAddress(Ip(port % 3 == 0 ? "fd77::2" : "10.0.0.2"), static_cast<uint16_t>(port));
    ASSERT_FALSE(Authorize(set.get(), DemoWorkload(), facts).allowed) << port;
  }
}

TEST(AuthorizerTest, CidrBlocksEndAtTheirBit) {
  const auto allows = [](const std::string& block, int length, const char* source) {
    pb::Match* match;
    Policies policies;
    Add(&policies, "p", pb::ALLOW, &match);
    pb::Address* address = match->add_source_ips();
    address->set_address(block);
    address->set_length(length);
    ConnectionFacts facts = FromClient();
    facts.source = Ip(source);
    return Authorize(Set(policies).get(), DemoWorkload(), facts).allowed;
  };
  const std::string ten = Ip("10.0.0.0").ToBytes();
  EXPECT_TRUE(allows(ten, 9, "10.127.255.255"));
  EXPECT_FALSE(allows(ten, 9, "10.128.0.0"));
  EXPECT_TRUE(allows(ten, 32, "10.0.0.0"));
  EXPECT_FALSE(allows(ten, 32, "10.0.0.1"));
  EXPECT_TRUE(allows(ten, 0, "255.1.2.3"));
  EXPECT_FALSE(allows(ten, 0, "fd77::1"));
  EXPECT_FALSE(allows(std::string(16, '\0'), 0, "10.0.0.1"));
  EXPECT_TRUE(allows(std::string(16, '\0'), 0, "fd77::1"));
  EXPECT_TRUE(allows(Ip("fd77::").ToBytes(), 17, "fd77:7fff::1"));
  EXPECT_FALSE(allows(Ip("fd77::").ToBytes(), 17, "fd77:8000::1"));
  EXPECT_TRUE(allows(Ip("10.1.2.3").ToBytes(), 8, "10.9.9.9"));  // Bits beyond the prefix.
  const std::string mapped = std::string(10, '\0') + "\xFF\xFF" + ten;
  EXPECT_TRUE(allows(mapped, 104, "10.1.1.1"));
  EXPECT_FALSE(allows(mapped, 104, "11.1.1.1"));
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

// ---- The authorizer against a second, naive implementation that reads the messages themselves.
// ----

struct Peer {
  std::string principal, ns, account;  // Empty: absent.
};

// An address as a text of '0' and '1', with 4 or 6 in front of it.
std::string Bits(const std::string& bytes) {
  std::string raw = bytes;
  std::string out = "6";
  if (raw.size() == 16 && raw.substr(0, 12) == std::string(10, '\0') + "\xFF\xFF") {
    raw = raw.substr(12);
  }
  if (raw.size() == 4) out = "4";
  for (const char c : raw) {
    for (int bit = 7; bit >= 0; --bit) out += (c >> bit & 1) != 0 ? '1' : '0';
  }
  return out;
}

bool NaiveString(const pb::StringMatch& m, const std::string& v) {
  if (m.has_exact()) return v == m.exact();
  if (m.has_prefix()) return v.rfind(m.prefix(), 0) == 0;
  if (m.has_suffix()) {
    return v.size() >= m.suffix().size() && v.substr(v.size() - m.suffix().size()) == m.suffix();
  }
  return m.has_presence() && !v.empty();
}

bool NaiveStrings(const google::protobuf::RepeatedPtrField<pb::StringMatch>& yes,
                  const google::protobuf::RepeatedPtrField<pb::StringMatch>& no,
                  const std::string& value, bool deny) {
  bool positive = yes.empty();
  for (const auto& m : yes) positive = positive || (!value.empty() && NaiveString(m, value));
  bool negative = true;
  if (!no.empty() && value.empty()) negative = deny;
  for (const auto& m : no) negative = negative && !(!value.empty() && NaiveString(m, value));
  return positive && negative;
}

bool NaiveIps(const google::protobuf::RepeatedPtrField<pb::Address>& yes,
              const google::protobuf::RepeatedPtrField<pb::Address>& no, const IpAddress& ip) {
  const std::string bits = Bits(ip.ToBytes());
  const auto inside = [&bits](const pb::Address& block) {
    const std::string want = Bits(block.address());
    size_t length = block.length();
    if (block.address().size() == 16 && want[0] == '4') length -= 96;
    return bits.substr(0, length + 1) == want.substr(0, length + 1);
  };
  bool positive = yes.empty();
  for (const auto& block : yes) positive = positive || inside(block);
  bool negative = true;
  for (const auto& block : no) negative = negative && !inside(block);
  return positive && negative;
}

bool NaiveMatch(const pb::Match& m, const Peer& peer, const ConnectionFacts& facts, bool deny) {
  if (!NaiveStrings(m.namespaces(), m.not_namespaces(), peer.ns, deny)) return false;
  if (!NaiveStrings(m.principals(), m.not_principals(), peer.principal, deny)) return false;
  if (!NaiveIps(m.source_ips(), m.not_source_ips(), facts.source)) return false;
  if (!NaiveIps(m.destination_ips(), m.not_destination_ips(), facts.destination.ip())) return false;
  const std::set<uint32_t> ports(m.destination_ports().begin(), m.destination_ports().end());
  if (!ports.empty() && ports.count(facts.destination.port()) == 0) return false;
  for (const uint32_t port : m.not_destination_ports()) {
    if (port == facts.destination.port()) return false;
  }
  const std::string account = peer.ns.empty() ? "" : peer.ns + "/" + peer.account;
  std::set<std::string> yes, no;
  for (const auto& a : m.service_accounts()) yes.insert(a.namespace_() + "/" + a.service_account());
  for (const auto& a : m.not_service_accounts()) {
    no.insert(a.namespace_() + "/" + a.service_account());
  }
  if (!yes.empty() && yes.count(account) == 0) return false;
  if (!no.empty() && account.empty()) return deny;
  return no.count(account) == 0;
}

bool NaivePolicy(const pb::Authorization& policy, const Peer& peer, const ConnectionFacts& facts) {
  for (const pb::Rule& rule : policy.rules()) {
    bool all = rule.clauses_size() > 0;
    for (const pb::Clause& clause : rule.clauses()) {
      bool any = clause.matches_size() == 0;
      for (const pb::Match& m : clause.matches()) {
        any = any || NaiveMatch(m, peer, facts, policy.action() == pb::DENY);
      }
      all = all && any;
    }
    if (all) return true;
  }
  return false;
}

bool NaiveAuthorize(const Policies& policies, const WorkloadSelector& workload, const Peer& peer,
                    const ConnectionFacts& facts) {
  if (peer.principal.empty() && !facts.plaintext_admitted) return false;
  bool allow_applies = false;
  bool allowed = false;
  std::set<std::string> selected(workload.policies.begin(), workload.policies.end());
  for (const pb::Authorization& policy : policies) {
    const bool listed = selected.erase(policy.namespace_() + "/" + policy.name()) > 0;
    const bool applies = listed || policy.scope() == pb::GLOBAL ||
                         (policy.scope() == pb::NAMESPACE && policy.namespace_() == workload.ns);
    if (!applies || policy.dry_run()) continue;
    const bool matches = NaivePolicy(policy, peer, facts);
    if (policy.action() == pb::DENY && matches) return false;
    if (policy.action() == pb::ALLOW) {
      allow_applies = true;
      allowed = allowed || matches;
    }
  }
  if (!selected.empty()) return false;
  if (allow_applies) return allowed;
  if (peer.principal.empty()) return true;
  return peer.principal.substr(0, peer.principal.find('/')) == workload.trust_domain;
}

class RandomModel {
 public:
  explicit RandomModel(uint64_t seed) : random_(seed) {}

  Policies MakePolicies() {
    Policies policies;
    const int count = Below(5);
    for (int i = 0; i < count; ++i) {
      pb::Authorization* policy = policies.Add();
      policy->set_name(absl::StrCat("p", i));
      policy->set_namespace_(Pick({"a", "a.b"}));
      policy->set_scope(static_cast<pb::Scope>(Below(3)));
      policy->set_action(static_cast<pb::Action>(Below(2)));
      policy->set_dry_run(Below(8) == 0);
      for (int r = Few(); r > 0; --r) {
        pb::Rule* rule = policy->add_rules();
        for (int c = Few(); c > 0; --c) {
          pb::Clause* clause = rule->add_clauses();
          for (int m = Few(); m > 0; --m) Fill(clause->add_matches());
        }
      }
    }
    return policies;
  }

  WorkloadSelector MakeWorkload(const Policies& policies) {
    WorkloadSelector workload;
    workload.trust_domain = Pick({"t.d", "txd"});
    workload.ns = Pick({"a", "a.b", "other"});
    for (const pb::Authorization& policy : policies) {
      if (policy.scope() == pb::WORKLOAD_SELECTOR && Below(2) == 0) {
        workload.policies.push_back(policy.namespace_() + "/" + policy.name());
      }
    }
    if (Below(50) == 0) workload.policies.push_back("a/missing");
    return workload;
  }

  std::pair<Peer, ConnectionFacts> MakeFacts() {
    Peer peer;
    ConnectionFacts facts;
    switch (Below(8)) {
      case 0:
        break;  // Plaintext.
      case 1:
        peer.principal = Pick({"t.d", "txd"}) + Pick({"/a", "/ns/a", "/ns/a/sa", "/vm/a.b"});
        break;
      default:
        peer.ns = Pick({"a", "a.b", "axb", "ab"});
        peer.account = Pick({"a", "s.a", "sxa"});
        peer.principal = Pick({"t.d", "txd"}) + "/ns/" + peer.ns + "/sa/" + peer.account;
    }
    if (!peer.principal.empty()) facts.peer = Id("spiffe://" + peer.principal);
    facts.plaintext_admitted = Below(3) != 0;
    facts.source = Address();
    facts.destination = SocketAddress(Address(), static_cast<uint16_t>(79 + Below(4)));
    return {peer, facts};
  }

 private:
  int Below(int bound) { return std::uniform_int_distribution<int>(0, bound - 1)(random_); }
  int Few() { return Below(6) == 0 ? 0 : 1 + Below(2); }
  bool Seldom() { return Below(5) == 0; }
  std::string Pick(const std::vector<std::string>& values) { return values[Below(values.size())]; }

  IpAddress Address() {
    return Ip(Pick({"10.0.0.1", "10.0.0.2", "10.128.0.1", "192.168.1.1", "fd77::1", "fd77:8000::1",
                    "::1", "::ffff:10.0.0.1"}));
  }

  void Fill(pb::StringMatch* match, const std::vector<std::string>& values) {
    const std::string value = Pick(values);
    const size_t cut = Below(static_cast<int>(value.size()) + 1);
    switch (Below(5)) {
      case 0:
        match->set_prefix(value.substr(0, cut));
        break;
      case 1:
        match->set_suffix(value.substr(cut));
        break;
      case 2:
        match->mutable_presence();
        break;
      default:
        match->set_exact(value);
    }
  }

  void Fill(pb::Address* block) {
    static constexpr char kMapped[] = "\0\0\0\0\0\0\0\0\0\0\xFF\xFF";
    const std::string bytes = Address().ToBytes();
    if (bytes.size() == 4 && Below(4) == 0) {
      block->set_address(std::string(kMapped, 12) + bytes);
      block->set_length(96 + Below(33));
    } else {
      block->set_address(bytes);
      block->set_length(Below(static_cast<int>(bytes.size()) * 8 + 1));
    }
  }

  void Fill(pb::Match* m) {
    const std::vector<std::string> namespaces = {"a", "a.b", "*", "."};
    const std::vector<std::string> principals = {"t.d/ns/a/sa/a", "t.d/ns/a.b/sa/s.a",
                                                 "txd/ns/axb/sa/sxa", "t.d/vm/a.b", "*"};
    if (Seldom()) Fill(m->add_namespaces(), namespaces);
    if (Seldom()) Fill(m->add_namespaces(), namespaces);
    if (Seldom()) Fill(m->add_not_namespaces(), namespaces);
    if (Seldom()) Fill(m->add_principals(), principals);
    if (Seldom()) Fill(m->add_principals(), principals);
    if (Seldom()) Fill(m->add_not_principals(), principals);
    if (Seldom()) Fill(m->add_source_ips());
    if (Seldom()) Fill(m->add_not_source_ips());
    if (Seldom()) Fill(m->add_destination_ips());
    if (Seldom()) Fill(m->add_not_destination_ips());
    if (Seldom()) m->add_destination_ports(79 + Below(4));
    if (Seldom()) m->add_destination_ports(79 + Below(4));
    if (Seldom()) m->add_not_destination_ports(79 + Below(4));
    for (pb::ServiceAccountMatch* account : {Seldom() ? m->add_service_accounts() : nullptr,
                                             Seldom() ? m->add_not_service_accounts() : nullptr}) {
      if (account == nullptr) continue;
      account->set_namespace_(Pick({"a", "a.b"}));
      account->set_service_account(Pick({"a", "s.a"}));
    }
  }

  std::mt19937_64 random_;
};

TEST(AuthorizerPropertyTest, AgreesWithTheNaiveModel) {
  constexpr int kSets = 15000;
  constexpr int kFactsPerSet = 10;
  RandomModel model(20260901);
  std::set<std::string> reasons;
  int allowed = 0;
  for (int i = 0; i < kSets; ++i) {
    const Policies policies = model.MakePolicies();
    const absl::StatusOr<std::shared_ptr<const PolicySet>> set = PolicySet::Create(1, policies);
    ASSERT_THAT(set, IsOk());
    for (int j = 0; j < kFactsPerSet; ++j) {
      const WorkloadSelector workload = model.MakeWorkload(policies);
      const auto [peer, facts] = model.MakeFacts();
      const Decision decision = Authorize(set->get(), workload, facts);
      ASSERT_EQ(decision.allowed, NaiveAuthorize(policies, workload, peer, facts))
          << "set " << i << ", facts " << j << ": " << decision.reason << ", peer \""
          << peer.principal << "\"";
      reasons.insert(decision.reason.substr(0, decision.reason.find(' ')));
      allowed += decision.allowed ? 1 : 0;
    }
  }
  // The pairs were worth asking: every reason came up, and neither answer is rare.
  EXPECT_THAT(reasons,
              ElementsAre("allowed-by", "default-allow-plaintext",
                          "default-allow-same-trust-domain", "foreign-trust-domain",
                          "no-allow-match", "plaintext-refused", "policy-deny", "policy-missing"));
  EXPECT_GT(allowed, kSets * kFactsPerSet / 10);
  EXPECT_LT(allowed, kSets * kFactsPerSet * 9 / 10);
}

}  // namespace
}  // namespace byrnie
