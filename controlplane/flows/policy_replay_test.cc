#include "controlplane/flows/policy_replay.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "controlplane/explain/policy_step.h"
#include "controlplane/flows/policy_suggestion.h"
#include "controlplane/policy/policy_document.h"
#include "controlplane/registry/static_parser.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using istio::security::Authorization;
using Kind = ReplayChange::Kind;
using Side = ReportedFlow::Side;
using Path = ReportedFlow::Path;
using Verdict = ReportedFlow::Verdict;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::string Policy(const std::string& name, const std::string& action, const std::string& match,
                   const std::string& more = "") {
  return absl::StrCat("{\"name\":\"", name, "\",\"namespace\":\"demo\",\"scope\":\"NAMESPACE\",",
                      "\"action\":\"", action, "\",\"rules\":[{\"clauses\":[{\"matches\":[", match,
                      "]}]}]", more, "}");
}

std::string Principal(const std::string& account) {
  return absl::StrCat("{\"principals\":[{\"exact\":\"cluster.local/ns/demo/sa/", account, "\"}]}");
}

// demo/server (10.0.0.2) and demo/store (10.0.0.3), reached by demo/client (10.0.0.1) and others.
class PolicyReplayTest : public ::testing::Test {
 protected:
  PolicyReplayTest() { SetPolicies(""); }

  void SetPolicies(const std::string& policies) {
    const auto content = ParseRegistryFile(
        absl::StrCat(
            R"({"workloads":[)",
            R"({"name":"client","namespace":"demo","service_account":"client","addresses":["10.0.0.1"]},)",
            R"({"name":"server","namespace":"demo","service_account":"server","addresses":["10.0.0.2"]},)",
            R"({"name":"server2","namespace":"demo","service_account":"server","addresses":["10.0.0.4"]},)",
            R"({"name":"store","namespace":"demo","service_account":"store","addresses":["10.0.0.3"]}],)",
            R"("policies":[)", policies, "]}"),
        "cluster.local");
    ASSERT_THAT(content, IsOk());
    registry_ = *RegistrySnapshot::Create(*content);
    index_ = std::make_unique<WorkloadIndex>(registry_.get());
    before_ = PoliciesOf(*registry_);
  }

  FlowLedger::Entry* Add(const std::string& destination, const std::string& address,
                         const std::string& source, Verdict verdict = Verdict::kAllowed,
                         const std::string& reason = "allowed") {
    FlowLedger::Entry entry{
        absl::StrCat("id", flows_.size()),
        FlowReporterId{*SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/" + destination),
                       address.substr(0, address.find(':'))},
        false, ReportedFlow()};
    if (!source.empty()) {
      entry.flow.peer = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/" + source);
    } else {
      entry.flow.path = Path::kPlaintext;
    }
    entry.flow.verdict = verdict;
    entry.flow.source = *IpAddress::Parse("10.9.8.7");
    entry.flow.destination = *SocketAddress::Parse(address);
    entry.flow.reason = reason;
    entry.flow.opened = 3;
    entry.flow.first_seen = absl::FromUnixSeconds(100);
    entry.flow.last_seen = absl::FromUnixSeconds(200);
    flows_.push_back(std::move(entry));
    return &flows_.back();
  }

  // What only the one who opened it says.
  FlowLedger::Entry* AddOfSource(const std::string& source, const std::string& destination,
                                 const std::string& address) {
    FlowLedger::Entry* const entry = Add(source, address, destination);
    entry->reporter.host = "10.9.8.7";
    entry->flow.side = Side::kSource;
    entry->flow.source.reset();
    return entry;
  }

  ReplayResult Diff(const std::vector<std::string>& documents,
                    const std::vector<std::string>& removals = {}, bool all_sources = false) {
    google::protobuf::RepeatedPtrField<Authorization> policies;
    std::set<std::string> audited;
    std::set<std::string> replaced(removals.begin(), removals.end());
    for (const std::string& document : documents) {
      const auto policy = ParsePolicyDocument(document);
      EXPECT_THAT(policy, IsOk());
      replaced.insert("demo/" + policy->name());
      if (policy->dry_run()) audited.insert("demo/" + policy->name());
      *policies.Add() = *policy;
    }
    for (const auto& entry : registry_->resources(ResourceType::kAuthorization)) {
      if (replaced.count(entry.first) == 0) policies.Add()->ParseFromString(entry.second.payload);
    }
    const auto after = PolicySet::Create(2, policies);
    EXPECT_THAT(after, IsOk());
    return ReplayPolicies(FlowsToReplay(flows_, *index_, reporters_), *before_, **after, audited,
                          all_sources ? index_.get() : nullptr);
  }

  static std::vector<std::string> Texts(const ReplayResult& result) {
    std::vector<std::string> texts;
    for (const ReplayChange& change : result.changes) {
      constexpr const char* kNames[] = {"denied", "allowed", "audit-deny", "audit-allow"};
      texts.push_back(absl::StrCat(change.entry->id, " ", kNames[static_cast<int>(change.kind)],
                                   " ", change.after, change.policy.empty() ? "" : " by ",
                                   change.policy));
    }
    return texts;
  }

  RegistrySnapshotPtr registry_;
  std::unique_ptr<WorkloadIndex> index_;
  std::shared_ptr<const PolicySet> before_;
  std::vector<FlowLedger::Entry> flows_;
  FlowReporters reporters_;
};

TEST_F(PolicyReplayTest, NamesExactlyTheFlowsThatWouldBeDenied) {
  Add("server", "10.0.0.2:8080", "client");
  Add("server", "10.0.0.2:8080", "other");
  Add("store", "10.0.0.3:5432", "server");
  const ReplayResult result = Diff({Policy("deny-other", "DENY", Principal("other"))});
  EXPECT_THAT(Texts(result), ElementsAre("id1 denied policy-deny demo/deny-other"));
  EXPECT_EQ(result.changes[0].before, "default-allow-same-trust-domain");
  EXPECT_EQ(result.scope.flows, 3u);
  EXPECT_EQ(result.scope.connections, 9u);
  EXPECT_EQ(result.scope.since, absl::FromUnixSeconds(100));
  EXPECT_EQ(result.scope.until, absl::FromUnixSeconds(200));
}

// Two pods prove demo/server; it was seen from elsewhere.
TEST_F(PolicyReplayTest, ASourcesOtherAddressesAreReplayedWherePoliciesNameThem) {
  Add("store", "10.0.0.3:5432", "server");
  Add("store", "10.0.0.3:5432", "client");
  Add("store", "10.0.0.3:5432", "");
  const std::string deny = Policy("deny-one", "DENY", R"({"source_ips":["10.0.0.4"]})");
  EXPECT_THAT(Texts(Diff({deny})), IsEmpty());
  const ReplayResult result = Diff({deny}, {}, /*all_sources=*/true);
  EXPECT_THAT(Texts(result), ElementsAre("id0 denied policy-deny demo/deny-one"));
  EXPECT_EQ(result.changes[0].source, *IpAddress::Parse("10.0.0.4"));
  EXPECT_EQ(result.partly, 1u);
  flows_[0].flow.source = *IpAddress::Parse("10.0.0.4");
  EXPECT_EQ(Diff({deny}, {}, true).changes.at(0).source, absl::nullopt);
}

// What a dry-run policy says of one address hides nothing that is so of another.
TEST_F(PolicyReplayTest, AFlowShowsEachKindOfChangeThatOneOfItsAddressesHas) {
  Add("store", "10.0.0.3:5432", "server");
  std::string audit = Policy("audit", "DENY", R"({"source_ips":["10.0.0.2"]})");
  audit.insert(audit.find('{') + 1, R"("dry_run":true,)");
  const std::string deny = Policy("deny-one", "DENY", R"({"source_ips":["10.0.0.4"]})");
  EXPECT_THAT(Texts(Diff({audit, deny}, {}, /*all_sources=*/true)),
              ElementsAre("id0 denied policy-deny demo/deny-one",
                          "id0 audit-deny default-allow-same-trust-domain by demo/audit"));
}

TEST_F(PolicyReplayTest, SaysOfHowManyTheRegistryHasNoAddress) {
  Add("store", "10.0.0.3:5432", "elsewhere");
  const std::string deny = Policy("deny-one", "DENY", R"({"source_ips":["10.0.0.4"]})");
  EXPECT_EQ(Diff({deny}, {}, /*all_sources=*/true).partly, 1u);
}

TEST_F(PolicyReplayTest, SaysWhoWouldBeLetInWhenAPolicyGoes) {
  SetPolicies(Policy("only-client", "ALLOW", Principal("client")));
  Add("server", "10.0.0.2:8080", "client", Verdict::kAllowed, "allowed-by demo/only-client");
  Add("server", "10.0.0.2:8080", "other", Verdict::kDenied, "no-allow-match");
  EXPECT_THAT(Texts(Diff({}, {"demo/only-client"})),
              ElementsAre("id1 allowed default-allow-same-trust-domain"));
}

TEST_F(PolicyReplayTest, NothingIsDifferentWhenNothingChanges) {
  SetPolicies(Policy("only-client", "ALLOW", Principal("client")));
  Add("server", "10.0.0.2:8080", "client");
  Add("server", "10.0.0.2:8080", "other", Verdict::kDenied, "no-allow-match");
  EXPECT_THAT(Diff({}).changes, IsEmpty());
  EXPECT_THAT(Diff({Policy("only-client", "ALLOW", Principal("client"))}).changes, IsEmpty());
}

TEST_F(PolicyReplayTest, ADryRunChangesNothingAndItsWordIsTold) {
  Add("server", "10.0.0.2:8080", "client");
  Add("server", "10.0.0.2:8080", "other");
  const std::string dry = ",\"dry_run\":true";
  EXPECT_THAT(Texts(Diff({Policy("try", "DENY", Principal("other"), dry)})),
              ElementsAre("id1 audit-deny default-allow-same-trust-domain by demo/try"));
  SetPolicies(Policy("only-client", "ALLOW", Principal("client")));
  EXPECT_THAT(Texts(Diff({Policy("try", "ALLOW", Principal("other"), dry)})),
              ElementsAre("id0 audit-deny allowed-by demo/only-client by demo/try",
                          "id1 audit-allow no-allow-match by demo/try"));
}

TEST_F(PolicyReplayTest, PoliciesSayNothingOfProbesAndOfWhatFailedOtherwise) {
  Add("server", "10.0.0.2:8080", "")->flow.path = Path::kProbe;
  Add("server", "10.0.0.2:8080", "client", Verdict::kFailed, "connect-failed");
  Add("server", "10.0.0.2:15008", "", Verdict::kDenied, "tls-failed");
  const ReplayResult result = Diff({Policy("none", "DENY", "{}")});
  EXPECT_THAT(result.changes, IsEmpty());
  EXPECT_EQ(result.scope.flows, 0u);
}

TEST_F(PolicyReplayTest, PlaintextIsTakenOrNotAsItWas) {
  Add("server", "10.0.0.2:8080", "");
  Add("server", "10.0.0.2:8081", "", Verdict::kDenied, "plaintext-refused");
  EXPECT_THAT(Texts(Diff({Policy("ports", "DENY", "{\"destination_ports\":[8080,8081]}")})),
              ElementsAre("id0 denied policy-deny demo/ports"));
  EXPECT_THAT(Diff({Policy("all", "ALLOW", "{}")}).changes, IsEmpty())
      << "a policy does not open a port that is strict";
}

TEST_F(PolicyReplayTest, WhatOnlyTheSourceReportedCountsOfDestinationsThatDoNot) {
  const std::string deny = Policy("deny-client", "DENY", Principal("client"));
  AddOfSource("client", "server", "10.0.0.2:8080");
  EXPECT_THAT(Texts(Diff({deny})), ElementsAre("id0 denied policy-deny demo/deny-client"));
  // The destination's word counts where there is one.
  Add("server", "10.0.0.2:8080", "client");
  EXPECT_THAT(Texts(Diff({deny})), ElementsAre("id1 denied policy-deny demo/deny-client"));
}

TEST_F(PolicyReplayTest, WhatADestinationThatReportsDoesNotKnowOfIsNoEvidence) {
  const std::string deny = Policy("deny-other", "DENY", Principal("other"));
  AddOfSource("other", "server", "10.0.0.2:8080");
  // Another pod of the same identity says nothing of this one.
  Add("server", "10.0.0.4:8080", "client");
  EXPECT_THAT(Texts(Diff({deny})), ElementsAre("id0 denied policy-deny demo/deny-other"));
  Add("server", "10.0.0.2:9090", "client");
  EXPECT_THAT(Diff({deny}).changes, IsEmpty());
  flows_.pop_back();
  // It has reported what it did itself, or is connected.
  AddOfSource("server", "store", "10.0.0.3:5432")->reporter.host = "10.0.0.2";
  EXPECT_THAT(Diff({deny}).changes, IsEmpty());
  flows_.pop_back();
  reporters_ = {{"spiffe://cluster.local/ns/demo/sa/server", "10.0.0.2"}};
  EXPECT_THAT(Diff({deny}).changes, IsEmpty());
}

class PolicySuggestionTest : public PolicyReplayTest {
 protected:
  PolicySuggestion Suggest(const Authorization* base = nullptr) {
    return SuggestPolicy("demo", FlowsToReplay(flows_, *index_, reporters_), *index_, *before_,
                         base);
  }
};

TEST_F(PolicySuggestionTest, LetsInWhoWasSeenAndNobodyElse) {
  Add("server", "10.0.0.2:8080", "client");
  Add("server", "10.0.0.2:9090", "client");
  Add("server", "10.0.0.2:8080", "front");
  Add("store", "10.0.0.3:5432", "server");
  Add("server", "10.0.0.2:8080", "");
  const PolicySuggestion suggestion = Suggest();
  ASSERT_TRUE(suggestion.policy.has_value());
  const std::string document = WritePolicyDocument(*suggestion.policy);
  EXPECT_THAT(ParsePolicyDocument(document), IsOk());
  EXPECT_THAT(Diff({document}).changes, IsEmpty()) << document;
  EXPECT_EQ(suggestion.scope.connections, 15u);
  EXPECT_THAT(suggestion.unreached, ElementsAre("demo/client"));

  // Each of these differs in one thing from what was seen.
  flows_.clear();
  Add("server", "10.0.0.2:9090", "front");
  Add("store", "10.0.0.3:8080", "server");
  Add("store", "10.0.0.3:5432", "client");
  Add("client", "10.0.0.1:80", "server");
  Add("server", "10.0.0.2:8080", "")->flow.source = *IpAddress::Parse("10.9.9.7");
  EXPECT_THAT(Diff({document}).changes, SizeIs(5)) << document;
}

TEST_F(PolicySuggestionTest, NobodyLetsHimselfIn) {
  Add("server", "10.0.0.2:8080", "client");
  const std::string document = WritePolicyDocument(*Suggest().policy);
  AddOfSource("other", "server", "10.0.0.2:8080");
  // Of pods that have reported nothing, and to which nobody was seen to connect.
  AddOfSource("other", "server", "10.0.0.4:8080");
  AddOfSource("other", "store", "10.0.0.3:5432");
  EXPECT_EQ(WritePolicyDocument(*Suggest().policy), document);
  flows_.erase(flows_.begin());
  EXPECT_FALSE(Suggest().policy.has_value());
}

TEST_F(PolicySuggestionTest, HoldsForTheOthersOfTheSameIdentity) {
  Add("server", "10.0.0.2:8080", "client");
  const std::string document = WritePolicyDocument(*Suggest().policy);
  Add("server", "10.0.0.4:8080", "client");
  EXPECT_THAT(Diff({document}).changes, IsEmpty());
}

TEST_F(PolicySuggestionTest, DoesNotLetInAgainWhoIsKeptOutByNow) {
  SetPolicies(Policy("deny-other", "DENY", Principal("other")));
  Add("server", "10.0.0.2:8080", "client");
  Add("server", "10.0.0.2:8080", "other");
  EXPECT_THAT(WritePolicyDocument(*Suggest().policy), Not(HasSubstr("other")));
}

TEST_F(PolicySuggestionTest, SuggestsNothingWhereNobodyWasSeen) {
  EXPECT_FALSE(Suggest().policy.has_value());
  Add("server", "10.0.0.2:8080", "other", Verdict::kDenied, "no-allow-match");
  SetPolicies(Policy("only-client", "ALLOW", Principal("client")));
  EXPECT_FALSE(Suggest().policy.has_value());
}

TEST_F(PolicySuggestionTest, TakesOverWhatAnotherControlPlaneHasSeen) {
  Add("store", "10.0.0.3:5432", "server");
  const Authorization base = *Suggest().policy;
  flows_.clear();
  Add("server", "10.0.0.2:8080", "client");
  const Authorization both = *Suggest(&base).policy;
  Add("store", "10.0.0.3:5432", "server");
  EXPECT_THAT(Diff({WritePolicyDocument(both)}).changes, IsEmpty());
  EXPECT_EQ(Suggest(&both).policy->rules_size(), 2);
}

TEST_F(PolicySuggestionTest, TakesOverNothingThatIsNoSuggestion) {
  Add("server", "10.0.0.2:8080", "client");
  const Authorization good = *Suggest().policy;
  EXPECT_THAT(CheckSuggestion(good, "demo"), IsOk());
  EXPECT_THAT(CheckSuggestion(good, "other"), StatusIs(absl::StatusCode::kInvalidArgument));
  Authorization bad = good;
  bad.mutable_rules(0)->mutable_clauses()->RemoveLast();
  EXPECT_THAT(CheckSuggestion(bad, "demo"), StatusIs(absl::StatusCode::kInvalidArgument));
  bad = good;
  bad.mutable_rules(0)->mutable_clauses(0)->clear_matches();
  EXPECT_THAT(CheckSuggestion(bad, "demo"), StatusIs(absl::StatusCode::kInvalidArgument));
  bad = good;
  bad.set_name("mine");
  EXPECT_THAT(CheckSuggestion(bad, "demo"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace byrnie
