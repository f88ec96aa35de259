#include "controlplane/operator/flow_calls.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/events/event_log.h"
#include "controlplane/registry/static_parser.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

namespace v1 = byrnie::operator_::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kServer[] = "spiffe://cluster.local/ns/demo/sa/server";
constexpr char kDenyClient[] = R"({"name":"deny-client","namespace":"demo","scope":"NAMESPACE",
  "action":"DENY","rules":[{"clauses":[{"matches":[{"principals":[
  {"exact":"cluster.local/ns/demo/sa/client"}]}]}]}]})";

class FlowCallsTest : public ::testing::Test {
 protected:
  FlowCallsTest() {
    const auto content = ParseRegistryFile(
        R"({"workloads":[{"name":"server","namespace":"demo","service_account":"server",
            "addresses":["10.0.0.2"]}]})",
        "cluster.local");
    EXPECT_THAT(content, IsOk());
    registry_.Publish(*RegistrySnapshot::Create(*content));
    agents_.OnStreamOpened(server_.id, "10.0.0.2:4000",
                           {"01", clock_.WallNow() + absl::Hours(1), ""}, clock_.WallNow());
  }

  void Report(const std::string& client,
              ReportedFlow::Verdict verdict = ReportedFlow::Verdict::kAllowed) {
    ReportedFlow flow;
    flow.verdict = verdict;
    flow.peer = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/" + client);
    flow.source = *IpAddress::Parse("10.0.0.1");
    flow.destination = *SocketAddress::Parse("10.0.0.2:8080");
    flow.reason = "why";
    flow.opened = 5;
    flow.closed = 3;
    flow.bytes_sent = 10;
    flow.first_seen = flow.last_seen = clock_.WallNow();
    ledger_.Merge(server_, 7, {flow});
  }

  FakeClock clock_;
  EventLog events_{&clock_};
  MetricRegistry metrics_;
  FlowLedger ledger_{&clock_, &events_, &metrics_};
  Registry registry_;
  AgentTable agents_;
  const FlowCalls calls_{&ledger_, &registry_, &agents_};
  const FlowReporterId server_{*SpiffeId::Parse(kServer), "10.0.0.2"};
};

TEST_F(FlowCallsTest, ShowsBothEndsWhateverSideReported) {
  Report("client");
  v1::ListFlowsResponse response;
  ASSERT_THAT(calls_.ListFlows({}, &response), IsOk());
  ASSERT_EQ(response.flows_size(), 1);
  const v1::Flow& flow = response.flows(0);
  EXPECT_EQ(flow.side(), v1::Flow::SIDE_DESTINATION);
  EXPECT_EQ(flow.source_spiffe_id(), "spiffe://cluster.local/ns/demo/sa/client");
  EXPECT_EQ(flow.source_address(), "10.0.0.1");
  EXPECT_EQ(flow.destination_spiffe_id(), kServer);
  EXPECT_EQ(flow.destination_address(), "10.0.0.2:8080");
  EXPECT_EQ(flow.destination_workload(), "demo/server");
  EXPECT_EQ(flow.path(), "hbone");
  EXPECT_EQ(flow.verdict(), v1::Flow::VERDICT_ALLOWED);
  EXPECT_EQ(flow.connections(), 5u);
  EXPECT_EQ(flow.open(), 2u);
  EXPECT_EQ(flow.bytes_sent(), 10u);
}

TEST_F(FlowCallsTest, NothingIsOpenWhereNobodyIsLeft) {
  Report("client");
  agents_.OnStreamClosed(server_.id, "10.0.0.2:4000", clock_.WallNow());
  EXPECT_EQ(calls_.All()[0].open(), 0u);
  agents_.OnStreamOpened(server_.id, "10.0.0.2:4001", {}, clock_.WallNow());
  EXPECT_EQ(calls_.All()[0].open(), 2u);
  ledger_.OnEnded(server_, 7);
  EXPECT_EQ(calls_.All()[0].open(), 0u);
}

TEST_F(FlowCallsTest, ListsInPagesAndByWhatIsAskedFor) {
  for (int i = 0; i < 5; ++i) Report(absl::StrCat("c", i));
  Report("bad", ReportedFlow::Verdict::kDenied);
  v1::ListFlowsRequest request;
  request.set_page_size(4);
  v1::ListFlowsResponse first, second;
  ASSERT_THAT(calls_.ListFlows(request, &first), IsOk());
  EXPECT_EQ(first.flows_size(), 4);
  request.set_page_token(first.next_page_token());
  ASSERT_THAT(calls_.ListFlows(request, &second), IsOk());
  EXPECT_EQ(second.flows_size(), 2);
  EXPECT_EQ(second.next_page_token(), "");

  // Of fields that do not have what the list is ordered by, too.
  request = {};
  request.set_page_size(4);
  request.mutable_read_mask()->add_paths("connections");
  v1::ListFlowsResponse masked;
  ASSERT_THAT(calls_.ListFlows(request, &masked), IsOk());
  EXPECT_EQ(masked.next_page_token(), first.next_page_token());
  EXPECT_EQ(masked.flows(0).id(), "");
  EXPECT_EQ(masked.flows(0).connections(), 5u);

  request = {};
  request.add_verdicts(v1::Flow::VERDICT_DENIED);
  v1::ListFlowsResponse denied;
  ASSERT_THAT(calls_.ListFlows(request, &denied), IsOk());
  EXPECT_EQ(denied.flows_size(), 1);
  request.set_spiffe_id("spiffe://cluster.local/ns/demo/sa/c1");
  v1::ListFlowsResponse none;
  ASSERT_THAT(calls_.ListFlows(request, &none), IsOk());
  EXPECT_EQ(none.flows_size(), 0);
  request = {};
  request.set_namespace_("other");
  ASSERT_THAT(calls_.ListFlows(request, &none), IsOk());
  EXPECT_EQ(none.flows_size(), 0);
  request = {};
  request.add_verdicts(v1::Flow::VERDICT_UNSPECIFIED);
  EXPECT_THAT(calls_.ListFlows(request, &none), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(FlowCallsTest, SaysWhatAProposalWouldChange) {
  Report("client");
  Report("other");
  v1::DiffPoliciesRequest request;
  request.add_documents(kDenyClient);
  v1::DiffPoliciesResponse response;
  ASSERT_THAT(calls_.DiffPolicies(request, &response), IsOk());
  ASSERT_EQ(response.changes_size(), 1);
  EXPECT_EQ(response.changes(0).kind(), v1::PolicyChange::KIND_NEWLY_DENIED);
  EXPECT_EQ(response.changes(0).flow().source_spiffe_id(),
            "spiffe://cluster.local/ns/demo/sa/client");
  EXPECT_EQ(response.changes(0).reason_after(), "policy-deny demo/deny-client");
  EXPECT_EQ(response.flows(), 2u);
  EXPECT_EQ(response.connections(), 10u);
  EXPECT_TRUE(response.has_since());
}

TEST_F(FlowCallsTest, ADiffOfSourceAddressesLooksAtAllThatTheRegistryHas) {
  // Whose workload is at another address than it was seen from.
  Report("server");
  v1::DiffPoliciesRequest request;
  request.add_documents(R"({"name":"deny-it","namespace":"demo","scope":"NAMESPACE",)"
                        R"("action":"DENY","rules":[{"clauses":[{"matches":[)"
                        R"({"source_ips":["10.0.0.2"]}]}]}]})");
  v1::DiffPoliciesResponse response;
  ASSERT_THAT(calls_.DiffPolicies(request, &response), IsOk());
  ASSERT_EQ(response.changes_size(), 1);
  EXPECT_EQ(response.changes(0).source_address(), "10.0.0.2");
  EXPECT_EQ(response.partly(), 0u);
}

TEST_F(FlowCallsTest, RefusesAProposalThatIsNone) {
  v1::DiffPoliciesResponse response;
  v1::DiffPoliciesRequest request;
  EXPECT_THAT(calls_.DiffPolicies(request, &response),
              StatusIs(absl::StatusCode::kInvalidArgument));
  request.add_documents("{");
  EXPECT_THAT(calls_.DiffPolicies(request, &response),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("documents[0]")));
  request.set_documents(0, kDenyClient);
  request.add_documents(kDenyClient);
  EXPECT_THAT(calls_.DiffPolicies(request, &response),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("twice")));
  request = {};
  request.add_removals("demo/none");
  EXPECT_THAT(calls_.DiffPolicies(request, &response), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FlowCallsTest, WhatItSuggestsChangesNothingForWhoWasSeen) {
  Report("client");
  Report("other");
  v1::SuggestPoliciesRequest request;
  v1::SuggestPoliciesResponse suggested;
  EXPECT_THAT(calls_.SuggestPolicies(request, &suggested),
              StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_namespace_("demo");
  ASSERT_THAT(calls_.SuggestPolicies(request, &suggested), IsOk());
  EXPECT_EQ(suggested.flows(), 2u);
  v1::DiffPoliciesRequest diff;
  diff.add_documents(suggested.document());
  v1::DiffPoliciesResponse response;
  ASSERT_THAT(calls_.DiffPolicies(diff, &response), IsOk());
  EXPECT_EQ(response.changes_size(), 0) << suggested.document();
  // Another control plane's, which has seen the same.
  request.set_document(suggested.document());
  v1::SuggestPoliciesResponse again;
  ASSERT_THAT(calls_.SuggestPolicies(request, &again), IsOk());
  EXPECT_EQ(again.document(), suggested.document());
  request.set_document(kDenyClient);
  EXPECT_THAT(calls_.SuggestPolicies(request, &again),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace byrnie
