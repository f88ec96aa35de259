#include "ctl/flow_text.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

namespace v1 = byrnie::operator_::v1;
using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNow = absl::FromUnixSeconds(1000);

v1::PolicyChange Change(const std::string& id, v1::PolicyChange::Kind kind) {
  v1::PolicyChange change;
  change.set_kind(kind);
  v1::Flow* flow = change.mutable_flow();
  flow->set_id(id);
  flow->set_source_spiffe_id("spiffe://td/ns/demo/sa/client");
  flow->set_destination_spiffe_id("spiffe://td/ns/demo/sa/server");
  flow->set_destination_address("10.0.0.2:8080");
  flow->set_path("hbone");
  flow->set_connections(4);
  flow->mutable_last_seen()->set_seconds(990);
  change.set_reason_before("default-allow-same-trust-domain");
  change.set_reason_after("policy-deny demo/x");
  return change;
}

v1::DiffPoliciesResponse Diff(uint64_t flows) {
  v1::DiffPoliciesResponse diff;
  diff.set_flows(flows);
  diff.set_connections(10 * flows);
  diff.mutable_since()->set_seconds(100);
  diff.mutable_until()->set_seconds(900);
  return diff;
}

TEST(FlowTextTest, ADiffSaysWhatItLookedAtAndWhatIsDifferent) {
  v1::DiffPoliciesResponse diff = Diff(3);
  EXPECT_THAT(DiffText(diff, kNow),
              "no change\nlooked at 30 connections in 3 flows, from 1970-01-01T00:01:40Z to "
              "1970-01-01T00:15:00Z\n");
  EXPECT_FALSE(ChangesAnything(diff));
  *diff.add_changes() = Change("a", v1::PolicyChange::KIND_NEWLY_DENIED);
  *diff.add_changes() = Change("b", v1::PolicyChange::KIND_NEWLY_DENIED);
  const std::string text = DiffText(diff, kNow);
  EXPECT_THAT(text, HasSubstr("newly denied:\n"));
  EXPECT_THAT(text, HasSubstr("demo/client  demo/server:8080  hbone  8            10 s ago"));
  EXPECT_THAT(text, HasSubstr("policy-deny demo/x"));
  EXPECT_THAT(text, Not(HasSubstr("no change")));
  EXPECT_TRUE(ChangesAnything(diff));
}

TEST(FlowTextTest, SaysOfWhichSourceAddressAChangeIsAndWhereTheseAreNotKnown) {
  v1::DiffPoliciesResponse diff = Diff(3);
  *diff.add_changes() = Change("a", v1::PolicyChange::KIND_NEWLY_DENIED);
  diff.mutable_changes(0)->set_source_address("10.0.0.9");
  EXPECT_THAT(DiffText(diff, kNow), HasSubstr("demo/client from 10.0.0.9  demo/server:8080"));
  EXPECT_THAT(DiffText(diff, kNow), Not(HasSubstr("only the last one")));
  diff.set_partly(2);
  EXPECT_THAT(DiffText(MergeDiffs({diff, diff}), kNow),
              HasSubstr("of 4 flows only the last one is known"));
}

TEST(FlowTextTest, WhatADryRunSaysIsNoChange) {
  v1::DiffPoliciesResponse diff = Diff(1);
  *diff.add_changes() = Change("a", v1::PolicyChange::KIND_AUDIT_DENY);
  diff.mutable_changes(0)->set_policy("demo/try");
  EXPECT_FALSE(ChangesAnything(diff));
  EXPECT_THAT(DiffText(diff, kNow), HasSubstr("a dry-run policy would deny:\n"));
  EXPECT_THAT(DiffText(diff, kNow), HasSubstr("demo/try"));
}

TEST(FlowTextTest, ADiffOfNothingSaysSo) {
  EXPECT_THAT(DiffText({}, kNow), HasSubstr("no connection was seen to compare with"));
  EXPECT_THAT(DiffText({}, kNow), Not(HasSubstr("no change")));
}

TEST(FlowTextTest, AnswersOfSeveralControlPlanesBecomeOne) {
  v1::DiffPoliciesResponse one = Diff(2), other = Diff(3);
  *one.add_changes() = Change("a", v1::PolicyChange::KIND_NEWLY_ALLOWED);
  *other.add_changes() = Change("b", v1::PolicyChange::KIND_NEWLY_DENIED);
  *other.add_changes() = Change("a", v1::PolicyChange::KIND_NEWLY_ALLOWED);
  other.mutable_since()->set_seconds(50);
  const v1::DiffPoliciesResponse merged = MergeDiffs({one, other});
  ASSERT_EQ(merged.changes_size(), 2);
  EXPECT_EQ(merged.changes(0).flow().id(), "b");
  EXPECT_EQ(merged.flows(), 5u);
  EXPECT_EQ(merged.since().seconds(), 50);
  EXPECT_EQ(merged.until().seconds(), 900);
}

TEST(FlowTextTest, ATableShowsDenialsAndNothingThatSpeaksToTheTerminal) {
  FlowGroup group;
  group.source = "demo/client";
  group.destination = "demo/\x1b[2Jserver";
  group.port = 80;
  group.verdict = v1::Flow::VERDICT_DENIED;
  group.connections = 7;
  group.bytes_sent = 2048;
  group.last_seen = kNow - absl::Seconds(5);
  const std::string text = FlowTableText({group}, kNow);
  EXPECT_THAT(text, HasSubstr("demo/\\x1b[2Jserver:80"));
  EXPECT_THAT(text, HasSubstr("DENIED"));
  EXPECT_THAT(text, HasSubstr("2.0 KiB"));
  EXPECT_THAT(text, HasSubstr("5 s ago"));
  EXPECT_THAT(text, Not(HasSubstr("says source")));
  group.says_source_alone = true;
  EXPECT_THAT(FlowTableText({group}, kNow), HasSubstr("DENIED (says source)"));
  EXPECT_EQ(FlowTableText({}, kNow), "no connection was reported\n");
}

TEST(FlowTextTest, SuggestionsAddUpAndSayWhomTheyLeaveOut) {
  v1::SuggestPoliciesResponse before, after;
  before.set_document("{1}");
  before.set_flows(1);
  before.add_unreached("demo/a");
  after.set_document("{1,2}");
  after.set_flows(2);
  after.add_unreached("demo/b");
  const v1::SuggestPoliciesResponse merged = MergeSuggestions(before, after);
  EXPECT_EQ(merged.document(), "{1,2}");
  EXPECT_EQ(merged.flows(), 3u);
  EXPECT_THAT(SuggestionNotes(merged, "demo"), HasSubstr("lets nobody in to demo/b"));
  EXPECT_THAT(SuggestionNotes(merged, "demo"), HasSubstr("one that gets another is closed"));
  EXPECT_THAT(SuggestionNotes({}, "demo"), HasSubstr("nothing to suggest"));
}

}  // namespace
}  // namespace byrnie
