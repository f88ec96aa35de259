#include "controlplane/page/mesh_state.h"

#include <string>

#include "common/base/json.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

AgentTable::Agent Agent(const std::string& account, absl::optional<absl::Time> not_after) {
  return AgentTable::Agent{*SpiffeId::Parse("spiffe://td/ns/demo/sa/" + account),
                           "10.0.0.1:5",
                           absl::UnixEpoch(),
                           not_after,
                           "",
                           0,
                           true,
                           absl::UnixEpoch(),
                           "",
                           absl::nullopt};
}

FlowGroup Flow(const std::string& source) {
  FlowGroup flow;
  flow.source = source;
  flow.destination = "demo/server";
  flow.port = 80;
  flow.verdict = byrnie::operator_::v1::Flow::VERDICT_DENIED;
  flow.first_seen = flow.last_seen = absl::FromUnixSeconds(5);
  return flow;
}

TEST(MeshStateTest, IsJsonWhateverNamesThereAre) {
  MeshState state;
  state.time = absl::FromUnixSeconds(7);
  state.trust_domain = "td";
  state.workload_ttl = absl::Hours(1);
  state.control_plane = "plane-0";
  state.other_control_planes = {"plane-1", "plane-2"};
  state.agents = {Agent("late", absl::nullopt), Agent("soon", absl::FromUnixSeconds(9))};
  state.flows = {Flow("</script><img src=x onerror=alert(1)>\"\n")};
  state.trust.mode = "self-signed root";
  state.trust.roots.push_back({"aa", "root", absl::FromUnixSeconds(99), true, true, false});
  state.trust.blockers.push_back({"spiffe://td/a", "10.0.0.1:5", "has not acknowledged"});
  state.trust.blockers_total = 77;
  const std::string json = ToJson(state);
  ASSERT_THAT(JsonValue::Parse(json, 1 << 20), IsOk()) << json;
  EXPECT_THAT(json, HasSubstr("\"time\":7000"));
  EXPECT_THAT(json, HasSubstr("\"control_plane\":\"plane-0\""));
  EXPECT_THAT(json, HasSubstr("\"other_control_planes\":[\"plane-1\",\"plane-2\"]"));
  EXPECT_THAT(json, HasSubstr("\"verdict\":\"denied\""));
  EXPECT_THAT(json, HasSubstr("\"not_after\":null"));
  EXPECT_LT(json.find("demo/soon"), json.find("demo/late")) << "what ends first comes first";
  EXPECT_THAT(json, HasSubstr("\"workload_ttl\":3600000"));
  EXPECT_THAT(json, HasSubstr("has not acknowledged"));
  EXPECT_THAT(json, HasSubstr("\"blockers_total\":77"));
}

TEST(MeshStateTest, IsBoundedAndSaysWhatIsNotInIt) {
  MeshState state;
  state.flows.assign(MeshState::kMaxFlows + 7, Flow("a"));
  state.agents.assign(MeshState::kMaxAgents + 3, Agent("a", absl::FromUnixSeconds(1)));
  const std::string json = ToJson(state);
  EXPECT_LT(json.size(), 400 * 1024u);
  EXPECT_THAT(json, HasSubstr("\"flows_total\":507"));
  EXPECT_THAT(json, HasSubstr("\"agents_total\":303"));
}

}  // namespace
}  // namespace byrnie
