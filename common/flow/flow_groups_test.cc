#include "common/flow/flow_groups.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using byrnie::operator_::v1::Flow;
using ::testing::SizeIs;

constexpr char kClient[] = "spiffe://cluster.local/ns/demo/sa/client";
constexpr char kServer[] = "spiffe://cluster.local/ns/demo/sa/server";

Flow MakeFlow(const std::string& id, Flow::Side side, uint64_t connections = 1,
              int64_t last = 100) {
  Flow flow;
  flow.set_id(id);
  flow.set_side(side);
  flow.set_source_spiffe_id(kClient);
  flow.set_destination_spiffe_id(kServer);
  flow.set_destination_address("10.0.0.2:8080");
  flow.set_path("hbone");
  flow.set_verdict(Flow::VERDICT_ALLOWED);
  flow.set_reason("r" + id);
  flow.set_connections(connections);
  flow.mutable_first_seen()->set_seconds(10);
  flow.mutable_last_seen()->set_seconds(last);
  return flow;
}

TEST(FlowGroupsTest, TheNewestReportOfAFlowCounts) {
  const auto merged = MergeFlows({MakeFlow("b", Flow::SIDE_SOURCE, 1, 100),
                                  MakeFlow("a", Flow::SIDE_SOURCE, 5, 100),
                                  MakeFlow("b", Flow::SIDE_SOURCE, 2, 200)});
  ASSERT_THAT(merged, SizeIs(2));
  EXPECT_EQ(merged[0].id(), "a");
  EXPECT_EQ(merged[1].connections(), 2u);
}

TEST(FlowGroupsTest, AConnectionThatBothEndsReportIsOne) {
  Flow source = MakeFlow("s", Flow::SIDE_SOURCE, 3);
  source.set_service("demo/server.demo");
  const auto groups = GroupFlows({source, MakeFlow("d", Flow::SIDE_DESTINATION, 3)});
  ASSERT_THAT(groups, SizeIs(1));
  EXPECT_EQ(groups[0].source, "demo/client");
  EXPECT_EQ(groups[0].destination, "demo/server");
  EXPECT_EQ(groups[0].port, 8080u);
  EXPECT_EQ(groups[0].connections, 3u);
  EXPECT_EQ(groups[0].service, "demo/server.demo");
  EXPECT_EQ(groups[0].reason, "rd");
}

TEST(FlowGroupsTest, WhatOnlyTheSourceKnowsIsThere) {
  Flow lost = MakeFlow("s", Flow::SIDE_SOURCE);
  lost.clear_destination_spiffe_id();
  lost.set_verdict(Flow::VERDICT_FAILED);
  const auto groups = GroupFlows({lost, MakeFlow("d", Flow::SIDE_DESTINATION)});
  ASSERT_THAT(groups, SizeIs(2));
}

TEST(FlowGroupsTest, WhatOnlyTheSourceSaysOfADestinationIsApart) {
  Flow tale = MakeFlow("s", Flow::SIDE_SOURCE);
  tale.set_destination_address("10.0.0.3:8080");
  // Nobody else could tell of what left the mesh, or of what did not arrive.
  Flow outside = MakeFlow("o", Flow::SIDE_SOURCE), lost = MakeFlow("l", Flow::SIDE_SOURCE);
  outside.clear_destination_spiffe_id();
  outside.set_destination_address("192.0.2.1:8080");
  lost.set_verdict(Flow::VERDICT_FAILED);
  const auto groups = GroupFlows({tale, MakeFlow("d", Flow::SIDE_DESTINATION), outside, lost});
  ASSERT_THAT(groups, SizeIs(4));
  for (const FlowGroup& group : groups) {
    EXPECT_EQ(group.says_source_alone, group.reason == "rs") << group.reason;
  }
}

TEST(FlowGroupsTest, ARefusalOfTheDestinationIsTheDestinationsToTell) {
  Flow refused = MakeFlow("s", Flow::SIDE_SOURCE, 3, 300);
  refused.clear_destination_spiffe_id();
  refused.set_destination_workload("demo/server");
  refused.set_verdict(Flow::VERDICT_DENIED);
  refused.set_reason("tunnel-refused");
  Flow denied = MakeFlow("d", Flow::SIDE_DESTINATION, 3, 200);
  denied.set_verdict(Flow::VERDICT_DENIED);
  denied.set_reason("policy-deny demo/x");
  const auto groups = GroupFlows({refused, denied});
  ASSERT_THAT(groups, SizeIs(1));
  EXPECT_EQ(groups[0].connections, 3u);
  EXPECT_EQ(groups[0].reason, "policy-deny demo/x");
  // Of one that does not report here it is all that is known.
  EXPECT_THAT(GroupFlows({refused}), SizeIs(1));
}

TEST(FlowGroupsTest, PodsOfOneIdentityAreOneAndVerdictsAreApart) {
  Flow other = MakeFlow("e", Flow::SIDE_DESTINATION, 2, 300);
  other.set_destination_address("10.0.0.3:8080");
  Flow denied = MakeFlow("f", Flow::SIDE_DESTINATION, 1, 200);
  denied.set_verdict(Flow::VERDICT_DENIED);
  const auto groups = GroupFlows({MakeFlow("d", Flow::SIDE_DESTINATION, 1), other, denied});
  ASSERT_THAT(groups, SizeIs(2));
  EXPECT_EQ(groups[0].connections, 3u) << "the most recent first";
  EXPECT_EQ(groups[0].reason, "re");
  EXPECT_EQ(groups[1].verdict, Flow::VERDICT_DENIED);
}

TEST(FlowGroupsTest, WhoHasNoIdentityHasANetworkOrAnAddress) {
  Flow flow = MakeFlow("d", Flow::SIDE_DESTINATION);
  flow.clear_source_spiffe_id();
  flow.set_source_address("10.0.0.9");
  EXPECT_EQ(SourceLabel(flow), "10.0.0.9");
  flow.set_source_network("10.0.0.0/24");
  EXPECT_EQ(SourceLabel(flow), "10.0.0.0/24");
  flow.clear_destination_spiffe_id();
  flow.set_destination_address("[fd00::1]:80");
  EXPECT_EQ(DestinationLabel(flow), "[fd00::1]");
  flow.set_destination_workload("demo/pod");
  EXPECT_EQ(DestinationLabel(flow), "demo/pod");
}

TEST(FlowGroupsTest, AnIdentityOfAnotherMeshIsNotTakenForOneOfThisOne) {
  EXPECT_EQ(ShortIdentity(kClient, kServer), "demo/client");
  EXPECT_EQ(ShortIdentity("spiffe://td/vm/db", kServer), "spiffe://td/vm/db");
  EXPECT_EQ(ShortIdentity(kClient, ""), "cluster.local/demo/client");
  Flow theirs = MakeFlow("p", Flow::SIDE_DESTINATION);
  theirs.set_source_spiffe_id("spiffe://partner.example/ns/demo/sa/client");
  const auto groups = GroupFlows({theirs, MakeFlow("d", Flow::SIDE_DESTINATION, 1, 50)});
  ASSERT_THAT(groups, SizeIs(2)) << "nor are they added up";
  EXPECT_EQ(groups[0].source, "partner.example/demo/client");
  EXPECT_EQ(groups[0].destination, "demo/server");
  EXPECT_EQ(groups[1].source, "demo/client");
  // Where this one's calls that one.
  Flow called = MakeFlow("c", Flow::SIDE_SOURCE);
  called.set_destination_spiffe_id("spiffe://partner.example/ns/demo/sa/server");
  EXPECT_EQ(SourceLabel(called), "demo/client");
  EXPECT_EQ(DestinationLabel(called), "partner.example/demo/server");
}

}  // namespace
}  // namespace byrnie
