#include "controlplane/health/condition.h"

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/audit/memory_spool.h"
#include "controlplane/ca/testing/self_signed.h"
#include "controlplane/trust/trust_digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using State = Condition::State;

// A control plane of several with which all is well; every test breaks one thing.
class ConditionTest : public ::testing::Test {
 protected:
  ConditionTest() {
    facts_.now = absl::FromUnixSeconds(1'800'000'000);
    const SigningAuthorityPtr signer = SelfSigned("td", facts_.now)->signer;
    facts_.root = signer->root();
    facts_.ca_not_before = facts_.now - absl::Hours(24);
    facts_.ca_not_after = facts_.now + absl::Hours(24 * 365);
    facts_.issuing_left = facts_.issues_without_store = absl::Hours(1);
    facts_.rotation = RotationStatus();
    facts_.name = "a";
    facts_.peers = std::vector<SharedFleet::Peer>{{"b", facts_.now, false}};
  }
  // The one condition that is not as it should be, with a remedy.
  Condition Odd() const {
    Condition odd;
    int count = 0;
    for (const Condition& condition : JudgeHealth(facts_)) {
      if (condition.state == State::kOk) continue;
      EXPECT_NE(condition.remedy, "") << condition.name;
      odd = condition;
      ++count;
    }
    EXPECT_LE(count, 1);
    return odd;
  }
  Condition Named(const std::string& name) const {
    for (Condition& condition : JudgeHealth(facts_)) {
      if (condition.name == name) return std::move(condition);
    }
    return {};
  }
  // A rotation that waits for an agent.
  void Rotate(bool automatic, absl::Time until) {
    facts_.rotation->step = RotationStep::kDistributed;
    facts_.rotation->since = facts_.now - absl::Minutes(5);
    facts_.rotation->automatic = automatic;
    facts_.rotation->move = RotationMove::kActivate;
    facts_.rotation->blockers = {
        {"spiffe://td/slow", "10.0.0.1:5", "has not acknowledged the next root", until}};
  }

  HealthFacts facts_;
};

TEST_F(ConditionTest, AllIsGoodWhereAllIsWell) {
  EXPECT_EQ(Odd().name, "");
  const std::vector<Condition> all = JudgeHealth(facts_);
  ASSERT_EQ(all.size(), std::size(kConditionNames));
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].name, kConditionNames[i]);
    EXPECT_NE(all[i].message, "") << all[i].name;
    EXPECT_EQ(all[i].since, facts_.now);
  }
}

TEST_F(ConditionTest, NamesPodsThatShouldBeMeshedAndAreNot) {
  EXPECT_THAT(Named("unmeshed-pods").message, HasSubstr("no cluster"));
  facts_.cluster.unmeshed_pods = std::vector<std::string>();
  EXPECT_EQ(Odd().name, "");
  for (const char* pod : {"a/1", "a/2", "a/3", "a/4", "a/5", "a/6"}) {
    facts_.cluster.unmeshed_pods->push_back(pod);
  }
  EXPECT_EQ(Odd().state, State::kWarn);
  EXPECT_THAT(Odd().message,
              HasSubstr("6 pods of meshed namespaces without a sidecar that has their "
                        "connections: a/1, a/2, a/3, a/4, a/5 and 1 more"));
  // Not for good, where something is in the way that can be taken out.
  EXPECT_THAT(Odd().remedy, HasSubstr("where a reason is said that is to be mended first"));
}

TEST_F(ConditionTest, NamesPodsThatAreOptedOut) {
  EXPECT_THAT(Named("opted-out-pods").message, HasSubstr("no cluster"));
  facts_.cluster.opted_out_pods = std::vector<std::string>();
  EXPECT_EQ(Odd().name, "");
  facts_.cluster.opted_out_pods = {"shop/web"};
  EXPECT_EQ(Odd().state, State::kWarn);
  EXPECT_EQ(
      Odd().message,
      "1 pod of meshed namespaces opted out, by byrnie.io/inject=false unless it says otherwise: "
      "shop/web");
}

TEST_F(ConditionTest, NamesPoliciesOfTheClusterThatAreRefused) {
  EXPECT_THAT(Named("cluster-policies").message, HasSubstr("no cluster"));
  facts_.cluster.refused_policies = std::vector<std::string>();
  EXPECT_EQ(Odd().name, "");
  facts_.cluster.refused_policies = {"shop/web (Invalid: spec.action is missing)"};
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_EQ(Odd().message, "1 AccessPolicy refused: shop/web (Invalid: spec.action is missing)");
}

TEST_F(ConditionTest, NamesTheWebhookThatAnotherInstallationKeepsToo) {
  EXPECT_THAT(Named("injection-webhook").message, HasSubstr("no injection webhook"));
  facts_.cluster.contested_webhook = "";
  EXPECT_EQ(Odd().name, "");
  facts_.cluster.contested_webhook = "byrnie-injector";
  EXPECT_EQ(Odd().state, State::kWarn);
  EXPECT_THAT(Odd().message, HasSubstr("MutatingWebhookConfiguration byrnie-injector"));
}

TEST_F(ConditionTest, NamesNamespacesWithTheRootsOfAnotherMesh) {
  EXPECT_THAT(Named("trust-bundle").message, HasSubstr("no cluster"));
  facts_.cluster.trust_refused_by = "";
  EXPECT_EQ(Odd().name, "");
  facts_.cluster.trust_overwritten = {"mine", "shop"};
  EXPECT_EQ(Odd().state, State::kWarn);
  EXPECT_THAT(Odd().message, HasSubstr("overwritten in mine, shop"));
  facts_.cluster.trust_unwritten = {"stuck (it is immutable)"};
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_THAT(Odd().message, HasSubstr("of stuck (it is immutable)"));
  facts_.cluster.trust_refused_by = "theirs";
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_THAT(Odd().message, HasSubstr("another mesh are in theirs"));
}

TEST_F(ConditionTest, AClockBeforeTheLifeOfTheCaIssuesNothing) {
  facts_.now = facts_.ca_not_before - absl::Hours(24);
  EXPECT_EQ(Named("issuing").state, State::kFail);
  EXPECT_THAT(Named("issuing").message, HasSubstr("are good from"));
  EXPECT_THAT(Named("issuing").remedy, HasSubstr("clock"));
}

TEST_F(ConditionTest, AFileOfTheTrustBundleThatCannotBeWritten) {
  EXPECT_THAT(Named("bundle-file").message, HasSubstr("no --trust_bundle_out"));
  facts_.bundle_file = absl::OkStatus();
  EXPECT_EQ(Odd().name, "");
  facts_.bundle_file = absl::ResourceExhaustedError(
      "cannot write --trust_bundle_out /b.pem: No space left on device");
  EXPECT_EQ(Odd().name, "bundle-file");
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_THAT(Odd().message, HasSubstr("/b.pem: No space left"));
  EXPECT_THAT(Odd().remedy, AllOf(HasSubstr("make room"), HasSubstr("activate or revoke")));
  facts_.bundle_file = absl::FailedPreconditionError("somebody else writes --trust_bundle_out /b");
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_THAT(Odd().remedy, AllOf(HasSubstr("who else"), HasSubstr("activate or revoke")));
}

TEST_F(ConditionTest, NamesFilesThatAreRejected) {
  EXPECT_THAT(Named("input-files").message, HasSubstr("every file"));
  facts_.input_files.rejected = {"registry file \"a\": no JSON"};
  EXPECT_EQ(Odd().name, "input-files");
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_THAT(Odd().message, HasSubstr("1 file is rejected, and what was read before stays in "
                                       "force: registry file \"a\": no JSON"));
  facts_.input_files.rejected.push_back("file \"b\": empty");
  EXPECT_THAT(Odd().message, AllOf(HasSubstr("2 files are"), HasSubstr("\"b\"")));
  EXPECT_THAT(Odd().remedy, HasSubstr("before the next start"));
  EXPECT_THAT(Odd().message, Not(HasSubstr("are refused")));
}

// Nothing has been kept out, and a start changes nothing.
TEST_F(ConditionTest, NamesListsInForceThatAreWrongInWordsOfTheirOwn) {
  facts_.input_files.wrong_in_force = {"file \"p.crl\": no revocation list of partner"};
  EXPECT_EQ(Odd().name, "input-files");
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_THAT(Odd().message, HasSubstr("certificates are refused by revocation lists in force: "
                                       "file \"p.crl\": no revocation list of partner"));
  EXPECT_THAT(Odd().message, Not(HasSubstr("rejected")));
  EXPECT_THAT(Odd().remedy, AllOf(HasSubstr("the present lists"), Not(HasSubstr("start"))));
  facts_.input_files.rejected = {"file \"b\": empty"};
  EXPECT_THAT(Odd().message, AllOf(HasSubstr("1 file is rejected"), HasSubstr("p.crl")));
}

TEST_F(ConditionTest, AStoreThatCanBeReadAndNotWrittenIsNoGoodStore) {
  facts_.writes = {absl::UnavailableError("its disk is full"), facts_.now - absl::Minutes(3)};
  EXPECT_EQ(Odd().name, "store");
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_THAT(Odd().message, AllOf(HasSubstr("no write"), HasSubstr("2027-01-15T07:57:00"),
                                   HasSubstr("its disk is full")));
}

TEST_F(ConditionTest, WithoutTheStoreTheTimeThatIsLeftIsToldBeforeItIsOver) {
  facts_.reads = {absl::UnavailableError("etcd does not answer"), facts_.now};
  facts_.issuing_left = absl::Minutes(42);
  EXPECT_EQ(Named("store").state, State::kFail);
  EXPECT_EQ(Named("issuing").state, State::kWarn);
  EXPECT_THAT(Named("issuing").message, HasSubstr("another 42m without the store"));
  facts_.issues = absl::UnavailableError("has not reached its store for 1h");
  EXPECT_EQ(Named("issuing").state, State::kFail);
  EXPECT_THAT(Named("issuing").message, HasSubstr("not reached its store"));
  // One that has its store for itself goes on.
  facts_.issues = absl::OkStatus();
  facts_.issuing_left = facts_.issues_without_store = absl::InfiniteDuration();
  EXPECT_EQ(Named("issuing").state, State::kOk);
}

TEST_F(ConditionTest, ALogThatIsCutShortSaysWhereItBegins) {
  facts_.issuance_log.cut_to = facts_.now - absl::Hours(2);
  const Condition odd = Odd();
  EXPECT_EQ(odd.name, "issuance-log");
  EXPECT_EQ(odd.state, State::kWarn);
  EXPECT_THAT(odd.message, HasSubstr("2027-01-15T06:00:00"));
  EXPECT_THAT(odd.remedy, HasSubstr("--identity_issue_rate"));
}

TEST_F(ConditionTest, IssuancesThatAreNotLogged) {
  facts_.issuance_log.pending = 3;
  EXPECT_EQ(Odd().name, "") << "they are about to be";
  facts_.issuance_log.failing = true;
  EXPECT_EQ(Odd().name, "issuance-log");
  EXPECT_EQ(Odd().state, State::kWarn);
  EXPECT_THAT(Odd().remedy, HasSubstr("do not restart"));
  facts_.issuance_log.pending = MemorySpool::kMost;
  EXPECT_EQ(Odd().state, State::kFail);
  facts_.issuance_log.lasting = true;
  EXPECT_EQ(Odd().state, State::kWarn);
  EXPECT_THAT(Odd().message, HasSubstr("--issuance_spool"));
  facts_.issuance_log = IssuanceLog::Backlog();
  facts_.issuance_log.lost = 7;
  EXPECT_EQ(Odd().state, State::kWarn);
  EXPECT_THAT(Odd().message, HasSubstr("7 issuances"));
}

TEST_F(ConditionTest, CertificatesOfTheCaAreJudgedByTheLifeTheyHave) {
  facts_.ca_not_before = facts_.now - absl::Hours(24 * 365);
  facts_.ca_not_after = facts_.now + absl::Hours(24 * 80);
  EXPECT_EQ(Odd().name, "ca-certificate");
  EXPECT_EQ(Odd().state, State::kWarn);
  EXPECT_THAT(Odd().remedy, HasSubstr("--ca=plugged:"));
  facts_.ca_not_after = facts_.now + absl::Hours(24 * 5);
  EXPECT_EQ(Odd().state, State::kFail);
  // Of one that never lives longer than that it is no news.
  facts_.ca_not_before = facts_.now - absl::Hours(1);
  EXPECT_EQ(Odd().name, "");
  facts_.ca_not_after = facts_.now - absl::Seconds(1);
  EXPECT_THAT(Odd().message, HasSubstr("has ended"));
}

TEST_F(ConditionTest, ARootThatEndsSoon) {
  facts_.now = facts_.root->not_after() - absl::Hours(24 * 80);
  EXPECT_EQ(Named("root-certificate").state, State::kWarn);
  facts_.now = facts_.root->not_after() - absl::Hours(24);
  EXPECT_EQ(Named("root-certificate").state, State::kFail);
}

TEST_F(ConditionTest, ARotationThatIsHeldUpNamesWhoDoesIt) {
  Rotate(/*automatic=*/true, absl::InfiniteFuture());
  EXPECT_EQ(Odd().name, "root-rotation");
  EXPECT_EQ(Odd().state, State::kWarn);
  EXPECT_THAT(Odd().message, AllOf(HasSubstr("distributed since"),
                                   HasSubstr("held up by spiffe://td/slow@10.0.0.1: has"),
                                   HasSubstr("has not acknowledged")));
}

TEST_F(ConditionTest, ARotationThatGoesOnByItselfIsAsItShouldBe) {
  Rotate(/*automatic=*/true, facts_.now + absl::Hours(1));
  EXPECT_EQ(Odd().name, "");
  EXPECT_THAT(Named("root-rotation").message, HasSubstr("activate follows by"));
  facts_.rotation->blockers.clear();
  EXPECT_EQ(Odd().name, "");
}

TEST_F(ConditionTest, ARotationThatWaitsForAnOperatorSaysSo) {
  Rotate(/*automatic=*/false, absl::InfiniteFuture());
  facts_.rotation->blockers.clear();
  EXPECT_EQ(Odd().name, "root-rotation");
  EXPECT_THAT(Odd().remedy, HasSubstr("--step=activate"));
}

TEST_F(ConditionTest, ARevocationListThatIsNotReplacedInTime) {
  facts_.revocation_lists = {{"late", facts_.now - absl::Hours(20), facts_.now + absl::Hours(4)},
                             {"td", facts_.now, facts_.now + absl::Hours(24)}};
  EXPECT_EQ(Odd().name, "revocation-lists");
  EXPECT_EQ(Odd().state, State::kWarn);
  EXPECT_THAT(Odd().message, HasSubstr("list of late"));
  facts_.now += absl::Hours(5);
  facts_.root = SelfSigned("td", facts_.now)->signer->root();
  EXPECT_EQ(Odd().state, State::kFail);
  facts_.revocation_lists.erase(facts_.revocation_lists.begin());
  EXPECT_EQ(Odd().name, "");
}

TEST_F(ConditionTest, WhatIsRevokedAndNotRefused) {
  facts_.revocation_lists_state = absl::FailedPreconditionError("CN=x is an intermediate");
  EXPECT_EQ(Odd().name, "revocation-lists");
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_THAT(Odd().message, HasSubstr("CN=x is an intermediate"));
  EXPECT_THAT(Odd().remedy, HasSubstr("--crl"));
}

TEST_F(ConditionTest, WhatIsIssuedAndRefused) {
  facts_.revocation_lists = {{"td", facts_.now, facts_.now + absl::Hours(24)}};
  facts_.issued_state = absl::PermissionDeniedError("CN=middle is revoked");
  EXPECT_EQ(Odd().name, "revocation-lists");
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_THAT(Odd().message, HasSubstr("issued now are refused: CN=middle is revoked"));
  EXPECT_THAT(Odd().remedy, Not(HasSubstr("rotate")));
  // That one has ended says more.
  facts_.revocation_lists = {{"td", facts_.now - absl::Hours(24), facts_.now}};
  EXPECT_THAT(Odd().message, HasSubstr("a revocation list of td"));
}

TEST_F(ConditionTest, WhatWasAppliedAndDoesNotGoWithTheRest) {
  facts_.stored_troubles = {"workload \"w\": there is no policy \"n/p\"", "another"};
  EXPECT_EQ(Odd().name, "stored-registry");
  EXPECT_THAT(Odd().message, AllOf(HasSubstr("2 of what"), HasSubstr("no policy \"n/p\""),
                                   Not(HasSubstr("another"))));
}

TEST_F(ConditionTest, OtherControlPlanesOfTheStore) {
  EXPECT_THAT(Named("control-planes").message, HasSubstr("also heard of: b"));
  (*facts_.peers)->at(0).silent = true;
  EXPECT_EQ(Odd().name, "control-planes");
  EXPECT_THAT(Odd().message, HasSubstr("silent: b (heard of at"));
  (*facts_.peers)->at(0) = {"a", facts_.now, false};
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_THAT(Odd().remedy, HasSubstr("--name"));
  facts_.peers = absl::UnavailableError("etcd does not answer");
  EXPECT_EQ(Odd().state, State::kWarn);
  facts_.peers.reset();
  EXPECT_EQ(Odd().name, "");
}

TEST_F(ConditionTest, ARecordThatCannotBeReadIsNamedWithItsRemedy) {
  facts_.unreadable_records = {{"policies/demo/x", "damaged", "it stays as it was", "apply it"}};
  EXPECT_EQ(Odd().name, "stored-records");
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_EQ(Odd().remedy, "apply it");
  EXPECT_THAT(Odd().message, AllOf(HasSubstr("\"policies/demo/x\""), HasSubstr("damaged"),
                                   HasSubstr("stays as it was")));
  facts_.unreadable_records.push_back({"revoked/00", "damaged", "so", "do"});
  EXPECT_THAT(Odd().message, HasSubstr("nor can revoked/00"));
}

TEST_F(ConditionTest, ClocksThatDifferAreBad) {
  facts_.peers = std::vector<SharedFleet::Peer>{{"b", facts_.now, false, absl::Hours(2)}};
  EXPECT_EQ(Odd().name, "control-planes");
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_THAT(Odd().message, HasSubstr("2h ahead of that of b"));
  facts_.peers = std::vector<SharedFleet::Peer>{{"b", facts_.now, false, -absl::Minutes(5)}};
  EXPECT_THAT(Odd().message, HasSubstr("5m behind that of b"));
}

TEST_F(ConditionTest, AControlPlaneWhoseCertificatesAreRefusedIsBad) {
  SharedFleet::Peer peer{"b", facts_.now, false};
  facts_.peers = std::vector<SharedFleet::Peer>{peer};
  EXPECT_THAT(Named("same-roots").message, HasSubstr("the same roots"));
  peer.trust.only_there = {"5678"};
  facts_.peers = std::vector<SharedFleet::Peer>{peer};
  EXPECT_EQ(Odd().name, "same-roots");
  EXPECT_EQ(Odd().state, State::kWarn);
  EXPECT_THAT(Odd().message, HasSubstr("only b has the root 5678"));
  EXPECT_THAT(Odd().remedy, HasSubstr("root-cert.pem"));
  peer.trust.refused_here = "5678";
  facts_.peers = std::vector<SharedFleet::Peer>{{"a2", facts_.now, false}, peer};
  EXPECT_EQ(Odd().name, "same-roots");
  EXPECT_EQ(Odd().state, State::kFail);
  EXPECT_THAT(Odd().message, HasSubstr("what b issues leads to the root 5678"));
  peer.trust = {};
  peer.trust.other_issuer = true;
  facts_.peers = std::vector<SharedFleet::Peer>{peer};
  EXPECT_EQ(Odd().name, "");
  EXPECT_THAT(Named("same-roots").message, HasSubstr("sign at b"));
  facts_.peers.reset();
  EXPECT_THAT(Named("same-roots").message, HasSubstr("for itself"));
}

TEST_F(ConditionTest, FlagsThatDifferAreNamed) {
  SharedFleet::Peer b{"b", facts_.now, false}, c{"c", facts_.now, false};
  b.settings = {"attest", "workload_ttl"};
  facts_.peers = std::vector<SharedFleet::Peer>{b, c};
  EXPECT_EQ(Odd().name, "same-configuration");
  EXPECT_EQ(Odd().state, State::kWarn);
  EXPECT_THAT(Odd().message, HasSubstr("--attest, --workload_ttl at b"));
  c.settings = {"operators"};
  facts_.peers = std::vector<SharedFleet::Peer>{b, c};
  EXPECT_THAT(Odd().message, HasSubstr("at b; --operators at c"));
}

// There is no rotation that it would hold up.
TEST_F(ConditionTest, WithAPluggedCaOthersAreHeardOfAsWell) {
  facts_.rotation.reset();
  facts_.issuing_left = facts_.issues_without_store = absl::InfiniteDuration();
  EXPECT_THAT(Named("control-planes").message, HasSubstr("also heard of: b"));
  facts_.peers = std::vector<SharedFleet::Peer>{{"b", facts_.now - absl::Hours(1), true}};
  EXPECT_EQ(Odd().name, "control-planes");
  EXPECT_THAT(Odd().remedy, Not(HasSubstr("rotation")));
  facts_.peers = std::vector<SharedFleet::Peer>{{"b", facts_.now, false, absl::Hours(2)}};
  EXPECT_THAT(Odd().message, Not(HasSubstr("rotation")));
}

}  // namespace
}  // namespace byrnie
