#include "controlplane/flows/flow_report.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using flow::v1::Edge;
using flow::v1::ReportRequest;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(5000);

ReportRequest GoodReport() {
  ReportRequest request;
  request.set_instance(7);
  Edge* edge = request.add_edges();
  edge->set_side(Edge::SIDE_DESTINATION);
  edge->set_path(Edge::PATH_HBONE);
  edge->set_verdict(Edge::VERDICT_DENIED);
  edge->set_peer_spiffe_id("spiffe://td/a");
  edge->set_source_address("10.0.0.9");
  edge->set_destination_address("10.0.0.1:8080");
  edge->set_service("demo/server");
  edge->set_reason("policy-deny demo/x");
  edge->set_opened(4);
  edge->set_closed(3);
  edge->mutable_first_seen()->set_seconds(1000);
  edge->mutable_last_seen()->set_seconds(2000);
  return request;
}

TEST(FlowReportTest, SaysWhatTheAgentSays) {
  const auto flows = ParseFlowReport(GoodReport(), kNow);
  ASSERT_THAT(flows, IsOk());
  ASSERT_THAT(*flows, SizeIs(1));
  const ReportedFlow& flow = flows->front();
  EXPECT_EQ(flow.side, ReportedFlow::Side::kDestination);
  EXPECT_EQ(flow.path, ReportedFlow::Path::kHbone);
  EXPECT_EQ(flow.verdict, ReportedFlow::Verdict::kDenied);
  EXPECT_EQ(flow.peer->text(), "spiffe://td/a");
  EXPECT_EQ(flow.source->ToString(), "10.0.0.9");
  EXPECT_EQ(flow.destination.ToString(), "10.0.0.1:8080");
  EXPECT_EQ(flow.service, "demo/server");
  EXPECT_EQ(flow.reason, "policy-deny demo/x");
  EXPECT_EQ(flow.opened, 4u);
  EXPECT_EQ(flow.closed, 3u);
  EXPECT_EQ(flow.last_seen, absl::FromUnixSeconds(2000));
  EXPECT_EQ(flow.SourceNetwork(), "") << "there is an identity";
}

TEST(FlowReportTest, AClockThatIsAheadAndMoreEndsThanBeginningsAreSetRight) {
  ReportRequest request = GoodReport();
  request.mutable_edges(0)->mutable_last_seen()->set_seconds(9000);
  request.mutable_edges(0)->set_closed(9);
  const auto flows = ParseFlowReport(request, kNow);
  ASSERT_THAT(flows, IsOk());
  EXPECT_EQ(flows->front().last_seen, kNow);
  EXPECT_EQ(flows->front().closed, 4u);
  request.mutable_edges(0)->mutable_first_seen()->set_seconds(8000);
  EXPECT_EQ(ParseFlowReport(request, kNow)->front().first_seen, kNow);
}

TEST(FlowReportTest, TimesAreAsLongAgoAsTheyAreByTheReportersOwnClock) {
  for (const int64_t offset : {-3600, 0, 3600}) {
    ReportRequest request = GoodReport();
    Edge* const edge = request.mutable_edges(0);
    edge->mutable_first_seen()->set_seconds(4000 + offset);
    edge->mutable_last_seen()->set_seconds(4990 + offset);
    request.mutable_sent_at()->set_seconds(5000 + offset);
    const auto flows = ParseFlowReport(request, kNow);
    ASSERT_THAT(flows, IsOk());
    EXPECT_EQ(flows->front().last_seen, absl::FromUnixSeconds(4990)) << offset;
    EXPECT_EQ(flows->front().first_seen, absl::FromUnixSeconds(4000)) << offset;
    // Which is what the next report has to say as well, however long that one is under way.
    EXPECT_EQ(flows->front().counted_since, absl::FromUnixSeconds(4000 + offset)) << offset;
  }
}

TEST(FlowReportTest, NoTimesTogetherMakeOneThatCannotBeSaid) {
  constexpr int64_t kFirst = -62'135'596'800, kLast = 253'402'300'799;
  for (const auto& [sent_at, seen] : {std::pair(kLast, kFirst), std::pair(kFirst, kLast)}) {
    ReportRequest request = GoodReport();
    request.mutable_sent_at()->set_seconds(sent_at);
    request.mutable_edges(0)->mutable_first_seen()->set_seconds(seen);
    request.mutable_edges(0)->mutable_last_seen()->set_seconds(seen);
    const auto flows = ParseFlowReport(request, kNow);
    ASSERT_THAT(flows, IsOk());
    for (const absl::Time time : {flows->front().first_seen, flows->front().last_seen}) {
      EXPECT_GE(time, absl::UnixEpoch());
      EXPECT_LE(time, kNow);
    }
  }
}

TEST(FlowReportTest, RefusesCountsThatNoProxyGetsTo) {
  const auto refuse = [](void (Edge::*set)(uint64_t), uint64_t most, const char* field) {
    ReportRequest request = GoodReport();
    request.mutable_edges(0)->set_opened(uint64_t{1} << 44);
    (request.mutable_edges(0)->*set)(most);
    EXPECT_THAT(ParseFlowReport(request, kNow), IsOk()) << field;
    for (const uint64_t count : {most + 1, uint64_t{1} << 63, ~uint64_t{0}}) {
      (request.mutable_edges(0)->*set)(count);
      EXPECT_THAT(
          ParseFlowReport(request, kNow),
          StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(absl::StrCat("edges[0].", field))))
          << count;
    }
  };
  refuse(&Edge::set_opened, uint64_t{1} << 44, "opened");
  refuse(&Edge::set_closed, uint64_t{1} << 44, "closed");
  refuse(&Edge::set_bytes_sent, uint64_t{1} << 56, "bytes_sent");
  refuse(&Edge::set_bytes_received, uint64_t{1} << 56, "bytes_received");
}

TEST(FlowReportTest, WithoutAnIdentityTheSourcesNetworkIsWhatIsAlike) {
  ReportRequest request = GoodReport();
  request.mutable_edges(0)->clear_peer_spiffe_id();
  const ReportedFlow one = ParseFlowReport(request, kNow)->front();
  EXPECT_EQ(one.SourceNetwork(), "10.0.0.0/24");
  request.mutable_edges(0)->set_source_address("10.0.0.200");
  EXPECT_EQ(ParseFlowReport(request, kNow)->front().Key(), one.Key());
  request.mutable_edges(0)->set_source_address("10.0.1.9");
  EXPECT_NE(ParseFlowReport(request, kNow)->front().Key(), one.Key());
  request.mutable_edges(0)->set_source_address("fd00:1:2:3:4::5");
  EXPECT_EQ(ParseFlowReport(request, kNow)->front().SourceNetwork(), "fd00:1:2:3::/64");
}

TEST(FlowReportTest, RefusesWhatNoAgentSendsAndNamesIt) {
  const auto refused = [](const char* what, auto change) {
    ReportRequest request = GoodReport();
    change(&request);
    EXPECT_THAT(ParseFlowReport(request, kNow),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)));
  };
  refused("instance", [](ReportRequest* r) { r->clear_instance(); });
  refused("edges", [](ReportRequest* r) {
    while (r->edges_size() <= 256) *r->add_edges() = r->edges(0);
  });
  refused("edges[0].side", [](ReportRequest* r) { r->mutable_edges(0)->clear_side(); });
  refused("edges[0].path",
          [](ReportRequest* r) { r->mutable_edges(0)->set_path(static_cast<Edge::Path>(77)); });
  refused("edges[0].verdict", [](ReportRequest* r) { r->mutable_edges(0)->clear_verdict(); });
  refused("edges[0].peer_spiffe_id",
          [](ReportRequest* r) { r->mutable_edges(0)->set_peer_spiffe_id("http://x"); });
  refused("edges[0].source_address",
          [](ReportRequest* r) { r->mutable_edges(0)->set_source_address("10.0.0"); });
  refused("edges[0].destination_address",
          [](ReportRequest* r) { r->mutable_edges(0)->clear_destination_address(); });
  refused("edges[0].destination_address",
          [](ReportRequest* r) { r->mutable_edges(0)->set_destination_address("10.0.0.1:0"); });
  refused("edges[0].service",
          [](ReportRequest* r) { r->mutable_edges(0)->set_service("demo/a b"); });
  refused("edges[0].reason", [](ReportRequest* r) { r->mutable_edges(0)->set_reason("a\x1b[2J"); });
  refused("edges[0].reason",
          [](ReportRequest* r) { r->mutable_edges(0)->set_reason(std::string(513, 'a')); });
  refused("edges[0].first_seen", [](ReportRequest* r) { r->mutable_edges(0)->clear_first_seen(); });
  refused("edges[0].last_seen", [](ReportRequest* r) { r->mutable_edges(0)->clear_last_seen(); });
}

}  // namespace
}  // namespace byrnie
