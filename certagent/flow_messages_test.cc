#include "certagent/flow_messages.h"

#include <string>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using flow::v1::Edge;
using link::v1::FlowEdge;
using link::v1::FlowReport;
using ::testing::HasSubstr;

FlowReport GoodReport() {
  FlowReport report;
  report.set_instance(7);
  report.set_left_out(2);
  FlowEdge* edge = report.add_edges();
  edge->set_direction(FlowEdge::DIRECTION_INBOUND);
  edge->set_path(FlowEdge::PATH_HBONE);
  edge->set_verdict(FlowEdge::VERDICT_DENIED);
  edge->set_peer_identity("spiffe://td/a");
  edge->set_source_address(std::string("\x0a\x00\x00\x09", 4));
  edge->set_destination_address(std::string("\x0a\x00\x00\x01", 4));
  edge->set_destination_port(8080);
  edge->set_service("demo/server");
  edge->set_reason("no-allow-match");
  edge->set_opened(4);
  edge->set_closed(3);
  edge->set_bytes_sent(10);
  edge->set_bytes_received(20);
  edge->set_first_seen_us(1500000);
  edge->set_last_seen_us(2500000);
  return report;
}

TEST(FlowMessagesTest, SaysTheSameInTheOtherProtocol) {
  const auto request = ToReportRequest(GoodReport());
  ASSERT_THAT(request, IsOk());
  EXPECT_EQ(request->instance(), 7u);
  EXPECT_EQ(request->left_out(), 2u);
  const Edge& edge = request->edges(0);
  EXPECT_EQ(edge.side(), Edge::SIDE_DESTINATION);
  EXPECT_EQ(edge.path(), Edge::PATH_HBONE);
  EXPECT_EQ(edge.verdict(), Edge::VERDICT_DENIED);
  EXPECT_EQ(edge.peer_spiffe_id(), "spiffe://td/a");
  EXPECT_EQ(edge.source_address(), "10.0.0.9");
  EXPECT_EQ(edge.destination_address(), "10.0.0.1:8080");
  EXPECT_EQ(edge.service(), "demo/server");
  EXPECT_EQ(edge.reason(), "no-allow-match");
  EXPECT_EQ(edge.opened(), 4u);
  EXPECT_EQ(edge.closed(), 3u);
  EXPECT_EQ(edge.bytes_sent(), 10u);
  EXPECT_EQ(edge.bytes_received(), 20u);
  EXPECT_EQ(edge.first_seen().seconds(), 1);
  EXPECT_EQ(edge.first_seen().nanos(), 500000000);
  EXPECT_EQ(edge.last_seen().seconds(), 2);
}

TEST(FlowMessagesTest, RefusesWhatAProxyDoesNotSend) {
  const auto refused = [](const char* what, auto change) {
    FlowReport report = GoodReport();
    change(&report);
    EXPECT_THAT(ToReportRequest(report),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)));
  };
  refused("instance", [](FlowReport* r) { r->set_instance(0); });
  refused("direction", [](FlowReport* r) { r->mutable_edges(0)->clear_direction(); });
  refused("direction", [](FlowReport* r) {
    r->mutable_edges(0)->set_direction(static_cast<FlowEdge::Direction>(9));
  });
  refused("path", [](FlowReport* r) { r->mutable_edges(0)->clear_path(); });
  refused("verdict", [](FlowReport* r) { r->mutable_edges(0)->clear_verdict(); });
  refused("source_address", [](FlowReport* r) { r->mutable_edges(0)->set_source_address("abc"); });
  refused("destination_address",
          [](FlowReport* r) { r->mutable_edges(0)->clear_destination_address(); });
  refused("destination_port", [](FlowReport* r) { r->mutable_edges(0)->set_destination_port(0); });
  refused("destination_port",
          [](FlowReport* r) { r->mutable_edges(0)->set_destination_port(65536); });
  refused("first_seen_us", [](FlowReport* r) { r->mutable_edges(0)->set_first_seen_us(-1); });
  refused("last_seen_us", [](FlowReport* r) {
    r->mutable_edges(0)->set_last_seen_us(std::numeric_limits<int64_t>::max());
  });
  refused("too many", [](FlowReport* r) {
    while (r->edges_size() <= 256) *r->add_edges() = r->edges(0);
  });
}

}  // namespace
}  // namespace byrnie
