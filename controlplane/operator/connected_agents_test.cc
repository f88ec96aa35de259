#include "controlplane/operator/connected_agents.h"

#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "controlplane/registry/static_parser.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

// Two pods of one Deployment, and one of another.
class ConnectedAgentsTest : public ::testing::Test {
 protected:
  ConnectedAgentsTest() {
    const auto content = ParseRegistryFile(
        R"({"workloads":[
             {"name":"a","namespace":"demo","service_account":"web","addresses":["10.0.0.1","fd00::1"]},
             {"name":"b","namespace":"demo","service_account":"web","addresses":["10.0.0.2"],"network":"east"},
             {"name":"c","namespace":"demo","service_account":"other","addresses":["10.0.0.3"]}]})",
        "cluster.local");
    EXPECT_THAT(content, IsOk());
    registry_ = *RegistrySnapshot::Create(*content);
    workloads_ = content->workloads;
  }
  void Agent(const std::string& account, const std::string& address, bool connected = true) {
    agents_.push_back(AgentTable::Agent{
        *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/" + account), address,
        absl::UnixEpoch(), absl::nullopt, "", 0, connected, absl::UnixEpoch(), "", absl::nullopt});
  }
  // "ac": those that have an agent.
  std::string Whose() const {
    ConnectedAgents connected(agents_, registry_.get());
    std::string names;
    for (const auto& workload : workloads_) {
      if (connected.SpeakFor(workload)) names += workload.name();
    }
    return names;
  }

  RegistrySnapshotPtr registry_;
  std::vector<istio::workload::Workload> workloads_;
  std::vector<AgentTable::Agent> agents_;
};

TEST_F(ConnectedAgentsTest, NobodySpeaksForAnybodyAtFirst) { EXPECT_EQ(Whose(), ""); }

TEST_F(ConnectedAgentsTest, AnAgentSpeaksForTheWorkloadItConnectsFromAlone) {
  Agent("web", "10.0.0.1:5");
  EXPECT_EQ(Whose(), "a");
  Agent("web", "10.0.0.2:5");
  EXPECT_EQ(Whose(), "ab");
}

TEST_F(ConnectedAgentsTest, OneOfANetworkWithANameIsTheWorkloadsOwn) {
  Agent("web", "10.0.0.2:5");
  EXPECT_EQ(Whose(), "b");
}

TEST_F(ConnectedAgentsTest, AnyAddressOfTheWorkloadWillDo) {
  Agent("web", "[fd00::1]:5");
  EXPECT_EQ(Whose(), "a");
}

TEST_F(ConnectedAgentsTest, OneThatWentAwayFromTheWorkloadSpeaksNoMore) {
  Agent("web", "10.0.0.1:5", false);
  Agent("web", "10.0.0.2:5");
  EXPECT_EQ(Whose(), "b");
  // It came back, and the former connection is remembered.
  Agent("web", "10.0.0.1:6");
  EXPECT_EQ(Whose(), "ab");
}

TEST_F(ConnectedAgentsTest, OneBehindAnAddressTranslationMaySpeakForWhoeverWasNotSeen) {
  Agent("web", "192.0.2.1:5");
  EXPECT_EQ(Whose(), "ab");
  Agent("web", "10.0.0.2:5", false);
  EXPECT_EQ(Whose(), "a");
}

TEST_F(ConnectedAgentsTest, AnotherIdentityDoesNotSpeakForIt) {
  Agent("other", "10.0.0.1:5");
  EXPECT_EQ(Whose(), "");
}

}  // namespace
}  // namespace byrnie
