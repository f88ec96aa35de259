#include "ctl/fleet.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using byrnie::operator_::v1::Agent;
using byrnie::operator_::v1::WatchEventsResponse;
using byrnie::operator_::v1::Workload;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A control plane that is there or not, and says yes or no.
struct Client {
  std::string name;
  bool there = true;
  absl::Status status;

  const std::string& target() const { return name; }
  bool ConnectsWithin(absl::Duration) const { return there; }
};

absl::StatusOr<FleetAnswers<std::string>> Ask(const std::vector<Client*>& clients) {
  return AskFleet<std::string, Client>(clients, [](Client* client) -> absl::StatusOr<std::string> {
    if (!client->there) return absl::UnavailableError("gone");
    if (!client->status.ok()) return client->status;
    return absl::StrCat("answer of ", client->name);
  });
}

TEST(AskFleetTest, AllAreAsked) {
  Client a{"a:1", true, {}}, b{"b:1", true, {}};
  const auto asked = Ask({&a, &b});
  ASSERT_THAT(asked, IsOk());
  EXPECT_THAT(asked->answers, ElementsAre("answer of a:1", "answer of b:1"));
  EXPECT_THAT(asked->targets, ElementsAre("a:1", "b:1"));
  EXPECT_THAT(asked->missing, IsEmpty());
}

TEST(AskFleetTest, OneThatIsGoneOrRefusesIsNamed) {
  Client a{"a:1", false, {}}, b{"b:1", true, {}},
      c{"c:1", true, absl::UnauthenticatedError("who is that")};
  const auto asked = Ask({&a, &b, &c});
  ASSERT_THAT(asked, IsOk());
  EXPECT_THAT(asked->answers, ElementsAre("answer of b:1"));
  ASSERT_THAT(asked->missing, SizeIs(2));
  EXPECT_EQ(asked->missing[0].target, "a:1");
  EXPECT_EQ(asked->missing[1].target, "c:1");
  EXPECT_EQ(asked->missing[1].why, "who is that");
}

TEST(AskFleetTest, WhereNobodyAnswersTheErrorIsOneOfACall) {
  Client a{"a:1", false, {}}, b{"b:1", false, {}};
  EXPECT_THAT(Ask({&a}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("gone")));
  EXPECT_THAT(Ask({&a, &b}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("gone")));
  Client c{"c:1", true, absl::PermissionDeniedError("not you")};
  EXPECT_THAT(Ask({&c, &a}), StatusIs(absl::StatusCode::kPermissionDenied));
}

Agent MakeAgent(const std::string& plane, const std::string& address, bool connected,
                int64_t last_seen) {
  Agent agent;
  agent.set_spiffe_id("spiffe://td/a");
  agent.set_control_plane(plane);
  agent.set_address(address);
  agent.set_connected(connected);
  agent.mutable_last_seen()->set_seconds(last_seen);
  return agent;
}

std::vector<std::string> Planes(std::vector<Agent> agents) {
  std::vector<std::string> planes;
  for (const Agent& agent : MergeAgents(std::move(agents))) {
    planes.push_back(absl::StrCat(agent.address(), " ", agent.control_plane()));
  }
  return planes;
}

TEST(MergeAgentsTest, AnAgentThatWentToAnotherControlPlaneIsThereOnce) {
  EXPECT_THAT(
      Planes({MakeAgent("old", "10.0.0.1:5", false, 90), MakeAgent("new", "10.0.0.1:7", true, 80)}),
      ElementsAre("10.0.0.1:7 new"));
}

TEST(MergeAgentsTest, OneThatIsGoneIsTakenFromWhereItWasSeenLast) {
  EXPECT_THAT(
      Planes({MakeAgent("p", "10.0.0.1:5", false, 80), MakeAgent("q", "10.0.0.1:7", false, 90),
              MakeAgent("r", "10.0.0.1:9", false, 90)}),
      ElementsAre("10.0.0.1:7 q"));
}

TEST(MergeAgentsTest, AgentsOfOneIdentityElsewhereAreOthers) {
  EXPECT_THAT(
      Planes({MakeAgent("q", "10.0.0.2:5", true, 80), MakeAgent("p", "10.0.0.1:7", true, 90),
              MakeAgent("p", "10.0.0.1:8", true, 90)}),
      ElementsAre("10.0.0.1:7 p", "10.0.0.1:8 p", "10.0.0.2:5 q"));
}

TEST(MergeWorkloadsTest, AnAgentThatIsConnectedAnywhereIsConnected) {
  Workload here, there, only_there;
  here.set_uid("u");
  there.set_uid("u");
  there.set_agent_connected(true);
  only_there.set_uid("v");
  const std::vector<Workload> merged = MergeWorkloads({{here}, {there, only_there}});
  ASSERT_THAT(merged, SizeIs(2));
  EXPECT_TRUE(merged[0].agent_connected());
  EXPECT_EQ(merged[1].uid(), "v");
  EXPECT_TRUE(MergeWorkloads({{there}, {here}})[0].agent_connected());
}

WatchEventsResponse EventAt(int64_t seconds) {
  WatchEventsResponse response;
  response.mutable_event()->mutable_time()->set_seconds(seconds);
  return response;
}

TEST(MergeEventsTest, GoesByTimeWithGapsWhereTheyAre) {
  WatchEventsResponse gap;
  gap.mutable_missed()->set_count(7);
  const auto merged = MergeEvents({{EventAt(1), EventAt(5)}, {gap, EventAt(3), EventAt(9)}});
  std::vector<std::string> order;
  for (const WatchEventsResponse& response : merged) {
    order.push_back(response.has_missed() ? "gap"
                                          : absl::StrCat(response.event().time().seconds()));
  }
  EXPECT_THAT(order, ElementsAre("1", "gap", "3", "5", "9"));
}

using byrnie::operator_::v1::ExplainResponse;
using byrnie::operator_::v1::ExplainStep;

ExplainResponse Explanation(
    const std::string& destination,
    const std::vector<std::pair<std::string, ExplainStep::Outcome>>& steps) {
  ExplainResponse answer;
  answer.set_destination_uid(destination);
  for (const auto& [name, outcome] : steps) {
    ExplainStep* const step = answer.add_steps();
    step->set_name(name);
    step->set_outcome(outcome);
  }
  return answer;
}

// "ok source, FAILED policy".
std::string StepsOf(const ExplainResponse& answer) {
  std::string text;
  for (const ExplainStep& step : answer.steps()) {
    text += step.outcome() == ExplainStep::OUTCOME_OK       ? "ok "
            : step.outcome() == ExplainStep::OUTCOME_FAILED ? "FAILED "
                                                            : "unknown ";
    text += step.name() + ",";
  }
  return text;
}

// The agents of the two ends are connected to different control planes.
TEST(MergeExplanationsTest, WhatOneDoesNotKnowIsTakenFromAnother) {
  constexpr auto kOk = ExplainStep::OUTCOME_OK;
  constexpr auto kFailed = ExplainStep::OUTCOME_FAILED;
  constexpr auto kUnknown = ExplainStep::OUTCOME_UNKNOWN;
  const ExplainResponse one = Explanation(
      "d", {{"source-agent", kOk}, {"source-proxy", kOk}, {"destination-agent", kUnknown}});
  const ExplainResponse two = Explanation("d", {{"source-agent", kUnknown},
                                                {"destination-agent", kOk},
                                                {"destination-proxy", kFailed},
                                                {"policy", kOk}});
  const ExplainResponse elsewhere = Explanation("e", {{"destination-agent", kFailed}});
  const std::string all =
      "ok source-agent,ok source-proxy,ok destination-agent,FAILED destination-proxy,ok policy,";
  EXPECT_EQ(StepsOf(MergeExplanations({one, elsewhere, two})), all);
  EXPECT_EQ(StepsOf(MergeExplanations({two, one})), all);
  EXPECT_EQ(StepsOf(MergeExplanations({one})), StepsOf(one));
}

}  // namespace
}  // namespace byrnie
