#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status_matchers.h"
#include "common/policy/authorizer.h"
#include "gmock/gmock.h"
#include "google/protobuf/repeated_field.h"
#include "gtest/gtest.h"
#include "istio/security/authorization.pb.h"

// The authorizer against a reference that shares nothing with it: it reads the messages as the
// control plane sent them and follows Istio's documented semantics in three-valued logic. What is
// said about an attribute that the peer does not have is neither true nor false; an ALLOW policy
// needs certainty, a DENY policy needs only the lack of it.

namespace byrnie {
namespace {

namespace pb = ::istio::security;

using Policies = google::protobuf::RepeatedPtrField<pb::Authorization>;

IpAddress Ip(absl::string_view text) { return IpAddress::Parse(text).value(); }
SpiffeId Id(absl::string_view text) { return SpiffeId::Parse(text).value(); }

// Kleene's logic: all of is the least, one of is the greatest.
enum class Truth { kNo = 0, kUnknown = 1, kYes = 2 };

Truth Is(bool fact) { return fact ? Truth::kYes : Truth::kNo; }
Truth Not(Truth truth) { return static_cast<Truth>(2 - static_cast<int>(truth)); }

template <typename Items, typename Judge>
Truth AllOf(const Items& items, Judge judge) {
  Truth least = Truth::kYes;
  for (const auto& item : items) least = std::min(least, judge(item));
  return least;
}
template <typename Items, typename Judge>
Truth OneOf(const Items& items, Judge judge) {
  return Not(AllOf(items, [&judge](const auto& item) { return Not(judge(item)); }));
}
Truth Both(Truth a, Truth b) { return std::min(a, b); }

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

// A kind of attribute: one of the positive values, where there are any, and none of the negative
// ones. Of an absent attribute a positive value says no, and of a negative one nobody knows.
template <typename Items, typename Judge>
Truth Kind(const Items& values, const Items& not_values, bool absent, Judge equals) {
  const Truth positive = values.empty() ? Truth::kYes : absent ? Truth::kNo : OneOf(values, equals);
  const Truth negative = not_values.empty() ? Truth::kYes
                         : absent           ? Truth::kUnknown
                                            : Not(OneOf(not_values, equals));
  return Both(positive, negative);
}

Truth Text(const pb::StringMatch& match, const std::string& value) {
  switch (match.match_type_case()) {
    case pb::StringMatch::kExact:
      return Is(match.exact() == value);
    case pb::StringMatch::kPrefix:
      return Is(value.compare(0, match.prefix().size(), match.prefix()) == 0);
    case pb::StringMatch::kSuffix: {
      const std::string backwards(value.rbegin(), value.rend());
      const std::string suffix(match.suffix().rbegin(), match.suffix().rend());
      return Is(backwards.compare(0, suffix.size(), suffix) == 0);
    }
    case pb::StringMatch::kPresence:
      return Truth::kYes;
    default:
      return Truth::kNo;
  }
}

Truth InBlock(const pb::Address& block, const IpAddress& address) {
  const std::string wanted = Bits(block.address());
  const bool mapped = block.address().size() == 16 && wanted[0] == '4';
  const size_t length = block.length() - (mapped ? 96 : 0);
  return Is(Bits(address.ToBytes()).substr(0, length + 1) == wanted.substr(0, length + 1));
}

Truth Matches(const pb::Match& match, const Peer& peer, const ConnectionFacts& facts) {
  const auto text = [](const std::string& value) {
    return [&value](const pb::StringMatch& wanted) { return Text(wanted, value); };
  };
  const auto block = [](const IpAddress& address) {
    return [address](const pb::Address& wanted) { return InBlock(wanted, address); };
  };
  const std::vector<Truth> kinds = {
      Kind(match.namespaces(), match.not_namespaces(), peer.ns.empty(), text(peer.ns)),
      Kind(match.principals(), match.not_principals(), peer.principal.empty(),
           text(peer.principal)),
      Kind(match.source_ips(), match.not_source_ips(), false, block(facts.source)),
      Kind(match.destination_ips(), match.not_destination_ips(), false,
           block(facts.destination.ip())),
      Kind(match.destination_ports(), match.not_destination_ports(), false,
           [&facts](uint32_t port) { return Is(port == facts.destination.port()); }),
      Kind(match.service_accounts(), match.not_service_accounts(), peer.account.empty(),
           [&peer](const pb::ServiceAccountMatch& account) {
             return Both(Is(account.namespace_() == peer.ns),
                         Is(account.service_account() == peer.account));
           }),
  };
  return AllOf(kinds, [](Truth truth) { return truth; });
}

Truth Matches(const pb::Authorization& policy, const Peer& peer, const ConnectionFacts& facts) {
  return OneOf(policy.rules(), [&](const pb::Rule& rule) {
    if (rule.clauses().empty()) return Truth::kNo;
    return AllOf(rule.clauses(), [&](const pb::Clause& clause) {
      if (clause.matches().empty()) return Truth::kYes;
      return OneOf(clause.matches(),
                   [&](const pb::Match& match) { return Matches(match, peer, facts); });
    });
  });
}

// An ALLOW policy lets a peer of another trust domain in by nothing but a principal that says which
// trust domain that is.
bool AllowsForeign(const pb::Authorization& policy, const Peer& peer,
                   const ConnectionFacts& facts) {
  for (const pb::Rule& rule : policy.rules()) {
    pb::Authorization alone;
    *alone.add_rules() = rule;
    if (Matches(alone, peer, facts) != Truth::kYes) continue;
    for (const pb::Clause& clause : rule.clauses()) {
      for (const pb::Match& match : clause.matches()) {
        if (Matches(match, peer, facts) != Truth::kYes) continue;
        for (const pb::StringMatch& principal : match.principals()) {
          const std::string named = principal.has_exact() ? principal.exact() : principal.prefix();
          if (named.find('/') != std::string::npos &&
              Text(principal, peer.principal) == Truth::kYes) {
            return true;
          }
        }
      }
    }
  }
  return false;
}

// Why the connection is to be refused, or why not: the word of decision_reason.
std::string Expected(const Policies& policies, const WorkloadSelector& workload, const Peer& peer,
                     const ConnectionFacts& facts) {
  if (peer.principal.empty() && !facts.plaintext_admitted) return "plaintext-refused";
  std::vector<const pb::Authorization*> in_force;
  std::vector<std::string> unseen = workload.policies;
  for (const pb::Authorization& policy : policies) {
    const auto listed =
        std::find(unseen.begin(), unseen.end(), policy.namespace_() + "/" + policy.name());
    const bool selected = listed != unseen.end();
    if (selected) unseen.erase(listed);
    const bool concerns = selected || policy.scope() == pb::GLOBAL ||
                          (policy.scope() == pb::NAMESPACE && policy.namespace_() == workload.ns);
    if (concerns && !policy.dry_run()) in_force.push_back(&policy);
  }
  if (!unseen.empty()) return "policy-missing";
  const bool foreign = !peer.principal.empty() &&
                       peer.principal.substr(0, peer.principal.find('/')) != workload.trust_domain;
  bool one_must_allow = false;
  bool one_allows = false;
  for (const pb::Authorization* policy : in_force) {
    const Truth truth = Matches(*policy, peer, facts);
    if (policy->action() == pb::DENY && truth != Truth::kNo) return "policy-deny";
    one_must_allow = one_must_allow || policy->action() == pb::ALLOW;
    const bool allows = foreign ? AllowsForeign(*policy, peer, facts) : truth == Truth::kYes;
    one_allows = one_allows || (policy->action() == pb::ALLOW && allows);
  }
  if (one_allows) return "allowed-by";
  if (one_must_allow) return "no-allow-match";
  if (peer.principal.empty()) return "default-allow-plaintext";
  return peer.principal.substr(0, peer.principal.find('/')) == workload.trust_domain
             ? "default-allow-same-trust-domain"
             : "foreign-trust-domain";
}

class RandomMesh {
 public:
  explicit RandomMesh(uint64_t seed) : random_(seed) {}

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

  // Makes one policy of the set, which is not empty, something this release does not know.
  void Spoil(Policies* policies) {
    pb::Authorization* policy = policies->Mutable(Below(policies->size()));
    switch (Below(3)) {
      case 0:
        policy->set_action(static_cast<pb::Action>(2 + Below(100)));
        break;
      case 1:
        policy->set_scope(static_cast<pb::Scope>(3 + Below(100)));
        break;
      default: {
        // Field 15, a number.
        const std::string bytes = policy->SerializeAsString() + "\x78\x01";
        ASSERT_TRUE(policy->ParseFromString(bytes));
      }
    }
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

TEST(AuthorizerModelTest, AgreesWithTheReferenceOnAMillionPairs) {
  constexpr int kSets = 100000;
  constexpr int kFactsPerSet = 10;
  RandomMesh mesh(20260901);
  absl::flat_hash_map<std::string, int> reasons;
  for (int i = 0; i < kSets; ++i) {
    const Policies policies = mesh.MakePolicies();
    const absl::StatusOr<std::shared_ptr<const PolicySet>> set = PolicySet::Create(1, policies);
    ASSERT_THAT(set, IsOk());
    for (int j = 0; j < kFactsPerSet; ++j) {
      const WorkloadSelector workload = mesh.MakeWorkload(policies);
      const auto [peer, facts] = mesh.MakeFacts();
      const Decision decision = Authorize(set->get(), workload, facts);
      const std::string expected = Expected(policies, workload, peer, facts);
      const std::string reason = decision.reason.substr(0, decision.reason.find(' '));
      ASSERT_EQ(reason, expected) << "set " << i << ", facts " << j << ", peer \"" << peer.principal
                                  << "\"";
      const bool may = expected == "allowed-by" || expected.rfind("default-allow", 0) == 0;
      ASSERT_EQ(decision.allowed, may) << reason;
      ++reasons[reason];
    }
  }
  // The pairs were worth asking: no answer is rare.
  ASSERT_EQ(reasons.size(), 8u);
  for (const auto& [reason, count] : reasons) EXPECT_GT(count, 1000) << reason;
}

TEST(AuthorizerModelTest, WhatIsNotUnderstoodDeniesEverybody) {
  constexpr int kSets = 5000;
  RandomMesh mesh(20260902);
  for (int i = 0; i < kSets; ++i) {
    Policies policies = mesh.MakePolicies();
    if (policies.empty()) continue;
    mesh.Spoil(&policies);
    const absl::StatusOr<std::shared_ptr<const PolicySet>> set = PolicySet::Create(1, policies);
    ASSERT_THAT(set, StatusIs(absl::StatusCode::kInvalidArgument));
    // Without a set there is nothing to go by.
    const auto [peer, facts] = mesh.MakeFacts();
    const Decision decision = Authorize(nullptr, mesh.MakeWorkload(policies), facts);
    ASSERT_FALSE(decision.allowed);
    ASSERT_EQ(decision.reason, "no-policy-snapshot");
  }
}

}  // namespace
}  // namespace byrnie
