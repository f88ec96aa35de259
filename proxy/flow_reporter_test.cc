#include "proxy/flow_reporter.h"

#include <vector>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/socket_address.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using link::v1::FlowEdge;
using link::v1::FlowReport;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Flow Change(absl::string_view peer,
            AccessRecord::Direction direction = AccessRecord::Direction::kInbound) {
  FlowKeyView key;
  key.direction = direction;
  key.path = FlowKeyView::Path::kHbone;
  key.verdict = AccessRecord::Result::kDenied;
  key.peer = peer;
  key.service = direction == AccessRecord::Direction::kInbound ? "" : "demo/server";
  key.destination = *SocketAddress::Parse("10.0.0.1:80");
  Flow flow;
  flow.key = std::make_shared<const FlowKey>(key);
  flow.source = *IpAddress::Parse("10.0.0.9");
  flow.reason = "no-allow-match";
  flow.opened = 3;
  flow.closed = 2;
  flow.bytes_sent = 10;
  flow.bytes_received = 20;
  flow.first_seen = absl::FromUnixSeconds(1000);
  flow.last_seen = absl::FromUnixSeconds(2000);
  return flow;
}

class FlowReporterTest : public ::testing::Test {
 protected:
  FlowReporterTest()
      : reporter_(&loop_, Options(), 7,
                  {registry_.AddGauge("byrnie_test_edges", ""),
                   registry_.AddCounter("byrnie_test_left_out_total", "")},
                  random_, [this](const FlowReport& report) {
                    reports_.push_back(report);
                    times_.push_back(loop_.Now());
                    return absl::OkStatus();
                  }) {}

  static FlowReporter::Options Options() {
    FlowReporter::Options options;
    options.max_edges = 4;
    return options;
  }

  ManualEventLoop loop_;
  MetricRegistry registry_;
  absl::BitGen random_;
  std::vector<FlowReport> reports_;
  std::vector<absl::Duration> times_;
  FlowReporter reporter_;
};

TEST_F(FlowReporterTest, TellsOfAFirstChangeSoonAndOfAllThatIsKnownOfIt) {
  reporter_.OnLinkUp();
  reporter_.Merge({Change("spiffe://td/a")}, 5);
  loop_.AdvanceTime(absl::Milliseconds(500));
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_EQ(reports_[0].instance(), 7u);
  EXPECT_EQ(reports_[0].left_out(), 5u);
  ASSERT_THAT(reports_[0].edges(), SizeIs(1));
  const FlowEdge& edge = reports_[0].edges(0);
  EXPECT_EQ(edge.direction(), FlowEdge::DIRECTION_INBOUND);
  EXPECT_EQ(edge.path(), FlowEdge::PATH_HBONE);
  EXPECT_EQ(edge.verdict(), FlowEdge::VERDICT_DENIED);
  EXPECT_EQ(edge.peer_identity(), "spiffe://td/a");
  EXPECT_EQ(edge.source_address(), IpAddress::Parse("10.0.0.9")->ToBytes());
  EXPECT_EQ(edge.destination_address(), IpAddress::Parse("10.0.0.1")->ToBytes());
  EXPECT_EQ(edge.destination_port(), 80u);
  EXPECT_EQ(edge.reason(), "no-allow-match");
  EXPECT_EQ(edge.opened(), 3u);
  EXPECT_EQ(edge.closed(), 2u);
  EXPECT_EQ(edge.bytes_sent(), 10u);
  EXPECT_EQ(edge.bytes_received(), 20u);
  EXPECT_EQ(edge.first_seen_us(), 1000 * 1000000);
  EXPECT_EQ(edge.last_seen_us(), 2000ll * 1000000);
}

TEST_F(FlowReporterTest, AnOutboundEdgeHasItsServiceAndNoSource) {
  reporter_.OnLinkUp();
  reporter_.Merge({Change("spiffe://td/a", AccessRecord::Direction::kOutbound)}, 0);
  loop_.AdvanceTime(absl::Seconds(1));
  const FlowEdge& edge = reports_.at(0).edges(0);
  EXPECT_EQ(edge.direction(), FlowEdge::DIRECTION_OUTBOUND);
  EXPECT_EQ(edge.service(), "demo/server");
  EXPECT_EQ(edge.source_address(), "");
}

TEST_F(FlowReporterTest, DoesNothingWithoutAChange) {
  reporter_.OnLinkUp();
  loop_.AdvanceTime(absl::Hours(1));
  EXPECT_THAT(reports_, IsEmpty());
  reporter_.Merge({Change("a")}, 0);
  loop_.AdvanceTime(absl::Seconds(1));
  reporter_.OnAck(false);
  loop_.AdvanceTime(absl::Hours(1));
  EXPECT_THAT(reports_, SizeIs(1));
}

TEST_F(FlowReporterTest, TellsEveryFewSecondsAndNotAtTheSameTimesAsOthers) {
  reporter_.OnLinkUp();
  for (int i = 0; i < 600; ++i) {
    reporter_.Merge({Change("a")}, 0);
    loop_.AdvanceTime(absl::Milliseconds(100));
    reporter_.OnAck(false);
  }
  ASSERT_GE(times_.size(), 10u);
  ASSERT_LE(times_.size(), 17u);
  absl::Duration shortest = absl::InfiniteDuration(), longest = absl::ZeroDuration();
  for (size_t i = 1; i < times_.size(); ++i) {
    shortest = std::min(shortest, times_[i] - times_[i - 1]);
    longest = std::max(longest, times_[i] - times_[i - 1]);
  }
  EXPECT_GE(shortest, absl::Seconds(4));
  EXPECT_LE(longest, absl::Seconds(6.2));
  EXPECT_GT(longest - shortest, absl::Milliseconds(100));
}

TEST_F(FlowReporterTest, WaitsForTheAnswerHoweverLongAndTellsTheNewestThen) {
  reporter_.OnLinkUp();
  reporter_.Merge({Change("a")}, 0);
  loop_.AdvanceTime(absl::Seconds(1));
  for (int i = 0; i < 10; ++i) reporter_.Merge({Change("a")}, 0);
  loop_.AdvanceTime(absl::Minutes(10));
  ASSERT_THAT(reports_, SizeIs(1));
  reporter_.OnAck(false);
  loop_.AdvanceTime(absl::Seconds(1));
  ASSERT_THAT(reports_, SizeIs(2));
  EXPECT_EQ(reports_[1].edges(0).opened(), 33u);
}

TEST_F(FlowReporterTest, TellsManyInSeveralReportsOneAfterTheOther) {
  reporter_.OnLinkUp();
  std::vector<Flow> changes;
  for (int i = 0; i < 10; ++i) changes.push_back(Change(absl::StrCat(i)));
  reporter_.Merge(changes, 0);
  loop_.AdvanceTime(absl::Milliseconds(500));
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_THAT(reports_[0].edges(), SizeIs(4));
  reporter_.OnAck(false);
  loop_.AdvanceTime(absl::ZeroDuration());
  reporter_.OnAck(false);
  loop_.AdvanceTime(absl::ZeroDuration());
  ASSERT_THAT(reports_, SizeIs(3));
  EXPECT_THAT(reports_[2].edges(), SizeIs(2));
}

TEST_F(FlowReporterTest, TellsAllAgainWhenAskedAndOverANewLink) {
  reporter_.OnLinkUp();
  reporter_.Merge({Change("a"), Change("b")}, 0);
  loop_.AdvanceTime(absl::Seconds(1));
  reporter_.OnAck(/*tell_all=*/true);
  loop_.AdvanceTime(absl::Seconds(10));
  ASSERT_THAT(reports_, SizeIs(2));
  EXPECT_THAT(reports_[1].edges(), SizeIs(2));
  // Its answer is lost with the link.
  reporter_.OnLinkDown();
  reporter_.Merge({Change("c")}, 0);
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_THAT(reports_, SizeIs(2));
  reporter_.OnLinkUp();
  loop_.AdvanceTime(absl::Seconds(1));
  ASSERT_THAT(reports_, SizeIs(3));
  EXPECT_THAT(reports_[2].edges(), SizeIs(3));
}

TEST_F(FlowReporterTest, TellsAllWhenItIsLostBetweenReports) {
  reporter_.OnLinkUp();
  reporter_.OnLost();
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_THAT(reports_, IsEmpty()) << "there is nothing to tell";
  reporter_.Merge({Change("a"), Change("b")}, 0);
  loop_.AdvanceTime(absl::Seconds(1));
  reporter_.OnAck(false);
  loop_.AdvanceTime(absl::Hours(1));
  EXPECT_THAT(reports_, SizeIs(1));
  reporter_.OnLost();
  loop_.AdvanceTime(absl::Seconds(10));
  ASSERT_THAT(reports_, SizeIs(2));
  EXPECT_THAT(reports_[1].edges(), SizeIs(2));
}

// The agent ends the link over a report that comes before the answer to the last one.
TEST_F(FlowReporterTest, ALossIsNoAnswerToTheReportThatIsUnderWay) {
  reporter_.OnLinkUp();
  std::vector<Flow> changes;
  for (int i = 0; i < 6; ++i) changes.push_back(Change(absl::StrCat(i)));
  reporter_.Merge(changes, 0);
  loop_.AdvanceTime(absl::Milliseconds(500));
  ASSERT_THAT(reports_, SizeIs(1));
  reporter_.OnLost();
  loop_.AdvanceTime(absl::Hours(1));
  EXPECT_THAT(reports_, SizeIs(1));
  for (int i = 0; i < 2; ++i) {
    reporter_.OnAck(false);
    loop_.AdvanceTime(absl::Seconds(10));
  }
  ASSERT_THAT(reports_, SizeIs(3));
  EXPECT_EQ(reports_[1].edges_size() + reports_[2].edges_size(), 6) << "what was told, too";
}

}  // namespace
}  // namespace byrnie
