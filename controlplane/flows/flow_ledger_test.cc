#include "controlplane/flows/flow_ledger.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/testing/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FlowLedgerTest : public ::testing::Test {
 protected:
  ReportedFlow Flow(absl::string_view peer, uint64_t opened = 1,
                    ReportedFlow::Verdict verdict = ReportedFlow::Verdict::kAllowed) const {
    ReportedFlow flow;
    flow.verdict = verdict;
    flow.peer = *SpiffeId::Parse(absl::StrCat("spiffe://td/", peer));
    flow.destination = *SocketAddress::Parse("10.0.0.1:80");
    flow.reason = verdict == ReportedFlow::Verdict::kDenied ? "no-allow-match" : "allowed-by d/x";
    flow.opened = opened;
    flow.counted_since = flow.first_seen = start_;
    flow.last_seen = clock_.WallNow();
    return flow;
  }
  static FlowReporterId Reporter(absl::string_view name, absl::string_view host = "10.0.0.1") {
    return {*SpiffeId::Parse(absl::StrCat("spiffe://td/", name)), std::string(host)};
  }
  std::vector<Event> Denials() {
    std::vector<Event> denials;
    EventCursor cursor = events_.Begin();
    while (auto event = events_.Next(cursor).event) {
      cursor = events_.After(*event);
      if (event->kind == EventKind::kConnectionDenied) denials.push_back(*event);
    }
    return denials;
  }

  FakeClock clock_;
  const absl::Time start_ = clock_.WallNow();
  EventLog events_{&clock_};
  MetricRegistry metrics_;
  FlowLedger ledger_{&clock_, &events_, &metrics_, FlowLedger::Limits{10, 6, absl::Hours(24)}};
};

TEST_F(FlowLedgerTest, ARepeatedReportChangesNothing) {
  for (int i = 0; i < 3; ++i) ledger_.Merge(Reporter("server"), 7, {Flow("client", 5)});
  const auto entries = ledger_.List();
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].flow.opened, 5u);
  EXPECT_EQ(entries[0].reporter.id.text(), "spiffe://td/server");
  ledger_.Merge(Reporter("server"), 7, {Flow("client", 6)});
  EXPECT_EQ(ledger_.List()[0].flow.opened, 6u);
}

TEST_F(FlowLedgerTest, AnEdgeThatAProxyHadDroppedCountsOn) {
  ReportedFlow flow = Flow("client", 5);
  flow.closed = 5;
  ledger_.Merge(Reporter("server"), 7, {flow});
  flow = Flow("client", 2);
  flow.closed = 1;
  flow.counted_since = flow.first_seen += absl::Minutes(1);
  ledger_.Merge(Reporter("server"), 7, {flow});
  ledger_.Merge(Reporter("server"), 7, {flow});
  const auto entries = ledger_.List();
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].flow.opened, 7u);
  EXPECT_EQ(entries[0].flow.opened - entries[0].flow.closed, 1u);
  EXPECT_EQ(entries[0].flow.first_seen, start_);
}

// A report that takes longer than the one before makes a clock seem to be another.
TEST_F(FlowLedgerTest, AnEdgeThatSeemsToBeYoungerIsTheSame) {
  ReportedFlow flow = Flow("client", 5);
  ledger_.Merge(Reporter("server"), 7, {flow});
  flow.first_seen += absl::Milliseconds(3);
  ledger_.Merge(Reporter("server"), 7, {flow});
  EXPECT_EQ(ledger_.List()[0].flow.opened, 5u);
}

TEST_F(FlowLedgerTest, AnotherProcessOfAProxyHasFlowsOfItsOwn) {
  ledger_.Merge(Reporter("server"), 7, {Flow("client", 5)});
  ledger_.OnEnded(Reporter("server"), 7);
  ledger_.Merge(Reporter("server"), 8, {Flow("client", 1)});
  const auto entries = ledger_.List();
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_NE(entries[0].id, entries[1].id);
  EXPECT_TRUE(entries[0].ended);
  EXPECT_FALSE(entries[1].ended);
}

TEST_F(FlowLedgerTest, AProxyThatHadEndedAndReportsIsThereAgain) {
  ledger_.Merge(Reporter("server"), 7, {Flow("client")});
  ledger_.OnEnded(Reporter("server"), 7);
  ledger_.Merge(Reporter("server"), 7, {Flow("client")});
  EXPECT_FALSE(ledger_.List()[0].ended);
}

TEST_F(FlowLedgerTest, NamesAFlowTheSameOnEveryControlPlane) {
  MetricRegistry metrics;
  clock_.Advance(absl::Seconds(1));
  FlowLedger other(&clock_, &events_, &metrics);
  EXPECT_NE(other.name(), ledger_.name());
  other.Merge(Reporter("server"), 7, {Flow("client")});
  ledger_.Merge(Reporter("server"), 7, {Flow("client")});
  EXPECT_EQ(other.List()[0].id, ledger_.List()[0].id);
}

TEST_F(FlowLedgerTest, NobodyGivesAFlowTheNameOfAnothers) {
  ledger_.Merge(Reporter("server"), 7, {Flow("client")});
  ledger_.Merge(Reporter("liar"), 7, {Flow("client")});
  ASSERT_THAT(ledger_.List(), SizeIs(2));
  EXPECT_NE(ledger_.List()[0].id, ledger_.List()[1].id);
}

TEST_F(FlowLedgerTest, AReporterWithMuchLosesItsOwnOldest) {
  for (int i = 0; i < 8; ++i) {
    ledger_.Merge(Reporter("loud"), 7, {Flow(absl::StrCat("c", i))});
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_EQ(ledger_.size(), 6u);
  for (const auto& entry : ledger_.List()) {
    EXPECT_NE(entry.flow.peer->text(), "spiffe://td/c0");
    EXPECT_NE(entry.flow.peer->text(), "spiffe://td/c1");
  }
}

TEST_F(FlowLedgerTest, WhenItIsFullWhoHasMostMakesRoom) {
  ledger_.Merge(Reporter("quiet"), 7, {Flow("only")});
  for (int i = 0; i < 6; ++i) ledger_.Merge(Reporter("loud"), 7, {Flow(absl::StrCat("c", i))});
  for (int i = 0; i < 5; ++i) ledger_.Merge(Reporter("late"), 7, {Flow(absl::StrCat("c", i))});
  EXPECT_EQ(ledger_.size(), 10u);
  bool quiet = false;
  for (const auto& entry : ledger_.List()) quiet |= entry.flow.peer->text() == "spiffe://td/only";
  EXPECT_TRUE(quiet);
}

TEST_F(FlowLedgerTest, ForgetsWhatNobodyHasReportedForLong) {
  ledger_.Merge(Reporter("server"), 7, {Flow("client")});
  clock_.Advance(absl::Hours(25));
  ledger_.Merge(Reporter("other"), 7, {Flow("client")});
  ASSERT_THAT(ledger_.List(), SizeIs(1));
  EXPECT_EQ(ledger_.List()[0].reporter.id.text(), "spiffe://td/other");
}

TEST_F(FlowLedgerTest, TellsOfADeniedFlowOnceAndNotOfTooMany) {
  const auto denied = ReportedFlow::Verdict::kDenied;
  ledger_.Merge(Reporter("server"), 7, {Flow("client", 1, denied)});
  ledger_.Merge(Reporter("server"), 7, {Flow("client", 9, denied)});
  ASSERT_THAT(Denials(), SizeIs(1));
  EXPECT_EQ(Denials()[0].subject, "spiffe://td/server");
  EXPECT_THAT(Denials()[0].message, HasSubstr("spiffe://td/client to 10.0.0.1:80: no-allow-match"));
  for (int i = 0; i < 5; ++i) {
    ledger_.Merge(Reporter("server"), 7, {Flow(absl::StrCat("c", i), 1, denied)});
  }
  EXPECT_THAT(Denials(), SizeIs(1));
}

TEST_F(FlowLedgerTest, WhatTheDestinationTellsTheSourceNeedNot) {
  ReportedFlow flow = Flow("server", 1, ReportedFlow::Verdict::kDenied);
  flow.side = ReportedFlow::Side::kSource;
  ledger_.Merge(Reporter("client"), 7, {flow});
  flow.peer.reset();
  flow.reason = "tunnel-refused";
  ledger_.Merge(Reporter("client"), 7, {flow});
  EXPECT_THAT(Denials(), IsEmpty());
}

TEST_F(FlowLedgerTest, ALargeFleetReportsLessOften) {
  MetricRegistry metrics;
  FlowLedger ledger(&clock_, &events_, &metrics);
  EXPECT_EQ(ledger.ReportInterval(), absl::Seconds(5));
  for (int i = 0; i < 4000; ++i) {
    ledger.Merge(Reporter("server", absl::StrCat("10.1.", i / 250, ".", i % 250)), 7, {Flow("c")});
  }
  clock_.Advance(absl::Minutes(2));
  ledger.Merge(Reporter("server"), 7, {Flow("c")});
  EXPECT_GE(ledger.ReportInterval(), absl::Seconds(20));
  clock_.Advance(absl::Minutes(20));
  ledger.Merge(Reporter("server"), 7, {Flow("c")});
  EXPECT_EQ(ledger.ReportInterval(), absl::Seconds(5));
}

// Proxies know their edges for days, and a control plane that has just started is told all of them.
TEST_F(FlowLedgerTest, WhatWasDeniedLongAgoIsNoEventUntilItIsDeniedAgain) {
  ReportedFlow flow = Flow("client", 1, ReportedFlow::Verdict::kDenied);
  clock_.Advance(absl::Minutes(3));
  ledger_.Merge(Reporter("server"), 7, {flow});
  EXPECT_THAT(Denials(), IsEmpty());
  EXPECT_THAT(ledger_.List(), SizeIs(1));
  flow.opened = 2;
  flow.last_seen = clock_.WallNow() - absl::Seconds(10);
  ledger_.Merge(Reporter("server"), 7, {flow});
  EXPECT_THAT(Denials(), SizeIs(1));
  ledger_.Merge(Reporter("server"), 7, {flow});
  EXPECT_THAT(Denials(), SizeIs(1));
}

}  // namespace
}  // namespace byrnie
