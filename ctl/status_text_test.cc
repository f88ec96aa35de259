#include "ctl/status_text.h"

#include "absl/strings/str_cat.h"
#include "ctl/fleet.h"
#include "ctl/table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

TEST(StatusTextTest, SaysDurationsAsPeopleDo) {
  EXPECT_EQ(ShortDuration(absl::Seconds(12)), "12 s");
  EXPECT_EQ(ShortDuration(absl::Seconds(184)), "3 min 4 s");
  EXPECT_EQ(ShortDuration(absl::Minutes(125)), "2 h 5 min");
  EXPECT_EQ(ShortDuration(absl::Hours(36)), "1 d 12 h");
  EXPECT_EQ(ShortDuration(absl::Hours(24 * 36)), "36 d");
}

TEST(StatusTextTest, WritesAMessageInOneLine) {
  byrnie::operator_::v1::Event event;
  event.set_subject("a\nb");
  const std::string line = MessageJsonLine(event);
  EXPECT_THAT(line, HasSubstr("\"subject\":\"a\\nb\""));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

TEST(StatusTextTest, ShowsEachAgentInOneAlignedRow) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  byrnie::operator_::v1::GetStatusResponse status;
  status.set_trust_domain("cluster.local");
  status.set_trust_bundle_version(1);
  status.mutable_root_not_after()->set_seconds(1'800'000'000 + 86400 * 100);
  for (const char* id : {"spiffe://cluster.local/a", "spiffe://cluster.local/longer"}) {
    auto* agent = status.add_agents();
    agent->set_spiffe_id(id);
    agent->set_address("10.0.0.1:1");
    agent->mutable_connected_since()->set_seconds(1'800'000'000 - 60);
    agent->mutable_certificate_not_after()->set_seconds(1'800'000'000 + 12);
    agent->set_acknowledged_bundle_version(1);
  }
  const std::string text = StatusText(status, "127.0.0.1:15012", now);
  EXPECT_THAT(text, HasSubstr("expires in 100 d"));
  EXPECT_THAT(text, HasSubstr("2 agents connected"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "spiffe://cluster.local/a       10.0.0.1:1  for 1 min 0 s  expires in 12 s  current\n"
          "spiffe://cluster.local/longer  10.0.0.1:1  for 1 min 0 s  expires in 12 s  current\n"));
}

TEST(StatusTextTest, ShowsWhatIsNotAsItShouldBe) {
  byrnie::operator_::v1::GetStatusResponse status;
  status.mutable_time()->set_seconds(1'800'000'000);
  auto* condition = status.add_conditions();
  condition->set_name("issuing");
  condition->set_state(byrnie::operator_::v1::Condition::STATE_OK);
  EXPECT_EQ(StatusText(status, "x:1", absl::FromUnixSeconds(1'800'000'000)).find("issuing"),
            std::string::npos);
  condition = status.add_conditions();
  condition->set_name("store");
  condition->set_state(byrnie::operator_::v1::Condition::STATE_FAIL);
  condition->set_message("the store cannot be read");
  condition->set_remedy("bring it back");
  condition->mutable_since()->set_seconds(1'800'000'000 - 12);
  EXPECT_THAT(StatusText(status, "x:1", absl::FromUnixSeconds(1'800'000'000)),
              HasSubstr("\nFAIL  store  for 12 s  the store cannot be read\n"));
  const std::string json = MessageJson(status);
  EXPECT_THAT(json, HasSubstr("\"state\": \"STATE_OK\""));
  EXPECT_THAT(json, HasSubstr("\"state\": \"STATE_FAIL\""));
  EXPECT_THAT(json, HasSubstr("\"remedy\": \"bring it back\""));
  EXPECT_THAT(json, HasSubstr("\"since\": \"2027-01-15T07:59:48Z\""));
}

TEST(StatusTextTest, CountsWhatItDoesNotShow) {
  using byrnie::operator_::v1::Agent;
  byrnie::operator_::v1::GetStatusResponse status;
  status.set_agents_connected(16500);
  auto* const agent = status.add_agents();
  agent->set_spiffe_id("spiffe://cluster.local/a");
  agent->add_troubles(Agent::TROUBLE_CERTIFICATE_REVOKED);
  auto* const count = status.add_agent_troubles();
  count->set_trouble(Agent::TROUBLE_CERTIFICATE_REVOKED);
  count->set_agents(3);
  EXPECT_THAT(StatusText(status, "x:1", absl::UnixEpoch()),
              HasSubstr("16500 agents connected, with troubles: certificate-revoked 3; the first "
                        "1:\n"));
  const std::string json = MessageJson(status);
  EXPECT_THAT(json, HasSubstr("\"agents_connected\": \"16500\""));
  EXPECT_THAT(json, HasSubstr("\"trouble\": \"TROUBLE_CERTIFICATE_REVOKED\""));
  EXPECT_EQ(TroubleText(static_cast<Agent::Trouble>(99)), "trouble-99");
}

TEST(StatusTextTest, OfSeveralControlPlanesItShowsEachAndTheAgentsOfAll) {
  FleetAnswers<byrnie::operator_::v1::GetStatusResponse> fleet;
  for (const char* name : {"plane-0", "plane-1"}) {
    auto& status = fleet.answers.emplace_back();
    status.set_control_plane(name);
    status.set_trust_domain("cluster.local");
    status.set_agents_connected(1);
    auto* const agent = status.add_agents();
    agent->set_spiffe_id(absl::StrCat("spiffe://cluster.local/of-", name));
    agent->set_address("10.0.0.1:1");
    agent->set_connected(true);
    agent->set_control_plane(name);
  }
  auto* const condition = fleet.answers[1].add_conditions();
  condition->set_name("store");
  condition->set_state(byrnie::operator_::v1::Condition::STATE_FAIL);
  condition->set_message("the store cannot be read");
  fleet.targets = {"10.0.0.1:15012", "10.0.0.2:15012"};
  fleet.missing = {{"10.0.0.3:15012", "it cannot be reached"}};
  const std::string text = FleetStatusText(fleet, absl::UnixEpoch());
  EXPECT_THAT(text, ContainsRegex("plane-0 +10.0.0.1:15012.*good"));
  EXPECT_THAT(text, ContainsRegex("plane-1 +10.0.0.2:15012.*see below"));
  EXPECT_THAT(text, ContainsRegex("10.0.0.3:15012 +HAS NOT ANSWERED"));
  EXPECT_THAT(text, HasSubstr("plane-1:\nFAIL  store"));
  EXPECT_THAT(text, HasSubstr("2 agents connected"));
  EXPECT_THAT(text, ContainsRegex("of-plane-1 .*plane-1"));
  const std::string json = FleetStatusJson(fleet);
  EXPECT_THAT(json, HasSubstr("\"trust_domain\": \"cluster.local\""));
  EXPECT_THAT(json, HasSubstr("\"address\": \"10.0.0.3:15012\""));
  EXPECT_THAT(json, HasSubstr("\"answered\": false"));
  EXPECT_THAT(json, HasSubstr("of-plane-0"));
  EXPECT_THAT(json, HasSubstr("of-plane-1"));
}

TEST(StatusTextTest, JsonHasNoExpiryForAnAgentThatWasNotIssuedOne) {
  byrnie::operator_::v1::GetStatusResponse status;
  status.add_agents()->set_spiffe_id("spiffe://cluster.local/a");
  const std::string json = MessageJson(status);
  EXPECT_THAT(json, HasSubstr("\"spiffe_id\": \"spiffe://cluster.local/a\""));
  EXPECT_EQ(json.find("certificate_not_after"), std::string::npos);
}

}  // namespace
}  // namespace byrnie
