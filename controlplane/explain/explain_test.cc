#include "controlplane/explain/explain.h"

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/tls/testing/test_ca.h"
#include "controlplane/registry/static_parser.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kClient[] = "spiffe://cluster.local/ns/demo/sa/client";
constexpr char kServer[] = "spiffe://cluster.local/ns/demo/sa/server";

// A mesh in which 10.0.0.1 (demo/client) reaches 10.0.0.2:8080 (demo/server), directly and as port
// 80 of 10.96.0.1; every test breaks one thing.
class ExplainTest : public ::testing::Test {
 protected:
  ExplainTest() : ca_("cluster.local", clock_.WallNow()) {
    client_ = R"("namespace":"demo","service_account":"client","addresses":["10.0.0.1"])";
    server_ = R"("namespace":"demo","service_account":"server","addresses":["10.0.0.2","fd00::2"],)"
              R"("services":{"demo/server.demo":[{"service_port":80,"target_port":8080}]})";
    agents_ = {Agent(kClient, "10.0.0.1:5000"), Agent(kServer, "10.0.0.2:5000")};
  }

  AgentTable::Agent Agent(const std::string& id, const std::string& address) const {
    return AgentTable::Agent{*SpiffeId::Parse(id),
                             address,
                             clock_.WallNow() - absl::Hours(1),
                             clock_.WallNow() + absl::Hours(1),
                             "01",
                             7,
                             true,
                             clock_.WallNow(),
                             "byrnie-certagent/0.1.0",
                             absl::ZeroDuration()};
  }

  ExplainAnswer Ask(const std::string& source, const std::string& destination, uint16_t port) {
    const std::string text = absl::StrCat(
        "{\"workloads\":[{\"name\":\"client\",", client_, "},{\"name\":\"server\",", server_, "}",
        more_workloads_, "],\"services\":[{\"name\":\"server\",\"namespace\":\"demo\",",
        "\"hostname\":\"server.demo\",\"addresses\":[\"10.96.0.1\"],",
        "\"ports\":[{\"service_port\":80}]", service_, "}],\"policies\":[", policies_, "]}");
    const auto content = ParseRegistryFile(text, "cluster.local");
    EXPECT_THAT(content, IsOk());
    registry_ = *RegistrySnapshot::Create(*content);
    if (!unreadable_.empty()) {
      auto stand_in =
          std::make_shared<Resource>(*registry_->Get(ResourceType::kAddress, unreadable_));
      stand_in->stand_in = true;
      RegistryChange change;
      change.put = {{stand_in}};
      registry_ = registry_->With(change);
    }
    MeshFacts facts;
    facts.answers = answers_;
    facts.patience = absl::Milliseconds(700);
    facts.registry = registry_.get();
    facts.bundles = &bundles_;
    facts.bundle_version = 7;
    facts.trust_domain = "cluster.local";
    facts.agents = agents_;
    facts.other_control_planes = others_;
    facts.newest_issued = newest_issued_;
    facts.revoked = revoked_;
    facts.now = clock_.WallNow();
    facts.running = running_;
    auto answer = Explain(facts, ExplainQuestion{source, destination, port});
    EXPECT_THAT(answer, IsOk());
    return *std::move(answer);
  }

  // The first step that failed, and why.
  std::string FirstFailed(const std::string& source = "10.0.0.1",
                          const std::string& destination = "10.96.0.1", uint16_t port = 80) {
    const ExplainAnswer answer = Ask(source, destination, port);
    const ExplainStep* const step = answer.first_failed();
    if (step == nullptr) return "";
    EXPECT_NE(step->remedy, "") << step->name;
    return absl::StrCat(step->name, ": ", step->reason);
  }

  const ExplainStep* Step(const ExplainAnswer& answer, const std::string& name) {
    for (const ExplainStep& step : answer.steps) {
      if (step.name == name) return &step;
    }
    return nullptr;
  }

  static std::string Policy(const std::string& name, const std::string& action,
                            const std::string& match, const std::string& more = "") {
    return absl::StrCat("{\"name\":\"", name, "\",\"namespace\":\"demo\",\"scope\":\"NAMESPACE\",",
                        "\"action\":\"", action, "\",\"rules\":[{\"clauses\":[{\"matches\":[",
                        match, "]}]}]", more, "}");
  }

  FakeClock clock_;
  const TestCa ca_;
  TrustBundleSet bundles_ = ca_.Bundles();
  std::string client_, server_, more_workloads_, service_, policies_;
  // The key of a workload or service that something stands in for.
  std::string unreadable_;
  std::vector<AgentTable::Agent> agents_;
  std::vector<std::string> others_;
  std::function<absl::StatusOr<absl::optional<IssuedCertificate>>(const SpiffeId&)> newest_issued_;
  AgentQuestions::Answers answers_;
  std::set<std::string> revoked_;
  absl::Duration running_ = absl::InfiniteDuration();
  RegistrySnapshotPtr registry_;
};

TEST_F(ExplainTest, AnAgentOfAnotherControlPlaneIsNotSaidToBeMissing) {
  agents_.pop_back();
  others_ = {"b"};
  newest_issued_ = [this](const SpiffeId& id) {
    EXPECT_EQ(id.text(), kServer);
    return absl::optional<IssuedCertificate>(
        IssuedCertificate{"02", clock_.WallNow() + absl::Minutes(5)});
  };
  const ExplainAnswer answer = Ask("10.0.0.1", "10.96.0.1", 80);
  EXPECT_EQ(answer.first_failed(), nullptr);
  EXPECT_EQ(Step(answer, "destination-certificate")->outcome, ExplainStep::Outcome::kOk);
  EXPECT_EQ(Step(answer, "destination-agent")->outcome, ExplainStep::Outcome::kUnknown);
  EXPECT_THAT(Step(answer, "destination-agent")->reason, HasSubstr("another (b), or not at all"));
}

TEST_F(ExplainTest, TheAgentsOfBothEndsAreToBeAsked) {
  EXPECT_EQ(Ask("10.0.0.1", "10.96.0.1", 80).agents,
            (std::set<std::string>{"10.0.0.1:5000", "10.0.0.2:5000"}));
  agents_[0].connected = false;
  EXPECT_EQ(Ask("10.0.0.1", "10.96.0.1", 80).agents, std::set<std::string>{"10.0.0.2:5000"});
}

TEST_F(ExplainTest, AnAgentThatHasNotAnsweredHangs) {
  answers_ = {{"10.0.0.1:5000", AgentQuestions::Answer{true, true}},
              {"10.0.0.2:5000", AgentQuestions::Answer{true, true}}};
  EXPECT_EQ(FirstFailed(), "");
  answers_["10.0.0.2:5000"].reset();
  EXPECT_THAT(FirstFailed(), HasSubstr("destination-agent: its agent is connected from "
                                       "10.0.0.2:5000, but has not answered within 700ms"));
  answers_["10.0.0.1:5000"].reset();
  EXPECT_THAT(FirstFailed(), HasSubstr("source-agent: "));
}

TEST_F(ExplainTest, AnAgentKnowsWhetherItHasAProxy) {
  answers_ = {{"10.0.0.1:5000", AgentQuestions::Answer{true, true}},
              {"10.0.0.2:5000", AgentQuestions::Answer{false, false}}};
  EXPECT_THAT(FirstFailed(), HasSubstr("destination-proxy: its agent says that no proxy"));
  answers_["10.0.0.2:5000"] = AgentQuestions::Answer{true, false};
  EXPECT_THAT(FirstFailed(), HasSubstr("destination-proxy: its agent says that its proxy does not "
                                       "answer: it hangs"));
  EXPECT_EQ(Step(Ask("10.0.0.1", "10.96.0.1", 80), "source-proxy")->outcome,
            ExplainStep::Outcome::kOk);
}

TEST_F(ExplainTest, WhatTheLogDoesNotHaveNobodyHasIssued) {
  agents_.pop_back();
  others_ = {"b"};
  newest_issued_ = [](const SpiffeId&) { return absl::optional<IssuedCertificate>(); };
  EXPECT_THAT(FirstFailed(), HasSubstr("destination-certificate: no certificate of"));
}

TEST_F(ExplainTest, WhatWasIssuedLastCountsNotWhatLastsLongest) {
  // The agent that had the longer one is gone, like the one after it.
  agents_[1].connected = false;
  newest_issued_ = [this](const SpiffeId&) {
    return absl::optional<IssuedCertificate>(
        IssuedCertificate{"03", clock_.WallNow() - absl::Seconds(4)});
  };
  EXPECT_THAT(FirstFailed(), HasSubstr("ended 4s ago"));
}

TEST_F(ExplainTest, ALogThatCannotBeReadIsNoFailure) {
  agents_.pop_back();
  others_ = {"b"};
  newest_issued_ = [](const SpiffeId&) -> absl::StatusOr<absl::optional<IssuedCertificate>> {
    return absl::UnavailableError("etcd is away");
  };
  const ExplainAnswer answer = Ask("10.0.0.1", "10.96.0.1", 80);
  EXPECT_EQ(answer.first_failed(), nullptr);
  EXPECT_THAT(Step(answer, "destination-certificate")->reason, HasSubstr("etcd is away"));
}

TEST_F(ExplainTest, ARevokedCertificateIsInTheWay) {
  agents_[1].certificate_serial = "0b";
  revoked_ = {"0b"};
  EXPECT_THAT(FirstFailed(), HasSubstr("destination-certificate: certificate 0b"));
}

TEST_F(ExplainTest, NothingIsInTheWayOfAMeshThatWorks) {
  for (const std::string& source : {std::string("10.0.0.1"), std::string("demo/client"),
                                    std::string("static//pod/demo/client"), std::string(kClient)}) {
    for (const auto& [destination, port] :
         std::vector<std::pair<std::string, uint16_t>>{{"10.96.0.1", 80},
                                                       {"demo/server.demo", 80},
                                                       {"server.demo", 80},
                                                       {"10.0.0.2", 8080},
                                                       {"static//pod/demo/server", 8080}}) {
      EXPECT_EQ(FirstFailed(source, destination, port), "") << source << " " << destination;
    }
  }
  const ExplainAnswer answer = Ask("10.0.0.1", "10.96.0.1", 80);
  EXPECT_EQ(answer.source_spiffe_id, kClient);
  EXPECT_EQ(answer.source_address, "10.0.0.1");
  EXPECT_EQ(answer.destination_spiffe_id, kServer);
  EXPECT_EQ(answer.destination_address, "10.0.0.2:8080");
  EXPECT_THAT(answer.Verdict(), HasSubstr("nothing that the control plane knows of"));
  // It does not claim to know what it cannot.
  EXPECT_EQ(answer.steps.back().name, explain_step::kPod);
  EXPECT_EQ(answer.steps.back().outcome, ExplainStep::Outcome::kUnknown);
}

TEST_F(ExplainTest, AServiceIsMeantBeforeAWorkloadOfItsName) {
  EXPECT_EQ(Ask("10.0.0.1", "demo/server", 80).destination_address, "10.0.0.2:8080");
}

TEST_F(ExplainTest, APortThatOnlyTheWorkloadOfThatNameHasMeansTheWorkload) {
  const ExplainAnswer answer = Ask("10.0.0.1", "demo/server", 8080);
  EXPECT_EQ(answer.first_failed(), nullptr);
  EXPECT_EQ(answer.destination_address, "10.0.0.2:8080");
  const ExplainStep* step = Step(answer, explain_step::kDestination);
  EXPECT_THAT(step->reason,
              HasSubstr("demo/server is workload static//pod/demo/server, to whose port 8080 a "
                        "service leads; service demo/server.demo has no port 8080"));
  // The container's port is what is easily taken for the service's.
  EXPECT_THAT(step->remedy, HasSubstr("a connection to the service's address at port 8080 fails; "
                                      "for the service use 80"));
}

TEST_F(ExplainTest, APortThatNeitherTheServiceNorTheWorkloadOfThatNameHas) {
  EXPECT_EQ(FirstFailed("10.0.0.1", "demo/server", 81),
            "service-port: service demo/server.demo has no port 81; it has 80. The workload of "
            "that name is not known to have it either: services lead to its 8080");
  const ExplainAnswer answer = Ask("10.0.0.1", "demo/server", 81);
  EXPECT_EQ(answer.destination_address, "");
  EXPECT_THAT(Step(answer, explain_step::kDestination)->reason,
              HasSubstr("is service demo/server.demo, and workload static//pod/demo/server"));
  EXPECT_EQ(Step(answer, explain_step::kServicePort)->remedy,
            "for the service use 80, or add the port to it; for the workload use 8080; where the "
            "workload itself listens at 81, ask for 10.0.0.2:81");
  // So asked, it is the workload.
  EXPECT_EQ(FirstFailed("10.0.0.1", "10.0.0.2", 81), "");
}

TEST_F(ExplainTest, APortThatAServiceLeadsToUnchangedIsTheWorkloads) {
  server_ = R"("namespace":"demo","service_account":"server","addresses":["10.0.0.2"],)"
            R"("services":{"demo/server.demo":[{"service_port":80,"target_port":8080}],)"
            R"("demo/other.demo":[{"service_port":9090}]})";
  service_ = R"(},{"name":"other","namespace":"demo","hostname":"other.demo",)"
             R"("addresses":["10.96.0.2"],"ports":[{"service_port":9090}])";
  EXPECT_EQ(FirstFailed("10.0.0.1", "demo/server", 9090), "");
}

TEST_F(ExplainTest, AWorkloadOfAServicesNameToWhichNoServiceLeads) {
  server_ = R"("namespace":"demo","service_account":"server","addresses":["10.0.0.2"])";
  EXPECT_THAT(FirstFailed("10.0.0.1", "demo/server", 8080),
              HasSubstr("not known to have it either: no service leads to it"));
}

TEST_F(ExplainTest, ASourceThatIsNotKnown) {
  EXPECT_THAT(FirstFailed("demo/nobody"), HasSubstr("source: "));
}

TEST_F(ExplainTest, ADestinationThatIsNotKnown) {
  EXPECT_THAT(FirstFailed("10.0.0.1", "10.0.0.99"), HasSubstr("destination: "));
  EXPECT_THAT(FirstFailed("10.0.0.1", "nobody.demo"), HasSubstr("destination: "));
}

TEST_F(ExplainTest, ADestinationWhoseRecordCannotBeRead) {
  unreadable_ = "static//pod/demo/server";
  EXPECT_THAT(FirstFailed("10.0.0.1", "10.0.0.2", 8080),
              HasSubstr("destination: 10.0.0.2 is workload static//pod/demo/server, whose record"));
  unreadable_ = "demo/server.demo";
  EXPECT_THAT(FirstFailed(), HasSubstr("is service demo/server.demo, whose record"));
}

TEST_F(ExplainTest, APortThatTheServiceDoesNotHave) {
  EXPECT_THAT(FirstFailed("10.0.0.1", "10.96.0.1", 81),
              HasSubstr("service-port: service demo/server.demo has no port 81; it has 80"));
}

TEST_F(ExplainTest, AServiceWithoutEndpoint) {
  server_ = R"("namespace":"demo","service_account":"server","addresses":["10.0.0.2"])";
  EXPECT_THAT(FirstFailed(), HasSubstr("endpoint: no workload is an endpoint"));
}

TEST_F(ExplainTest, AnEndpointThatIsUnhealthy) {
  server_ += R"(,"healthy":false)";
  EXPECT_THAT(FirstFailed(),
              HasSubstr("endpoint-health: all endpoints are unhealthy: demo/server"));
  service_ = R"(,"load_balancing":{"health_policy":"ALLOW_ALL"})";
  EXPECT_EQ(FirstFailed(), "");
}

TEST_F(ExplainTest, AStrictServiceWithoutAnEndpointNearby) {
  service_ = R"(,"load_balancing":{"mode":"STRICT","routing_preference":["ZONE"]})";
  EXPECT_THAT(FirstFailed(), HasSubstr("endpoint-locality: "));
  client_ += R"(,"locality":{"zone":"a"})";
  server_ += R"(,"locality":{"zone":"a"})";
  EXPECT_EQ(FirstFailed(), "");
}

TEST_F(ExplainTest, NoCertificateOfTheSourceOrTheDestination) {
  const auto agents = agents_;
  agents_ = {agents[1]};
  EXPECT_THAT(FirstFailed(), HasSubstr("source-certificate: no certificate of "));
  agents_ = {agents[0]};
  EXPECT_THAT(FirstFailed(), HasSubstr("destination-certificate: no certificate of "));
}

TEST_F(ExplainTest, ACertificateThatHasEnded) {
  for (size_t i : {0, 1}) {
    agents_[i].certificate_not_after = clock_.WallNow() - absl::Minutes(3);
    // Its streams were ended with it.
    agents_[i].connected = false;
    EXPECT_THAT(FirstFailed(), HasSubstr("ended 3m ago"));
    EXPECT_THAT(FirstFailed(),
                HasSubstr(i == 0 ? "source-certificate" : "destination-certificate"));
    agents_[i] = Agent(i == 0 ? kClient : kServer, agents_[i].address);
  }
}

TEST_F(ExplainTest, AnAgentThatWentAway) {
  agents_[1].connected = false;
  agents_[1].last_seen = clock_.WallNow() - absl::Seconds(90);
  EXPECT_THAT(FirstFailed(), HasSubstr("destination-agent: "));
  EXPECT_THAT(FirstFailed(), HasSubstr("1m30s ago"));
}

TEST_F(ExplainTest, WhatBringsAnAgentBackIsWhatItProvesItselfWith) {
  const auto remedy = [this](const std::string& proof) {
    agents_[0].certificate_not_after = clock_.WallNow() - absl::Minutes(3);
    agents_[0].connected = false;
    agents_[0].certificate_proof = proof;
    const ExplainAnswer answer = Ask("10.0.0.1", "10.96.0.1", 80);
    return answer.first_failed()->remedy;
  };
  EXPECT_THAT(remedy("join_token"), HasSubstr("after its end only a new join token helps"));
  for (const char* proof : {"jwt:https://ci.example", "kubernetes", "kubernetes:keys"}) {
    EXPECT_THAT(remedy(proof), Not(HasSubstr("join token"))) << proof;
  }
  EXPECT_THAT(remedy("svid"), HasSubstr("if it joined with a join token"));
}

// Two pods of one account: the agent of the other one does not speak for this one.
TEST_F(ExplainTest, AnAgentOfAnotherPodOfTheIdentityDoesNotCount) {
  more_workloads_ =
      R"(,{"name":"twin","namespace":"demo","service_account":"server","addresses":["10.0.0.3"]})";
  agents_[1].address = "10.0.0.3:5000";
  EXPECT_THAT(FirstFailed(), HasSubstr("destination-certificate: "));
  // Behind a translation of addresses it might; it may as well be the registry that is wrong.
  agents_[1].address = "192.0.2.1:5000";
  answers_["192.0.2.1:5000"] = AgentQuestions::Answer{true, true};
  EXPECT_EQ(FirstFailed(), "");
  const ExplainAnswer answer = Ask("10.0.0.1", "10.96.0.1", 80);
  for (const char* const name :
       {explain_step::kDestinationAgent, explain_step::kDestinationProxy}) {
    ASSERT_NE(Step(answer, name), nullptr);
    EXPECT_EQ(Step(answer, name)->outcome, ExplainStep::Outcome::kUnknown) << name;
    EXPECT_THAT(Step(answer, name)->reason, HasSubstr("192.0.2.1:5000"));
    EXPECT_THAT(Step(answer, name)->reason, HasSubstr("10.0.0.2"));
  }
}

// After a restart nobody is there for a moment, though traffic flows.
TEST_F(ExplainTest, AgentsThatHaveNotComeBackYet) {
  agents_.clear();
  newest_issued_ = [this](const SpiffeId&) {
    return absl::optional<IssuedCertificate>(
        IssuedCertificate{"01", clock_.WallNow() + absl::Hours(1)});
  };
  EXPECT_THAT(FirstFailed(), HasSubstr("source-agent: no agent"));
  running_ = absl::Seconds(2);
  EXPECT_EQ(FirstFailed(), "");
  const ExplainAnswer answer = Ask("10.0.0.1", "10.96.0.1", 80);
  EXPECT_EQ(Step(answer, explain_step::kSourceAgent)->outcome, ExplainStep::Outcome::kUnknown);
  EXPECT_THAT(Step(answer, explain_step::kDestinationAgent)->reason, HasSubstr("started 2s ago"));
  // What nobody has seen is not "ok".
  const auto identity = Step(answer, explain_step::kDestinationIdentity);
  EXPECT_EQ(identity->outcome, ExplainStep::Outcome::kUnknown);
  EXPECT_THAT(identity->reason, HasSubstr("it is to prove spiffe://cluster.local/ns/demo/sa/"));
  // Who was there and went away is known of.
  agents_ = {Agent(kClient, "10.0.0.1:5000"), Agent(kServer, "10.0.0.2:5000")};
  agents_[1].connected = false;
  EXPECT_THAT(FirstFailed(), HasSubstr("destination-agent: "));
}

TEST_F(ExplainTest, AnIdentityThatIsNotTheOneExpected) {
  agents_[1].id = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/other");
  EXPECT_THAT(FirstFailed(), HasSubstr("destination-identity: the registry expects "));
}

TEST_F(ExplainTest, ASourceThatProvesAnotherIdentityIsJudgedAsThat) {
  agents_[0].id = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/other");
  EXPECT_EQ(FirstFailed(), "");
  policies_ =
      Policy("only", "ALLOW", R"({"principals":[{"exact":"cluster.local/ns/demo/sa/client"}]})");
  EXPECT_THAT(FirstFailed(), HasSubstr("policy: "));
}

TEST_F(ExplainTest, AClockThatIsWrong) {
  agents_[0].clock_offset = -absl::Minutes(10);
  EXPECT_THAT(FirstFailed(), HasSubstr("source-clock: its clock is 10m behind"));
  agents_[0].clock_offset = absl::Seconds(30);
  EXPECT_EQ(FirstFailed(), "");
  agents_[1].clock_offset = absl::Hours(2);
  EXPECT_THAT(FirstFailed(), HasSubstr("destination-clock: its clock is 2h ahead"));
}

TEST_F(ExplainTest, ATrustDomainWithoutABundle) {
  server_ += R"(,"trust_domain":"partner.example")";
  EXPECT_THAT(FirstFailed(), HasSubstr("destination-identity: "));
  agents_ = {agents_[0]};
  EXPECT_THAT(FirstFailed(), HasSubstr("trust: there is no trust bundle of partner.example"));
}

TEST_F(ExplainTest, RootsThatHaveEnded) {
  clock_.SetWall(clock_.WallNow() + absl::Hours(24 * 365 * 40));
  for (auto& agent : agents_) agent.certificate_not_after = clock_.WallNow() + absl::Hours(1);
  EXPECT_THAT(FirstFailed(), HasSubstr("trust: all root certificates of cluster.local"));
}

TEST_F(ExplainTest, APolicyThatDeniesNamesItselfAndItsRule) {
  policies_ =
      Policy("no", "DENY", R"({"principals":[{"exact":"cluster.local/ns/demo/sa/client"}]})");
  EXPECT_THAT(FirstFailed(), HasSubstr("policy: policy demo/no denies it by rules[0]"));
}

TEST_F(ExplainTest, NoAllowPolicyThatMatchesNamesThoseThatAreAboutIt) {
  policies_ = Policy("only", "ALLOW", R"({"principals":[{"exact":"cluster.local/ns/x/sa/y"}]})");
  EXPECT_THAT(FirstFailed(), HasSubstr("(demo/only), and none allows"));
}

TEST_F(ExplainTest, ADryRunPolicyIsNamedAndStopsNothing) {
  policies_ = Policy("no", "DENY", R"({"destination_ports":[8080]})", R"(,"dry_run":true)");
  EXPECT_EQ(FirstFailed(), "");
  EXPECT_THAT(Step(Ask("10.0.0.1", "10.96.0.1", 80), explain_step::kPolicy)->reason,
              HasSubstr("dry-run policy demo/no would deny it"));
}

TEST_F(ExplainTest, TheWorkloadsOwnPortIsWhatPoliciesSee) {
  policies_ = Policy("no", "DENY", R"({"destination_ports":[80]})");
  EXPECT_EQ(FirstFailed(), "");
  policies_ = Policy("no", "DENY", R"({"destination_ports":[8080]})");
  EXPECT_THAT(FirstFailed(), HasSubstr("policy: "));
}

TEST_F(ExplainTest, AForeignIdentityThatNoPolicyNames) {
  client_ += R"(,"trust_domain":"partner.example")";
  agents_ = {agents_[1]};
  TrustBundleMap map = bundles_.bundles();
  map["partner.example"] = map["cluster.local"];
  bundles_ = *TrustBundleSet::Create(std::move(map));
  EXPECT_THAT(FirstFailed(), HasSubstr("policy: spiffe://partner.example/"));
}

TEST_F(ExplainTest, AClientOutsideTheMeshComesInPlaintext) {
  const ExplainAnswer answer = Ask("10.9.9.9", "10.96.0.1", 80);
  EXPECT_EQ(answer.first_failed(), nullptr);
  const ExplainStep* const mode = Step(answer, explain_step::kInboundMode);
  ASSERT_NE(mode, nullptr);
  EXPECT_EQ(mode->outcome, ExplainStep::Outcome::kUnknown);
  EXPECT_EQ(answer.source_spiffe_id, "");
  policies_ = Policy("only", "ALLOW", R"({"principals":[{"presence":true}]})");
  EXPECT_THAT(FirstFailed("10.9.9.9"), HasSubstr("none allows a client without identity"));
}

TEST_F(ExplainTest, APodThatTheRegistryDoesNotHaveIsKnownByItsAgent) {
  agents_.push_back(Agent("spiffe://cluster.local/ns/demo/sa/new", "10.0.0.7:1"));
  const ExplainAnswer answer = Ask("10.0.0.7", "10.96.0.1", 80);
  EXPECT_EQ(answer.first_failed(), nullptr);
  EXPECT_EQ(answer.source_spiffe_id, "spiffe://cluster.local/ns/demo/sa/new");
}

TEST_F(ExplainTest, AProtocolThatTheDestinationDoesNotSpeak) {
  server_ += R"(,"tunnel_protocol":"NONE")";
  EXPECT_THAT(FirstFailed(), HasSubstr("protocol: the registry says NONE of demo/server"));
  agents_.pop_back();
  EXPECT_EQ(FirstFailed(), "");
}

TEST_F(ExplainTest, OfSeveralEndpointsTheOneThatFailsIsNamed) {
  more_workloads_ =
      R"(,{"name":"zwin","namespace":"demo","service_account":"zwin","addresses":["10.0.0.3"],)"
      R"("services":{"demo/server.demo":[{"service_port":80,"target_port":8080}]}})";
  const ExplainAnswer answer = Ask("10.0.0.1", "10.96.0.1", 80);
  // It has no certificate: proxies try the other one, and connections work.
  EXPECT_EQ(answer.first_failed(), nullptr);
  EXPECT_EQ(answer.destination_address, "10.0.0.2:8080");
  const ExplainStep* const health = Step(answer, explain_step::kEndpointHealth);
  EXPECT_EQ(health->outcome, ExplainStep::Outcome::kOk);
  EXPECT_THAT(health->reason, HasSubstr("1 of 2 fails, and connections go to the others: "
                                        "demo/zwin at destination-certificate: "));
  EXPECT_NE(health->remedy, "");
  // Where all fail nobody is left.
  agents_[1].connected = false;
  EXPECT_THAT(FirstFailed(), HasSubstr("(2 of 2 endpoints fail; this is demo/server)"));
  agents_[1].connected = true;
  // What a policy refuses is not tried again.
  agents_.push_back(Agent("spiffe://cluster.local/ns/demo/sa/zwin", "10.0.0.3:5000"));
  policies_ = Policy("no", "DENY", R"({"destination_ips":["10.0.0.3"]})");
  EXPECT_THAT(FirstFailed(), HasSubstr("(1 of 2 endpoints fail; this is demo/zwin)"));
}

TEST_F(ExplainTest, AQuestionThatIsNone) {
  registry_ = RegistrySnapshot::Empty();
  MeshFacts facts;
  facts.registry = registry_.get();
  facts.bundles = &bundles_;
  for (const ExplainQuestion& question :
       {ExplainQuestion{"", "b", 1}, ExplainQuestion{"a", "", 1}, ExplainQuestion{"a", "b", 0}}) {
    EXPECT_THAT(Explain(facts, question), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace byrnie
