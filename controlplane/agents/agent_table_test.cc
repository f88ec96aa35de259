#include "controlplane/agents/agent_table.h"

#include <string>

#include "common/base/testing/fake_clock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class AgentTableTest : public ::testing::Test {
 protected:
  AgentTable::Introduction Introduction(const std::string& serial = "01",
                                        absl::Duration life = absl::Hours(1)) const {
    return AgentTable::Introduction{serial, clock_.WallNow() + life, "byrnie-certagent/1"};
  }
  void Open(const std::string& address) {
    table_.OnStreamOpened(id_, address, Introduction(), clock_.WallNow());
  }
  void Close(const std::string& address) { table_.OnStreamClosed(id_, address, clock_.WallNow()); }

  FakeClock clock_;
  EventLog events_{&clock_};
  AgentTable table_{&events_};
  const SpiffeId id_ = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/app");
};

TEST_F(AgentTableTest, KnowsAnAgentByItsCertificateBeforeOneWasIssued) {
  Open("10.0.0.1:5");
  const auto agents = table_.List();
  ASSERT_EQ(agents.size(), 1u);
  EXPECT_EQ(agents[0].certificate_serial, "01");
  EXPECT_EQ(agents[0].certificate_not_after, clock_.WallNow() + absl::Hours(1));
  EXPECT_EQ(agents[0].release, "byrnie-certagent/1");
  EXPECT_TRUE(agents[0].connected);
}

TEST_F(AgentTableTest, TheNewestCertificateCounts) {
  Open("10.0.0.1:5");
  table_.OnIssued(id_, "02", clock_.WallNow() + absl::Hours(2), clock_.WallNow());
  // A stream that is opened with the one before says nothing new.
  Open("10.0.0.1:5");
  EXPECT_EQ(table_.List()[0].certificate_serial, "02");
}

TEST_F(AgentTableTest, AnAgentThatWentAwayIsRememberedWithTheTime) {
  Open("10.0.0.1:5");
  clock_.Advance(absl::Minutes(1));
  Close("10.0.0.1:5");
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_TRUE(table_.List().empty());
  const auto agents = table_.ListAll();
  ASSERT_EQ(agents.size(), 1u);
  EXPECT_FALSE(agents[0].connected);
  EXPECT_EQ(agents[0].last_seen, clock_.WallNow());
}

TEST_F(AgentTableTest, OneThatComesBackFromAnotherPortIsTheSame) {
  Open("10.0.0.1:5");
  Close("10.0.0.1:5");
  Open("10.0.0.1:6");
  Open("10.0.0.2:5");
  ASSERT_EQ(table_.ListAll().size(), 2u);
  EXPECT_EQ(table_.ListAll()[0].address, "10.0.0.1:6");
  EXPECT_EQ(table_.size(), 2u);
}

TEST_F(AgentTableTest, OneOfAHostWhoseAddressBeginsTheSameIsAnother) {
  for (const char* address : {"10.0.0.1:5", "10.0.0.11:5", "10.0.0:5", "[fd00::1]:5"}) {
    Open(address);
    Close(address);
  }
  Open("10.0.0.1:6");
  Open("[fd00::1]:4");
  const auto agents = table_.ListAll();
  ASSERT_EQ(agents.size(), 4u);
  EXPECT_EQ(agents[0].address, "10.0.0.11:5");
  EXPECT_EQ(agents[1].address, "10.0.0.1:6");
}

TEST_F(AgentTableTest, OfVeryManyThatWentAwaySomeAreForgotten) {
  const size_t beyond = AgentTable::kMaxRemembered + 1;
  for (size_t i = 0; i < beyond; ++i) {
    const std::string address =
        absl::StrCat("10.", i / 62500, ".", i / 250 % 250, ".", i % 250, ":5");
    Open(address);
    Close(address);
  }
  Open("10.200.0.1:5");
  EXPECT_LE(table_.ListAll().size(), AgentTable::kMaxRemembered);
  EXPECT_GE(table_.ListAll().size(), AgentTable::kMaxRemembered * 8 / 10);
  EXPECT_EQ(table_.size(), 1u);
}

TEST_F(AgentTableTest, ForgetsWhoDoesNotComeBack) {
  Open("10.0.0.1:5");
  Close("10.0.0.1:5");
  clock_.Advance(AgentTable::kRemembered + absl::Hours(2));
  Open("10.0.0.2:5");
  Close("10.0.0.2:5");
  ASSERT_EQ(table_.ListAll().size(), 1u);
  EXPECT_EQ(table_.ListAll()[0].address, "10.0.0.2:5");
}

TEST_F(AgentTableTest, HearsWhatTimeItIsAndWhatIsInForceOnlyWhileConnected) {
  table_.OnHeard(id_, "10.0.0.1:5", absl::Seconds(9), clock_.WallNow());
  EXPECT_TRUE(table_.ListAll().empty());
  Open("10.0.0.1:5");
  table_.OnHeard(id_, "10.0.0.1:5", absl::Seconds(9), clock_.WallNow());
  table_.OnHeard(id_, "10.0.0.1:5", absl::nullopt, clock_.WallNow());
  table_.OnBundleAcknowledged(id_, "10.0.0.1:5", 7);
  table_.OnBundleAcknowledged(id_, "10.0.0.1:5", 6);
  EXPECT_EQ(table_.List()[0].clock_offset, absl::Seconds(9));
  EXPECT_EQ(table_.List()[0].acknowledged_bundle_version, 7u);
}

// As agents of an Istio mesh, which know no streams of ours.
TEST_F(AgentTableTest, WhoOnlyEverAskedForACertificateIsKnownByThat) {
  const SpiffeId first = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/a");
  const SpiffeId last = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/z");
  Open("10.0.0.1:5");
  for (const SpiffeId& id : {last, first, id_}) {
    table_.OnIssued(id, "07", clock_.WallNow() + absl::Hours(2), clock_.WallNow(), "jwt:k8s",
                    "10.0.0.7:9");
  }
  EXPECT_EQ(table_.List().size(), 1u);
  const auto agents = table_.ListAll();
  ASSERT_EQ(agents.size(), 3u);
  EXPECT_EQ(agents[0].id, first);
  EXPECT_EQ(agents[1].id, id_);
  EXPECT_EQ(agents[2].id, last);
  EXPECT_FALSE(agents[0].connected);
  EXPECT_EQ(agents[0].connected_since, absl::InfinitePast());
  EXPECT_EQ(agents[0].last_seen, clock_.WallNow());
  EXPECT_EQ(agents[0].address, "10.0.0.7:9");
  EXPECT_EQ(agents[0].certificate_serial, "07");
  EXPECT_EQ(agents[0].certificate_proof, "jwt:k8s");
  // The one that is connected is there once.
  EXPECT_EQ(agents[1].address, "10.0.0.1:5");
  clock_.Advance(absl::Hours(27));
  table_.OnIssued(id_, "08", clock_.WallNow() + absl::Hours(2), clock_.WallNow());
  EXPECT_EQ(table_.ListAll().size(), 1u);
}

TEST_F(AgentTableTest, TellsWhoWasRefused) {
  table_.OnRefused("10.0.0.9:1", "no token");
  EXPECT_EQ(events_.Next({}).event->kind, EventKind::kCertificateRefused);
}

TEST_F(AgentTableTest, TellsOnceThatAnAgentCameAndWent) {
  Open("10.0.0.1:5");
  Open("10.0.0.1:5");
  Close("10.0.0.1:5");
  Close("10.0.0.1:5");
  const auto first = events_.Next({});
  EXPECT_EQ(first.event->kind, EventKind::kAgentConnected);
  EXPECT_EQ(first.event->subject, id_.text());
  const auto second = events_.Next(events_.After(*first.event));
  EXPECT_EQ(second.event->kind, EventKind::kAgentDisconnected);
  EXPECT_FALSE(events_.Next(events_.After(*second.event)).event.has_value());
}

}  // namespace
}  // namespace byrnie
