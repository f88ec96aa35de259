#include "controlplane/trust/rotation_steps.h"

#include <string>
#include <utility>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);
constexpr absl::Duration kLife = absl::Hours(1);

RootRecord Root(char letter) {
  return RootRecord{std::string(64, letter), std::string("certificate ") + letter,
                    std::string("key ") + letter};
}

TrustRecord Idle() {
  TrustRecord record;
  record.trust_domain = "cluster.local";
  record.current = Root('a');
  record.life_caps = {{kLife, absl::InfiniteFuture()}};
  return record;
}

// A record on the way, each step a minute after the one before.
TrustRecord At(RotationStep step) {
  TrustRecord record = AfterMove(Idle(), RotationMove::kPrepare, kNow, Root('b'));
  absl::Time now = kNow;
  while (record.rotation->step != step) {
    now += absl::Minutes(1);
    record = AfterMove(record, NextMove(record), now);
  }
  return record;
}

FleetView::Agent Agent(std::string id, bool trusts_next, char root, absl::Time not_after) {
  FleetView::Agent agent;
  agent.id = std::move(id);
  agent.address = "10.0.0.1:4711";
  agent.trusts_next = trusts_next;
  agent.root = std::string(64, root);
  agent.not_after = not_after;
  return agent;
}

TEST(RotationStepsTest, WithoutARotationThereIsOneRootForAll) {
  const TrustRecord record = Idle();
  const TrustEffect effect = EffectOf(record);
  EXPECT_EQ(effect.signer, &record.current);
  EXPECT_EQ(effect.server_signer, &record.current);
  EXPECT_THAT(effect.trusted, ElementsAre(&record.current));
  EXPECT_EQ(effect.tainted, nullptr);
}

TEST(RotationStepsTest, EachStepMeansWhatItSays) {
  const TrustRecord prepared = At(RotationStep::kPrepared);
  EXPECT_EQ(EffectOf(prepared).signer, &prepared.current);
  EXPECT_THAT(EffectOf(prepared).trusted, ElementsAre(&prepared.current));

  const TrustRecord distributed = At(RotationStep::kDistributed);
  EXPECT_EQ(EffectOf(distributed).signer, &distributed.current);
  EXPECT_THAT(EffectOf(distributed).trusted,
              ElementsAre(&distributed.current, &distributed.rotation->next));
  EXPECT_EQ(EffectOf(distributed).tainted, nullptr);

  const TrustRecord active = At(RotationStep::kActive);
  EXPECT_EQ(EffectOf(active).signer, &active.rotation->next);
  EXPECT_THAT(EffectOf(active).trusted, ElementsAre(&active.current, &active.rotation->next));
  EXPECT_EQ(EffectOf(active).tainted, nullptr);

  const TrustRecord tainted = At(RotationStep::kTainted);
  EXPECT_EQ(EffectOf(tainted).signer, &tainted.rotation->next);
  EXPECT_THAT(EffectOf(tainted).trusted, ElementsAre(&tainted.current, &tainted.rotation->next));
  EXPECT_EQ(EffectOf(tainted).tainted, &tainted.current);

  const TrustRecord revoked = AfterMove(tainted, RotationMove::kRevoke, kNow);
  EXPECT_FALSE(revoked.rotation.has_value());
  EXPECT_EQ(revoked.current.id, tainted.rotation->next.id);
  EXPECT_EQ(revoked.root_count, 2u);
}

TEST(RotationStepsTest, TheServerKeepsTheOlderRootAsLongAsItIsTrusted) {
  for (RotationStep step : {RotationStep::kPrepared, RotationStep::kDistributed,
                            RotationStep::kActive, RotationStep::kTainted}) {
    const TrustRecord record = At(step);
    EXPECT_EQ(EffectOf(record).server_signer, &record.current) << RotationStepName(step);
  }
}

TEST(RotationStepsTest, AMoveOutOfTurnSaysWhoseTurnItIs) {
  EXPECT_THAT(CheckTurn(Idle(), RotationMove::kActivate),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("next is prepare")));
  EXPECT_THAT(CheckTurn(At(RotationStep::kPrepared), RotationMove::kActivate),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("next is distribute")));
  EXPECT_THAT(CheckTurn(At(RotationStep::kDistributed), RotationMove::kPrepare),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("next is activate")));
  EXPECT_THAT(CheckTurn(Idle(), RotationMove::kRollback),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another rotation")));
}

TEST(RotationStepsTest, AnAgentThatHasNotAcknowledgedKeepsActivationBackByName) {
  const TrustRecord record = At(RotationStep::kDistributed);
  FleetView fleet;
  fleet.agents = {Agent("spiffe://cluster.local/fast", true, 'a', kNow + kLife),
                  Agent("spiffe://cluster.local/slow", false, 'a', kNow + kLife)};
  const auto blockers = BlockersOf(record, RotationMove::kActivate, fleet, kNow);
  ASSERT_THAT(blockers, SizeIs(1));
  EXPECT_EQ(blockers[0].agent, "spiffe://cluster.local/slow");
  EXPECT_EQ(blockers[0].address, "10.0.0.1:4711");
  // It may get another certificate any time: waiting does not help.
  EXPECT_EQ(blockers[0].until, absl::InfiniteFuture());
}

TEST(RotationStepsTest, AnAgentThatIsAwayKeepsActivationBackWhileItsCertificateLives) {
  const TrustRecord record = At(RotationStep::kDistributed);
  const absl::Time distributed = *record.rotation->distributed_at;
  FleetView fleet;
  fleet.absent = {{"spiffe://cluster.local/away", Root('a').id, distributed + absl::Minutes(30)},
                  // This one cannot be used without the next root, which came with it.
                  {"spiffe://cluster.local/new", Root('a').id, distributed + absl::Minutes(61),
                   /*trusts_next=*/true}};
  const auto blockers =
      BlockersOf(record, RotationMove::kActivate, fleet, distributed + absl::Minutes(2));
  ASSERT_THAT(blockers, SizeIs(1));
  EXPECT_EQ(blockers[0].agent, "spiffe://cluster.local/away");
  EXPECT_EQ(blockers[0].until, distributed + absl::Minutes(30));
  EXPECT_THAT(BlockersOf(record, RotationMove::kActivate, fleet, distributed + absl::Minutes(30)),
              IsEmpty());
}

TEST(RotationStepsTest, AnAgentThatLeftWithTheNextRootIsNotWaitedFor) {
  const TrustRecord record = At(RotationStep::kDistributed);
  const absl::Time distributed = *record.rotation->distributed_at;
  FleetView fleet;
  fleet.absent = {{"spiffe://cluster.local/away", Root('a').id, distributed + absl::Minutes(30),
                   /*trusts_next=*/true}};
  EXPECT_THAT(BlockersOf(record, RotationMove::kActivate, fleet, distributed + absl::Minutes(2)),
              IsEmpty());
}

// It is named once, as what it is: connected.
TEST(RotationStepsTest, WhatAConnectedAgentMayStillUseIsNotNamedBesideIt) {
  const TrustRecord record = At(RotationStep::kDistributed);
  FleetView fleet;
  fleet.agents = {Agent("spiffe://cluster.local/silent", false, 'a', kNow + kLife)};
  fleet.absent = {{"spiffe://cluster.local/silent", Root('a').id, kNow + kLife, false,
                   fleet.agents[0].address}};
  const auto blockers = BlockersOf(record, RotationMove::kActivate, fleet, kNow);
  ASSERT_THAT(blockers, SizeIs(1));
  EXPECT_THAT(blockers[0].reason, HasSubstr("is connected"));
}

TEST(RotationStepsTest, RevocationWaitsForWhatAProxyMayStillUseAfterARenewal) {
  const TrustRecord record = At(RotationStep::kTainted);
  FleetView fleet;
  fleet.agents = {Agent("spiffe://cluster.local/silent", true, 'b', kNow + kLife)};
  fleet.absent = {{"spiffe://cluster.local/silent", Root('a').id, kNow + kLife / 2, true,
                   fleet.agents[0].address}};
  const absl::Time now = kNow + absl::Minutes(10);
  const auto blockers = BlockersOf(record, RotationMove::kRevoke, fleet, now);
  ASSERT_THAT(blockers, SizeIs(1));
  EXPECT_EQ(blockers[0].address, fleet.agents[0].address);
  EXPECT_THAT(blockers[0].reason, HasSubstr("has renewed and may still use"));
  EXPECT_EQ(blockers[0].until, kNow + kLife / 2);
}

TEST(RotationStepsTest, WhatNobodyKnowsAnyMoreIsWaitedForAsLongAsItCanLive) {
  const TrustRecord record = At(RotationStep::kDistributed);
  FleetView fleet;
  // The process began after the root was distributed.
  fleet.complete_since = *record.rotation->distributed_at + absl::Minutes(5);
  const auto blockers = BlockersOf(record, RotationMove::kActivate, fleet, fleet.complete_since);
  ASSERT_THAT(blockers, SizeIs(1));
  EXPECT_EQ(blockers[0].agent, kUnknownAgents);
  EXPECT_LE(blockers[0].until, *record.rotation->distributed_at + kLife + absl::Seconds(5));
  EXPECT_GE(blockers[0].until, *record.rotation->distributed_at + kLife);
  EXPECT_THAT(BlockersOf(record, RotationMove::kActivate, fleet, blockers[0].until), IsEmpty());
}

TEST(RotationStepsTest, AnExcludedAgentIsNotWaitedForAndOthersAre) {
  TrustRecord record = At(RotationStep::kDistributed);
  FleetView fleet;
  fleet.agents = {Agent("spiffe://cluster.local/a", false, 'a', kNow + kLife),
                  Agent("spiffe://cluster.local/b", false, 'a', kNow + kLife)};
  record.rotation->exclusions = {
      {"spiffe://cluster.local/a", RotationStep::kDistributed, "operator", kNow}};
  const auto blockers = BlockersOf(record, RotationMove::kActivate, fleet, kNow);
  ASSERT_THAT(blockers, SizeIs(1));
  EXPECT_EQ(blockers[0].agent, "spiffe://cluster.local/b");
}

TEST(RotationStepsTest, AnExclusionHoldsForTheOneMoveItWasGivenFor) {
  const std::string id = "spiffe://cluster.local/a";
  TrustRecord record = At(RotationStep::kDistributed);
  FleetView fleet;
  fleet.agents = {Agent(id, false, 'a', kNow + kLife)};
  record.rotation->exclusions = {{id, RotationStep::kDistributed, "operator", kNow}};
  ASSERT_THAT(BlockersOf(record, RotationMove::kActivate, fleet, kNow), IsEmpty());
  record = AfterMove(record, RotationMove::kActivate, kNow);
  // It says afterwards who it was.
  ASSERT_THAT(record.rotation->exclusions, SizeIs(1));
  EXPECT_TRUE(record.rotation->exclusions[0].over);
  // Not the same move again,
  const TrustRecord back = AfterMove(record, RotationMove::kRollback, kNow);
  EXPECT_THAT(BlockersOf(back, RotationMove::kActivate, fleet, kNow), SizeIs(1));
  // nor another one,
  record = AfterMove(record, RotationMove::kTaint, kNow);
  EXPECT_THAT(BlockersOf(record, RotationMove::kRevoke, fleet, kNow), SizeIs(2));
  // nor in a record of before exclusions could be over.
  record.rotation->exclusions[0].over = false;
  EXPECT_THAT(BlockersOf(record, RotationMove::kRevoke, fleet, kNow), SizeIs(2));
}

TEST(RotationStepsTest, AnExclusionFromARollbackIsNoneFromTheWayForward) {
  TrustRecord record = AfterMove(At(RotationStep::kActive), RotationMove::kRollback, kNow);
  FleetView fleet;
  fleet.agents = {Agent("spiffe://cluster.local/a", false, 'b', kNow + kLife)};
  record.rotation->exclusions = {{"spiffe://cluster.local/a", RotationStep::kDistributed,
                                  "operator", kNow, /*rollback=*/true}};
  EXPECT_THAT(BlockersOf(record, RotationMove::kRollback, fleet, kNow), IsEmpty());
  EXPECT_THAT(BlockersOf(record, RotationMove::kActivate, fleet, kNow), SizeIs(1));
}

TEST(RotationStepsTest, AnExclusionMayBeOfOneAgentOfAnIdentity) {
  const std::string id = "spiffe://cluster.local/a";
  TrustRecord record = At(RotationStep::kDistributed);
  FleetView fleet;
  fleet.agents = {Agent(id, false, 'a', kNow + kLife), Agent(id, false, 'a', kNow + kLife),
                  Agent(id, false, 'a', kNow + kLife)};
  fleet.agents[1].address = "10.0.0.11:4711";
  fleet.agents[2].address = "[fd00::1]:4711";
  fleet.absent = {{id, Root('a').id, kNow + kLife}};
  record.rotation->exclusions = {{id + "@10.0.0.1", RotationStep::kDistributed, "operator", kNow},
                                 {id + "@[fd00::1]", RotationStep::kDistributed, "operator", kNow}};
  const auto blockers = BlockersOf(record, RotationMove::kActivate, fleet, kNow);
  ASSERT_THAT(blockers, SizeIs(2));
  EXPECT_EQ(blockers[0].address, "");
  EXPECT_EQ(blockers[1].address, "10.0.0.11:4711");
}

TEST(RotationStepsTest, RevocationWaitsForEveryCertificateOfTheOldRoot) {
  const TrustRecord record = At(RotationStep::kTainted);
  FleetView fleet;
  fleet.agents = {Agent("spiffe://cluster.local/renewed", true, 'b', kNow + kLife),
                  Agent("spiffe://cluster.local/old", true, 'a', kNow + kLife)};
  fleet.absent = {{"spiffe://cluster.local/away", Root('a').id, kNow + kLife / 2},
                  {"spiffe://cluster.local/away", Root('b').id, kNow + kLife}};
  const absl::Time now = kNow + absl::Minutes(10);
  auto blockers = BlockersOf(record, RotationMove::kRevoke, fleet, now);
  ASSERT_THAT(blockers, SizeIs(2));
  EXPECT_EQ(blockers[0].agent, "spiffe://cluster.local/away");
  EXPECT_EQ(blockers[0].until, kNow + kLife / 2);
  EXPECT_EQ(blockers[1].agent, "spiffe://cluster.local/old");
  EXPECT_EQ(blockers[1].until, kNow + kLife);
  EXPECT_THAT(BlockersOf(record, RotationMove::kRevoke, fleet, kNow + kLife), IsEmpty());
  // And for who would not trust anybody afterwards.
  fleet.agents = {Agent("spiffe://cluster.local/deaf", false, 'b', kNow + kLife)};
  fleet.absent.clear();
  EXPECT_THAT(BlockersOf(record, RotationMove::kRevoke, fleet, kNow + 2 * kLife), SizeIs(1));
}

// New pods and operators go by that file.
TEST(RotationStepsTest, AFileOfTheTrustBundleThatIsNotWrittenKeepsMovesBackByName) {
  FleetView fleet;
  fleet.without_file = {
      {ControlPlaneFileAgent("a"), "cannot write --trust_bundle_out /b.pem: full"}};
  for (RotationStep step : {RotationStep::kDistributed, RotationStep::kTainted}) {
    TrustRecord record = At(step);
    const RotationMove move = NextMove(record);
    const auto blockers = BlockersOf(record, move, fleet, kNow + 2 * kLife);
    ASSERT_THAT(blockers, SizeIs(1));
    EXPECT_EQ(blockers[0].agent, "controlplane:a/trust_bundle_out");
    EXPECT_THAT(blockers[0].reason, HasSubstr("/b.pem: full"));
    EXPECT_EQ(blockers[0].until, absl::InfiniteFuture());
    record.rotation->exclusions = {{blockers[0].agent, step, "operator", kNow}};
    EXPECT_THAT(BlockersOf(record, move, fleet, kNow + 2 * kLife), IsEmpty());
    // Whoever does without the file does not do without the rest, nor the other way round.
    FleetView behind = fleet;
    behind.control_planes = {{ControlPlaneAgent("a"), "has not been heard of"}};
    const auto rest = BlockersOf(record, move, behind, kNow + 2 * kLife);
    ASSERT_THAT(rest, SizeIs(1));
    EXPECT_EQ(rest[0].agent, "controlplane:a");
    record.rotation->exclusions[0].agent = rest[0].agent;
    const auto file = BlockersOf(record, move, behind, kNow + 2 * kLife);
    ASSERT_THAT(file, SizeIs(1));
    EXPECT_EQ(file[0].agent, "controlplane:a/trust_bundle_out");
  }
  // Nothing is lost by these.
  for (RotationStep step : {RotationStep::kPrepared, RotationStep::kActive}) {
    const TrustRecord record = At(step);
    EXPECT_THAT(BlockersOf(record, NextMove(record), fleet, kNow + 2 * kLife), IsEmpty());
    EXPECT_THAT(BlockersOf(record, RotationMove::kRollback, fleet, kNow + 2 * kLife), IsEmpty());
  }
}

TEST(RotationStepsTest, AnAutomaticRotationWaitsForConnectionsToEnd) {
  TrustRecord record = At(RotationStep::kTainted);
  const absl::Time now = *record.rotation->activated_at + absl::Minutes(1);
  EXPECT_THAT(BlockersOf(record, RotationMove::kRevoke, {}, now), IsEmpty());
  record.rotation->automatic = true;
  const auto blockers = BlockersOf(record, RotationMove::kRevoke, {}, now);
  ASSERT_THAT(blockers, SizeIs(1));
  EXPECT_EQ(blockers[0].agent, kOpenConnections);
  EXPECT_THAT(BlockersOf(record, RotationMove::kRevoke, {}, blockers[0].until), IsEmpty());
}

TEST(RotationStepsTest, AControlPlaneThatCannotBeAskedKeepsEveryGateShut) {
  FleetView fleet;
  fleet.control_planes = {{ControlPlaneAgent("b"), "has not been heard of", kNow + kLife}};
  const TrustRecord back =
      AfterMove(At(RotationStep::kActive), RotationMove::kRollback, kNow - kLife);
  for (const auto& [record, move] :
       {std::pair(At(RotationStep::kDistributed), RotationMove::kActivate),
        std::pair(At(RotationStep::kTainted), RotationMove::kRevoke),
        std::pair(back, RotationMove::kRollback)}) {
    const auto blockers = BlockersOf(record, move, fleet, kNow);
    ASSERT_THAT(blockers, SizeIs(1)) << RotationMoveName(move);
    EXPECT_EQ(blockers[0].agent, "controlplane:b");
    EXPECT_THAT(BlockersOf(record, move, fleet, kNow + kLife), IsEmpty());
    TrustRecord excluded = record;
    excluded.rotation->exclusions = {{"controlplane:b", record.rotation->step, "operator", kNow,
                                      move == RotationMove::kRollback}};
    EXPECT_THAT(BlockersOf(excluded, move, fleet, kNow), IsEmpty());
  }
}

// When a move was made is written down by a clock, and later gates go by that.
TEST(RotationStepsTest, NoMoveIsMadeByAClockThatAnotherContradicts) {
  FleetView fleet;
  fleet.control_planes = {{ControlPlaneAgent("b"), "has a clock that is 2h ahead"}};
  fleet.control_planes[0].other_clock = true;
  for (const auto& [step, move] : {std::pair(RotationStep::kPrepared, RotationMove::kDistribute),
                                   std::pair(RotationStep::kDistributed, RotationMove::kActivate),
                                   std::pair(RotationStep::kActive, RotationMove::kTaint),
                                   std::pair(RotationStep::kTainted, RotationMove::kRevoke)}) {
    TrustRecord record = At(step);
    const auto blockers = BlockersOf(record, move, fleet, kNow + kLife);
    ASSERT_THAT(blockers, SizeIs(1)) << RotationMoveName(move);
    EXPECT_EQ(blockers[0].agent, "controlplane:b");
    EXPECT_EQ(blockers[0].reason, "has a clock that is 2h ahead");
    record.rotation->exclusions = {{"controlplane:b", step, "operator", kNow}};
    EXPECT_THAT(BlockersOf(record, move, fleet, kNow + kLife), IsEmpty());
  }
}

TEST(RotationStepsTest, MovesWithoutAGateWaitForNobody) {
  FleetView fleet;
  fleet.control_planes = {{ControlPlaneAgent("b"), "has not been heard of"}};
  fleet.agents = {Agent("spiffe://cluster.local/slow", false, 'a', kNow + kLife)};
  fleet.complete_since = kNow;
  EXPECT_THAT(BlockersOf(Idle(), RotationMove::kPrepare, fleet, kNow), IsEmpty());
  EXPECT_THAT(BlockersOf(At(RotationStep::kPrepared), RotationMove::kDistribute, fleet, kNow),
              IsEmpty());
  EXPECT_THAT(BlockersOf(At(RotationStep::kActive), RotationMove::kTaint, fleet, kNow), IsEmpty());
  for (RotationStep step : {RotationStep::kPrepared, RotationStep::kDistributed,
                            RotationStep::kActive, RotationStep::kTainted}) {
    EXPECT_THAT(BlockersOf(At(step), RotationMove::kRollback, fleet, kNow), IsEmpty());
  }
}

TEST(RotationStepsTest, RollbackGoesBackOneStepAtATime) {
  const TrustRecord from_tainted =
      AfterMove(At(RotationStep::kTainted), RotationMove::kRollback, kNow);
  EXPECT_EQ(from_tainted.rotation->step, RotationStep::kActive);
  EXPECT_EQ(EffectOf(from_tainted).tainted, nullptr);
  EXPECT_EQ(EffectOf(from_tainted).signer, &from_tainted.rotation->next);

  const TrustRecord from_active = AfterMove(from_tainted, RotationMove::kRollback, kNow);
  EXPECT_EQ(from_active.rotation->step, RotationStep::kDistributed);
  EXPECT_EQ(EffectOf(from_active).signer, &from_active.current);
  EXPECT_THAT(EffectOf(from_active).trusted, SizeIs(2));
  EXPECT_EQ(EffectOf(from_active).tainted, &from_active.rotation->next);

  const TrustRecord from_distributed = AfterMove(from_active, RotationMove::kRollback, kNow);
  EXPECT_FALSE(from_distributed.rotation.has_value());
  EXPECT_EQ(from_distributed.current.id, Idle().current.id);

  const TrustRecord from_prepared =
      AfterMove(At(RotationStep::kPrepared), RotationMove::kRollback, kNow);
  EXPECT_FALSE(from_prepared.rotation.has_value());
  // The name of a root is never given twice.
  EXPECT_EQ(from_prepared.root_count, 2u);
}

TEST(RotationStepsTest, ARootThatHasSignedLeavesTheBundlesWhenItsCertificatesHaveEnded) {
  const absl::Time back = kNow + absl::Hours(1);
  const TrustRecord record = AfterMove(At(RotationStep::kActive), RotationMove::kRollback, back);
  FleetView fleet;
  fleet.agents = {Agent("spiffe://cluster.local/new", true, 'b', back + kLife),
                  Agent("spiffe://cluster.local/old", true, 'a', back + kLife)};
  const auto blockers = BlockersOf(record, RotationMove::kRollback, fleet, back);
  ASSERT_THAT(blockers, SizeIs(1));
  EXPECT_EQ(blockers[0].agent, "spiffe://cluster.local/new");
  EXPECT_EQ(blockers[0].until, back + kLife);
  // A process that knows nobody waits for as long as one can live.
  fleet.agents.clear();
  fleet.complete_since = back + absl::Minutes(1);
  ASSERT_THAT(BlockersOf(record, RotationMove::kRollback, fleet, back + kLife), SizeIs(1));
  EXPECT_THAT(BlockersOf(record, RotationMove::kRollback, fleet, back + kLife + absl::Seconds(5)),
              IsEmpty());
}

TEST(RotationStepsTest, ForwardAgainAfterARollback) {
  TrustRecord record =
      AfterMove(At(RotationStep::kActive), RotationMove::kRollback, kNow + absl::Hours(1));
  EXPECT_EQ(NextMove(record), RotationMove::kActivate);
  record = AfterMove(record, RotationMove::kActivate, kNow + absl::Hours(2));
  EXPECT_EQ(EffectOf(record).tainted, nullptr);
  // The current root has signed until then.
  EXPECT_EQ(record.rotation->activated_at, kNow + absl::Hours(2));
}

TEST(RotationStepsTest, ReadsTheNamesItWrites) {
  for (RotationMove move :
       {RotationMove::kPrepare, RotationMove::kDistribute, RotationMove::kActivate,
        RotationMove::kTaint, RotationMove::kRevoke, RotationMove::kRollback}) {
    auto parsed = ParseRotationMove(RotationMoveName(move));
    ASSERT_THAT(parsed, IsOk());
    EXPECT_EQ(*parsed, move);
  }
  EXPECT_THAT(ParseRotationMove("undo"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rollback")));
}

TEST(LifeCapTest, AShorterLifeCountsOnceTheLongerOneHasEnded) {
  TrustRecord record = Idle();
  EXPECT_FALSE(SetLifeCap(kLife, kNow, &record));
  EXPECT_EQ(LatestEnd(record, kNow), kNow + kLife);
  EXPECT_TRUE(SetLifeCap(absl::Minutes(1), kNow, &record));
  EXPECT_EQ(LatestEnd(record, kNow), kNow + kLife);
  // A process with the former life may be there for a while.
  EXPECT_EQ(LatestEnd(record, kNow + absl::Hours(5)), kNow + absl::Hours(5) + absl::Minutes(1));
  EXPECT_TRUE(SetLifeCap(kLife, kNow + absl::Hours(5), &record));
  EXPECT_THAT(record.life_caps, SizeIs(2));
}

}  // namespace
}  // namespace byrnie
