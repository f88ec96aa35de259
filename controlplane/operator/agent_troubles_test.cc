#include "controlplane/operator/agent_troubles.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using V1 = byrnie::operator_::v1::Agent;

// An agent about which all is well; every test breaks one thing.
class AgentTroublesTest : public ::testing::Test {
 protected:
  AgentTroublesTest() {
    yardstick_.now = absl::FromUnixSeconds(1'800'000'000);
    yardstick_.bundle_version = 7;
    yardstick_.workload_ttl = absl::Hours(1);
    agent_.certificate_not_after = yardstick_.now + absl::Minutes(30);
    agent_.certificate_serial = "0a";
    agent_.acknowledged_bundle_version = 7;
    agent_.clock_offset = absl::Seconds(-1);
  }
  std::vector<V1::Trouble> Troubles() const { return TroublesOf(agent_, yardstick_); }

  AgentYardstick yardstick_;
  AgentTable::Agent agent_{*SpiffeId::Parse("spiffe://td/a"),
                           "10.0.0.1:5",
                           absl::UnixEpoch(),
                           absl::nullopt,
                           "",
                           0,
                           true,
                           absl::UnixEpoch(),
                           "",
                           absl::nullopt};
};

TEST_F(AgentTroublesTest, ThereAreNoneWhereAllIsWell) {
  EXPECT_THAT(Troubles(), IsEmpty());
  agent_.clock_offset.reset();
  agent_.certificate_not_after.reset();
  EXPECT_THAT(Troubles(), IsEmpty()) << "what is not known is no trouble";
}

TEST_F(AgentTroublesTest, ACertificateThatEndsSoonIsJudgedByTheLifeItHas) {
  agent_.certificate_not_after = yardstick_.now + absl::Minutes(4);
  EXPECT_THAT(Troubles(), ElementsAre(V1::TROUBLE_CERTIFICATE_ENDS_SOON));
  yardstick_.workload_ttl = absl::Minutes(10);
  EXPECT_THAT(Troubles(), IsEmpty());
  agent_.certificate_not_after = yardstick_.now + absl::Minutes(2);
  EXPECT_THAT(Troubles(), ElementsAre(V1::TROUBLE_CERTIFICATE_ENDS_SOON));
  agent_.connected = false;
  EXPECT_THAT(Troubles(), IsEmpty()) << "it may be meant to go";
  agent_.certificate_not_after = yardstick_.now;
  EXPECT_THAT(Troubles(), ElementsAre(V1::TROUBLE_CERTIFICATE_ENDED));
}

TEST_F(AgentTroublesTest, ARevokedCertificateIsMarkedUntilItHasEnded) {
  yardstick_.revoked = {"0a"};
  EXPECT_THAT(Troubles(), ElementsAre(V1::TROUBLE_CERTIFICATE_REVOKED));
  agent_.certificate_not_after = yardstick_.now + absl::Minutes(1);
  EXPECT_THAT(Troubles(), ElementsAre(V1::TROUBLE_CERTIFICATE_REVOKED));
  agent_.connected = false;
  EXPECT_THAT(Troubles(), ElementsAre(V1::TROUBLE_CERTIFICATE_REVOKED));
  agent_.certificate_not_after = yardstick_.now - absl::Minutes(1);
  EXPECT_THAT(Troubles(), ElementsAre(V1::TROUBLE_CERTIFICATE_ENDED));
}

TEST_F(AgentTroublesTest, WhoIsConnectedAndBehindOrInAnotherTime) {
  agent_.acknowledged_bundle_version = 6;
  agent_.clock_offset = absl::Seconds(-31);
  EXPECT_THAT(Troubles(), ElementsAre(V1::TROUBLE_BUNDLE_BEHIND, V1::TROUBLE_CLOCK_WRONG));
  agent_.connected = false;
  EXPECT_THAT(Troubles(), IsEmpty());
}

}  // namespace
}  // namespace byrnie
