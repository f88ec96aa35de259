#include "common/policy/authorizer.h"

#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/repeated_field.h"
#include "gtest/gtest.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {
namespace {

namespace pb = ::istio::security;

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

TEST(AuthorizerTest, APolicyNamesTheFirstRuleThatMatches) {
  Policies policies;
  pb::Match* first;
  pb::Authorization* policy = Add(&policies, "x", pb::DENY, &first);
  first->add_destination_ports(1);
  policy->add_rules()->add_clauses()->add_matches()->add_destination_ports(8080);
  policy->add_rules()->add_clauses();
  const auto set = Set(policies);
  EXPECT_EQ(set->policies()[0].MatchingRule(FromClient()), 1u);
  ConnectionFacts elsewhere = FromClient();
  elsewhere.destination = SocketAddress(Ip("10.0.0.2"), 9);
  EXPECT_EQ(set->policies()[0].MatchingRule(elsewhere), 2u);
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

TEST(AuthorizerTest, NoPolicyAdmitsAnotherTrustDomainWithoutNamingIt) {
  const ConnectionFacts foreign = FromClient("spiffe://partner.example/ns/demo/sa/client");
  const auto with = [&](const std::function<void(pb::Match*)>& fill) {
    Policies policies;
    pb::Match* match;
    Add(&policies, "p", pb::ALLOW, &match);
    fill(match);
    return Reason(policies, foreign);
  };
  EXPECT_EQ(with([](pb::Match*) {}), "-no-allow-match");
  EXPECT_EQ(with([](pb::Match* m) { m->add_destination_ports(8080); }), "-no-allow-match");
  EXPECT_EQ(with([](pb::Match* m) { m->add_namespaces()->set_exact("demo"); }), "-no-allow-match");
  EXPECT_EQ(with([](pb::Match* m) {
              m->add_service_accounts()->set_namespace_("demo");
              m->mutable_service_accounts(0)->set_service_account("client");
            }),
            "-no-allow-match");
  EXPECT_EQ(with([](pb::Match* m) { m->add_principals()->mutable_presence(); }), "-no-allow-match");
  EXPECT_EQ(with([](pb::Match* m) { m->add_principals()->set_suffix("/sa/client"); }),
            "-no-allow-match");
  EXPECT_EQ(with([](pb::Match* m) { m->add_principals()->set_prefix("partner"); }),
            "-no-allow-match");
  EXPECT_EQ(with([](pb::Match* m) { m->add_not_principals()->set_exact("cluster.local/x"); }),
            "-no-allow-match");
  EXPECT_EQ(with([](pb::Match* m) {
              m->add_principals()->set_exact("partner.example/ns/demo/sa/client");
              m->add_destination_ports(8080);
            }),
            "+allowed-by demo/p");
  EXPECT_EQ(with([](pb::Match* m) {
              m->add_principals()->set_prefix("partner.example/");
              m->add_destination_ports(9090);
            }),
            "-no-allow-match");
}

TEST(AuthorizerTest, ADenyPolicyReachesAnotherTrustDomainByAnyName) {
  Policies policies;
  pb::Match* match;
  Add(&policies, "federated", pb::ALLOW, &match);
  match->add_principals()->set_prefix("partner.example/");
  Add(&policies, "no-client", pb::DENY, &match);
  match->add_namespaces()->set_exact("demo");
  EXPECT_EQ(Reason(policies, FromClient("spiffe://partner.example/ns/demo/sa/client")),
            "-policy-deny demo/no-client");
  EXPECT_EQ(Reason(policies, FromClient("spiffe://partner.example/ns/x/sa/client")),
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

}  // namespace
}  // namespace byrnie
