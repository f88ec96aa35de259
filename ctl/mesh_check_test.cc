#include "ctl/mesh_check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/version.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Outcome = CheckResult::Outcome;
using byrnie::operator_::v1::Agent;

// A mesh in which all is well; every test breaks one thing.
class MeshCheckTest : public ::testing::Test {
 protected:
  MeshCheckTest() {
    state_.now = absl::FromUnixSeconds(1'800'000'000);
    state_.status.mutable_time()->set_seconds(1'800'000'000);
    auto* const condition = state_.status.add_conditions();
    condition->set_name("store");
    condition->set_state(byrnie::operator_::v1::Condition::STATE_OK);
    state_.status.set_release(kRelease);
    auto& workload = state_.workloads.emplace_back();
    workload.set_namespace_("demo");
    workload.set_name("server");
    workload.set_protocol("HBONE");
    workload.set_spiffe_id("spiffe://cluster.local/ns/demo/sa/server");
    workload.add_addresses("10.0.0.2");
    workload.set_agent_connected(true);
    auto& service = state_.services.emplace_back();
    service.set_name("demo/server");
    service.set_usable_endpoints(1);
    auto& agent = state_.agents.emplace_back();
    agent.set_spiffe_id("spiffe://cluster.local/ns/demo/sa/server");
    agent.set_address("10.0.0.2:4711");
    agent.set_connected(true);
    agent.set_release("byrnie-certagent/0.1.0");
  }
  // The one result that is not good.
  CheckResult Odd() const {
    CheckResult odd;
    int count = 0;
    MeshState state = state_;
    state.statuses.insert(state.statuses.begin(), state.status);
    for (const CheckResult& result : CheckMesh(state)) {
      if (result.outcome == Outcome::kGood) continue;
      EXPECT_NE(result.remedy, "") << result.name;
      odd = result;
      ++count;
    }
    EXPECT_LE(count, 1);
    return odd;
  }
  MeshState state_;
};

TEST_F(MeshCheckTest, WhatTheControlPlaneSaysOfItselfIsShown) {
  auto* const condition = state_.status.mutable_conditions(0);
  condition->set_state(byrnie::operator_::v1::Condition::STATE_FAIL);
  condition->set_message("the store cannot be read");
  condition->set_remedy("bring it back");
  condition->mutable_since()->set_seconds(1'800'000'000 - 184);
  EXPECT_EQ(Odd().name, "store");
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
  EXPECT_EQ(Odd().message, "the store cannot be read (so for 3 min 4 s)");
  EXPECT_EQ(Odd().remedy, "bring it back");
  condition->set_state(byrnie::operator_::v1::Condition::STATE_WARN);
  EXPECT_EQ(Odd().outcome, Outcome::kNote);
}

TEST_F(MeshCheckTest, OfSeveralControlPlanesThoseAreNamedThatAreNotWell) {
  for (const char* name : {"plane-1", "plane-2"}) {
    auto& status = state_.statuses.emplace_back(state_.status);
    status.set_control_plane(name);
    auto* const condition = status.mutable_conditions(0);
    condition->set_message("it is away");
    condition->set_remedy(absl::StrCat("remedy of ", name));
    condition->mutable_since()->set_seconds(1'800'000'000 - 12);
  }
  state_.statuses[0].mutable_conditions(0)->set_state(byrnie::operator_::v1::Condition::STATE_WARN);
  state_.statuses[1].mutable_conditions(0)->set_state(byrnie::operator_::v1::Condition::STATE_FAIL);
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
  EXPECT_EQ(Odd().message, "plane-1: it is away (so for 12 s); plane-2: it is away (so for 12 s)");
  EXPECT_EQ(Odd().remedy, "remedy of plane-2");
}

TEST_F(MeshCheckTest, AControlPlaneThatHasNotAnsweredIsNamed) {
  state_.missing = {{"10.0.0.3:15012", "it cannot be reached"}};
  state_.status.set_control_plane("plane-0");
  state_.status.add_other_control_planes("plane-2");
  EXPECT_EQ(Odd().name, "fleet");
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
  EXPECT_THAT(Odd().message, HasSubstr("10.0.0.3:15012 (it cannot be reached)"));
  EXPECT_THAT(Odd().message, HasSubstr("plane-2"));
}

TEST_F(MeshCheckTest, AControlPlaneThatNobodyHasAskedIsNamed) {
  state_.status.set_control_plane("plane-0");
  state_.status.add_other_control_planes("plane-2");
  EXPECT_EQ(Odd().name, "fleet");
  EXPECT_EQ(Odd().outcome, Outcome::kNote);
  // An agent that is not there may be there.
  state_.workloads[0].set_agent_connected(false);
  MeshState state = state_;
  state.statuses = {state.status};
  for (const CheckResult& result : CheckMesh(state)) {
    EXPECT_TRUE(result.name != "agents-connected" || result.outcome == Outcome::kNote);
  }
  state_.workloads[0].set_agent_connected(true);
  state_.statuses.emplace_back(state_.status).set_control_plane("plane-2");
  EXPECT_EQ(Odd().name, "");
}

TEST_F(MeshCheckTest, AStateOfALaterReleaseIsNotTakenForGood) {
  auto* const condition = state_.status.mutable_conditions(0);
  condition->set_state(static_cast<byrnie::operator_::v1::Condition::State>(9));
  condition->set_remedy("see the manual");
  EXPECT_EQ(Odd().outcome, Outcome::kNote);
}

TEST_F(MeshCheckTest, AControlPlaneThatDoesNotSayHowItIsIsANote) {
  state_.status.clear_conditions();
  EXPECT_EQ(Odd().name, "control-plane");
  EXPECT_EQ(Odd().outcome, Outcome::kNote);
}

TEST_F(MeshCheckTest, AllIsGoodWhereAllIsWell) { EXPECT_EQ(Odd().name, ""); }

TEST_F(MeshCheckTest, AnAgentThatIsNotConnectedIsNamed) {
  state_.workloads[0].set_agent_connected(false);
  EXPECT_EQ(Odd().name, "agents-connected");
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
  EXPECT_THAT(Odd().message, HasSubstr("demo/server"));
  state_.workloads[0].set_protocol("NONE");
  EXPECT_EQ(Odd().name, "");
}

TEST_F(MeshCheckTest, OfAClustersPodsThoseWithOurSidecarHaveAgents) {
  for (const char* protocol : {"LEGACY_ISTIO_MTLS", "NONE"}) {
    auto& workload = state_.workloads.emplace_back();
    workload.set_namespace_("istio-ns");
    workload.set_name("istio-1");
    workload.set_protocol(protocol);
    workload.set_origin(byrnie::operator_::v1::ORIGIN_KUBERNETES);
  }
  EXPECT_EQ(Odd().name, "");
  // Of a file, where direct mutual TLS is our agents', too.
  state_.workloads[1].set_origin(byrnie::operator_::v1::ORIGIN_FILE);
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
  state_.workloads[1].set_origin(byrnie::operator_::v1::ORIGIN_KUBERNETES);
  state_.workloads[1].set_protocol("HBONE");
  EXPECT_EQ(Odd().name, "agents-connected");
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
}

// What an older control plane says, which looks at identities alone, does not hide it either.
TEST_F(MeshCheckTest, OfTwoAgentsWithOneIdentityTheOneThatIsGoneIsNamed) {
  auto& second = state_.workloads.emplace_back(state_.workloads[0]);
  second.set_name("server-2");
  second.set_node("n7");
  second.set_addresses(0, "10.0.0.3");
  EXPECT_THAT(Odd().message, HasSubstr("of demo/server-2 (10.0.0.3 on node n7, never seen)"));
  auto& agent = state_.agents.emplace_back(state_.agents[0]);
  agent.set_address("10.0.0.3:4712");
  EXPECT_EQ(Odd().name, "");
  agent.set_connected(false);
  agent.mutable_last_seen()->set_seconds(1'800'000'000 - 184);
  EXPECT_EQ(Odd().name, "agents-connected");
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
  EXPECT_THAT(Odd().message,
              HasSubstr("of demo/server-2 (10.0.0.3 on node n7, last seen 3 min 4 s ago)"));
}

TEST_F(MeshCheckTest, AgentsBehindAnAddressTranslationAreCounted) {
  auto& second = state_.workloads.emplace_back(state_.workloads[0]);
  second.set_name("server-2");
  second.set_addresses(0, "10.0.0.3");
  state_.agents[0].set_address("192.0.2.1:4711");
  EXPECT_THAT(Odd().message, HasSubstr("1 of demo/server (10.0.0.2, never seen), "
                                       "demo/server-2 (10.0.0.3, never seen)"));
  state_.agents.emplace_back(state_.agents[0]).set_address("192.0.2.1:4712");
  EXPECT_EQ(Odd().name, "");
}

TEST_F(MeshCheckTest, ControlPlanesThatDoNotHaveTheSameInForce) {
  EXPECT_FALSE(ContentsDiffer(state_));
  state_.contents = {{"a", {{"policy demo/no", 1}, {"workload w", 2}}},
                     {"b", {{"policy demo/no", 1}, {"workload w", 2}}}};
  EXPECT_EQ(Odd().name, "");
  state_.contents[1].entries["workload w"] = 3;
  EXPECT_EQ(Odd().name, "same-registry");
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
  EXPECT_THAT(Odd().message, HasSubstr("a and b have not the same in force: workload w;"));
  state_.contents[1].entries = {{"workload w", 2}, {"service s", 4}};
  EXPECT_THAT(Odd().message, HasSubstr("policy demo/no, service s;"));
  EXPECT_TRUE(ContentsDiffer(state_));
}

TEST_F(MeshCheckTest, CertificatesThatHaveEndedOrWillSoonOrAreRevoked) {
  state_.agents[0].add_troubles(Agent::TROUBLE_CERTIFICATE_ENDED);
  EXPECT_EQ(Odd().name, "certificates");
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
  state_.agents[0].set_troubles(0, Agent::TROUBLE_CERTIFICATE_REVOKED);
  EXPECT_EQ(Odd().outcome, Outcome::kNote);
  EXPECT_THAT(Odd().message, HasSubstr("revoked of spiffe://cluster.local/ns/demo/sa/server"));
  state_.agents[0].set_troubles(0, Agent::TROUBLE_CERTIFICATE_ENDS_SOON);
  EXPECT_EQ(Odd().name, "certificates");
  EXPECT_EQ(Odd().outcome, Outcome::kNote);
}

// A CI job, a machine or a Deployment that is no more leaves its last certificate behind, to end.
TEST_F(MeshCheckTest, ACertificateOfWhoHasLeftMayEnd) {
  auto& job = state_.agents.emplace_back();
  job.set_spiffe_id("spiffe://cluster.local/ns/ci/sa/job");
  job.set_address("10.0.0.9:4711");
  job.add_troubles(Agent::TROUBLE_CERTIFICATE_ENDED);
  EXPECT_EQ(Odd().name, "");
  MeshState state = state_;
  state.statuses = {state.status};
  for (const CheckResult& result : CheckMesh(state)) {
    if (result.name != "certificates") continue;
    EXPECT_THAT(result.message, HasSubstr("those of 1 agent that went away"));
  }
  // Somebody waits for it.
  state_.agents[1].set_spiffe_id(state_.workloads[0].spiffe_id());
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
  state_.agents[1].set_spiffe_id("spiffe://cluster.local/ns/ci/sa/job");
  state_.agents[1].set_connected(true);
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
}

TEST_F(MeshCheckTest, WhatBringsAnAgentBackIsWhatItProvesItselfWith) {
  state_.agents[0].add_troubles(Agent::TROUBLE_CERTIFICATE_ENDED);
  state_.agents[0].set_certificate_proof("join_token");
  EXPECT_THAT(Odd().remedy, HasSubstr("only a new join token helps"));
  for (const char* proof : {"jwt:https://ci.example", "kubernetes", "kubernetes:keys"}) {
    state_.agents[0].set_certificate_proof(proof);
    EXPECT_THAT(Odd().remedy, Not(HasSubstr("join token"))) << proof;
  }
  state_.agents[0].set_certificate_proof("svid");
  EXPECT_THAT(Odd().remedy, HasSubstr("an agent that joined with a join token"));
}

TEST_F(MeshCheckTest, ClocksThatAreWrong) {
  state_.agents[0].mutable_clock_offset()->set_seconds(-90);
  state_.agents[0].add_troubles(Agent::TROUBLE_CLOCK_WRONG);
  EXPECT_EQ(Odd().name, "clocks");
  EXPECT_THAT(Odd().message, HasSubstr("1 min 30 s behind"));
  state_.agents[0].clear_troubles();
  state_.now += absl::Minutes(5);
  EXPECT_EQ(Odd().name, "own-clock");
}

TEST_F(MeshCheckTest, AServiceWithoutAUsableEndpoint) {
  state_.services[0].set_usable_endpoints(0);
  EXPECT_EQ(Odd().name, "services");
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
}

// Every cluster has services without endpoints for good.
TEST_F(MeshCheckTest, AServiceOfAClusterWithoutAUsableEndpointIsBadWhereMeshedPodsAreBehindIt) {
  auto& service = state_.services.emplace_back();
  service.set_name("istio-ns/scaled-to-zero.istio-ns.svc.cluster.local");
  service.set_origin(byrnie::operator_::v1::ORIGIN_KUBERNETES);
  EXPECT_EQ(Odd().name, "services");
  EXPECT_EQ(Odd().outcome, Outcome::kNote);
  EXPECT_THAT(Odd().message, HasSubstr("istio-ns/scaled-to-zero"));
  service.set_endpoints(1);
  EXPECT_EQ(Odd().outcome, Outcome::kNote);
  service.set_name("demo/scaled-to-zero.demo.svc.cluster.local");
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
  service.set_endpoints(0);
  EXPECT_EQ(Odd().outcome, Outcome::kNote);
  // What a file says is meant to be there.
  service.set_origin(byrnie::operator_::v1::ORIGIN_FILE);
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
}

TEST_F(MeshCheckTest, WhatMayBeMeantIsANote) {
  state_.agents[0].add_troubles(Agent::TROUBLE_BUNDLE_BEHIND);
  EXPECT_EQ(Odd().name, "trust-bundles");
  EXPECT_EQ(Odd().outcome, Outcome::kNote);
  state_.agents[0].clear_troubles();
  state_.policy_warnings.emplace_back("demo/x", "it matches everything");
  EXPECT_EQ(Odd().name, "policies");
  EXPECT_EQ(Odd().outcome, Outcome::kNote);
}

TEST_F(MeshCheckTest, AnEmptyRegistry) {
  state_.workloads.clear();
  EXPECT_EQ(Odd().name, "registry");
  EXPECT_EQ(Odd().outcome, Outcome::kBad);
  EXPECT_THAT(Odd().remedy, HasSubstr("--registry"));
  // So begins every mesh.
  state_.agents.clear();
  EXPECT_EQ(Odd().name, "registry");
  EXPECT_EQ(Odd().outcome, Outcome::kNote);
  EXPECT_THAT(Odd().remedy, HasSubstr("byrniectl workloads apply"));
}

}  // namespace
}  // namespace byrnie
