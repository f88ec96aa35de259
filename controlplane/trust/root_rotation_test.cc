#include "controlplane/trust/root_rotation.h"

#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/crypto/private_key.h"
#include "common/identity/svid_verifier.h"
#include "common/identity/trust_bundle.h"
#include "controlplane/trust/testing/memory_trust_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using Crash = MemoryTrustStore::Crash;

class FakeFleet final : public FleetSource {
 public:
  FleetView View(const RotationStanding&, absl::Time) override { return view; }
  FleetView view;
};

SecretBytes Secret(std::string text) { return SecretBytes::TakeFrom(&text); }
std::shared_ptr<const SealingKey> Key(char first) {
  return *SealingKey::Parse(Secret(first + std::string(63, '1')));
}

class RootRotationTest : public ::testing::Test {
 protected:
  // As the process does that starts.
  void StartProcess(KeySeal seal = KeySeal()) {
    rotation_ = nullptr;
    auto rotation = TryToStart(std::move(seal));
    ASSERT_THAT(rotation, IsOk());
    rotation_ = *std::move(rotation);
    rotation_->Start(&fleet_, [this] { ++changes_; });
  }
  absl::StatusOr<std::unique_ptr<RootRotation>> TryToStart(KeySeal seal = KeySeal(),
                                                           std::string domain = "cluster.local") {
    return RootRotation::LoadOrCreate(
        &store_, RootRotation::Options{std::move(domain), absl::Hours(1), std::move(seal)}, &clock_,
        &logger_);
  }
  absl::StatusOr<RotationStatus> Rotate(absl::optional<RotationMove> move,
                                        std::vector<std::string> exclusions = {},
                                        bool dry_run = false) {
    clock_.Advance(absl::Minutes(1));
    return rotation_->Rotate({move, std::move(exclusions), "the test", dry_run});
  }
  // Whether a certificate the process signs now is good by what it publishes now.
  void ExpectSane() {
    const AuthoritySnapshotPtr snapshot = rotation_->snapshot();
    auto bundles = TrustBundleSet::Create({{"cluster.local", {snapshot->roots}}});
    ASSERT_THAT(bundles, IsOk());
    auto key = PrivateKey::Generate();
    for (const SigningAuthorityPtr& signer : {snapshot->signer, snapshot->server_signer}) {
      auto chain =
          signer->Sign(*SpiffeId::Parse("spiffe://cluster.local/a"), (*key)->PublicKeyDer(),
                       clock_.WallNow(), clock_.WallNow() + absl::Hours(1));
      ASSERT_THAT(chain, IsOk());
      EXPECT_THAT(VerifySvid(*chain, *bundles, clock_.WallNow()), IsOk());
    }
  }
  void AddSlowAgent() {
    FleetView::Agent agent;
    agent.id = "spiffe://cluster.local/slow";
    agent.address = "10.0.0.9:1";
    agent.root = signer();
    agent.not_after = clock_.WallNow() + absl::Hours(1);
    fleet_.view.agents = {agent};
  }
  absl::optional<RotationStep> step() const { return rotation_->Status().step; }
  std::string signer() const { return rotation_->snapshot()->signer->root_id(); }

  FakeClock clock_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MemoryTrustStore store_;
  FakeFleet fleet_;
  std::unique_ptr<RootRotation> rotation_;
  int changes_ = 0;
};

TEST_F(RootRotationTest, MakesARootForTenYearsAndKeepsIt) {
  StartProcess();
  const std::string first = signer();
  const CertificatePtr root = rotation_->snapshot()->signer->root();
  EXPECT_EQ(root->not_after(), clock_.WallNow() + RootRotation::kRootLifetime);
  EXPECT_THAT(root->Subject(), HasSubstr("Byrnie root of cluster.local"));
  ExpectSane();
  StartProcess();
  EXPECT_EQ(signer(), first);
  EXPECT_EQ(store_.commits(), 1);
}

TEST_F(RootRotationTest, RefusesTheStoreOfAnotherTrustDomain) {
  StartProcess();
  EXPECT_THAT(TryToStart(KeySeal(), "other.org"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("cluster.local"), HasSubstr("--trust_domain"))));
}

TEST_F(RootRotationTest, RefusesARootThatHasExpired) {
  StartProcess();
  clock_.Advance(RootRotation::kRootLifetime);
  EXPECT_THAT(TryToStart(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expired")));
}

TEST_F(RootRotationTest, AFailingStoreMakesNoAuthority) {
  store_.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_THAT(TryToStart(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("disk on fire")));
}

TEST_F(RootRotationTest, BeginsWithTheRootOfBeforeThereWereRecords) {
  StartProcess();
  const RootRecord before = DecodeTrustRecord(store_.bytes())->current;
  MemoryTrustStore empty;
  auto rotation = RootRotation::LoadOrCreate(
      &empty, RootRotation::Options{"cluster.local", absl::Hours(1), KeySeal()}, &clock_, &logger_,
      before);
  ASSERT_THAT(rotation, IsOk());
  EXPECT_EQ((*rotation)->snapshot()->signer->root_id(), before.id);
  EXPECT_EQ(empty.commits(), 1);
}

TEST_F(RootRotationTest, ThreeRotationsInARowEachWithANewKey) {
  StartProcess();
  std::vector<std::string> roots = {signer()};
  for (int i = 0; i < 3; ++i) {
    for (RotationMove move :
         {RotationMove::kPrepare, RotationMove::kDistribute, RotationMove::kActivate,
          RotationMove::kTaint, RotationMove::kRevoke}) {
      const int changes = changes_;
      auto status = Rotate(move);
      ASSERT_THAT(status, IsOk());
      EXPECT_TRUE(status->moved);
      EXPECT_EQ(changes_, changes + 1);
      ExpectSane();
    }
    EXPECT_THAT(roots, Not(::testing::Contains(signer())));
    roots.push_back(signer());
  }
  EXPECT_THAT(rotation_->snapshot()->signer->root()->Subject(),
              HasSubstr("Byrnie root 4 of cluster.local"));
  EXPECT_THAT(rotation_->snapshot()->roots, SizeIs(1));
}

TEST_F(RootRotationTest, AnAgentThatDoesNotAcknowledgeIsNamed) {
  StartProcess();
  ASSERT_THAT(Rotate(RotationMove::kPrepare), IsOk());
  ASSERT_THAT(Rotate(RotationMove::kDistribute), IsOk());
  AddSlowAgent();
  EXPECT_THAT(Rotate(RotationMove::kActivate),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("spiffe://cluster.local/slow"), HasSubstr("10.0.0.9:1"),
                             HasSubstr("--exclude"))));
  ASSERT_THAT(rotation_->Status().blockers, SizeIs(1));
  EXPECT_EQ(step(), RotationStep::kDistributed);
  // Not somebody else.
  EXPECT_THAT(Rotate(RotationMove::kActivate, {"spiffe://cluster.local/typo"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("typo")));
  auto status = Rotate(RotationMove::kActivate, {"spiffe://cluster.local/slow"});
  ASSERT_THAT(status, IsOk());
  EXPECT_EQ(step(), RotationStep::kActive);
  ASSERT_THAT(status->exclusions, SizeIs(1));
  EXPECT_EQ(status->exclusions[0].by, "the test");
  EXPECT_EQ(status->exclusions[0].left_out, 1u);
  // The next gate asks again.
  ASSERT_THAT(Rotate(RotationMove::kTaint), IsOk());
  EXPECT_THAT(Rotate(RotationMove::kRevoke),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cluster.local/slow")));
}

TEST_F(RootRotationTest, AnExclusionSaysHowManyItLeavesOut) {
  StartProcess();
  ASSERT_THAT(Rotate(RotationMove::kPrepare), IsOk());
  ASSERT_THAT(Rotate(RotationMove::kDistribute), IsOk());
  AddSlowAgent();
  fleet_.view.agents.push_back(fleet_.view.agents[0]);
  fleet_.view.agents[1].address = "10.0.0.10:1";
  auto status = Rotate(RotationMove::kActivate, {"spiffe://cluster.local/slow"}, /*dry_run=*/true);
  ASSERT_THAT(status, IsOk());
  ASSERT_THAT(status->exclusions, SizeIs(1));
  EXPECT_EQ(status->exclusions[0].left_out, 2u);
  // One of them keeps the move back that the other does not any more.
  EXPECT_THAT(Rotate(RotationMove::kActivate, {"spiffe://cluster.local/slow@10.0.0.9"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("10.0.0.10:1")));
  ASSERT_THAT(rotation_->Status().exclusions, SizeIs(1));
  EXPECT_EQ(rotation_->Status().exclusions[0].left_out, 1u);
  EXPECT_THAT(rotation_->Status().blockers, SizeIs(1));
  // Kept for that move, until it is made.
  fleet_.view.agents.pop_back();
  ASSERT_THAT(Rotate(RotationMove::kActivate), IsOk());
  ASSERT_THAT(Rotate(RotationMove::kRollback), IsOk());
  EXPECT_THAT(Rotate(RotationMove::kActivate),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("10.0.0.9:1")));
}

TEST_F(RootRotationTest, ADryRunSaysAllAndDoesNothing) {
  StartProcess();
  ASSERT_THAT(Rotate(RotationMove::kPrepare), IsOk());
  ASSERT_THAT(Rotate(RotationMove::kDistribute), IsOk());
  AddSlowAgent();
  const std::string before = store_.bytes();
  auto status = Rotate(absl::nullopt, {}, /*dry_run=*/true);
  ASSERT_THAT(status, IsOk());
  EXPECT_EQ(status->move, RotationMove::kActivate);
  EXPECT_FALSE(status->moved);
  EXPECT_THAT(status->consequence, HasSubstr("signs with root"));
  ASSERT_THAT(status->blockers, SizeIs(1));
  EXPECT_EQ(store_.bytes(), before);
  // With an exclusion it says what would be then.
  status = Rotate(RotationMove::kActivate, {"spiffe://cluster.local/slow"}, /*dry_run=*/true);
  ASSERT_THAT(status, IsOk());
  EXPECT_THAT(status->blockers, IsEmpty());
  EXPECT_EQ(store_.bytes(), before);
}

TEST_F(RootRotationTest, AnAutomaticRotationGoesAllTheWayAsGatesOpen) {
  StartProcess();
  const std::string old_root = signer();
  auto status = Rotate(absl::nullopt);
  ASSERT_THAT(status, IsOk());
  EXPECT_TRUE(status->automatic);
  EXPECT_EQ(step(), RotationStep::kPrepared);
  AddSlowAgent();
  for (int i = 0; i < 3; ++i) EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), RotationStep::kDistributed);
  fleet_.view.agents[0].trusts_next = true;
  for (int i = 0; i < 3; ++i) EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), RotationStep::kTainted);
  EXPECT_EQ(rotation_->snapshot()->tainted_root, old_root);
  fleet_.view.agents[0].root = signer();
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  // Connections that were made with certificates of the old root may be open.
  EXPECT_EQ(step(), RotationStep::kTainted);
  ASSERT_THAT(rotation_->Status().blockers, SizeIs(1));
  EXPECT_EQ(rotation_->Status().blockers[0].agent, kOpenConnections);
  clock_.Advance(rotation_->Status().blockers[0].until - clock_.WallNow());
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), absl::nullopt);
  EXPECT_NE(signer(), old_root);
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), absl::nullopt);
}

class ClockJumpTest : public RootRotationTest {
 protected:
  // An automatic rotation waits for the certificate of one that is away.
  void Begin() {
    StartProcess();
    fleet_.view.absent = {{"spiffe://cluster.local/away", signer(), clock_.WallNow() + kLife}};
    ASSERT_THAT(Rotate(absl::nullopt), IsOk());
    ASSERT_THAT(rotation_->Refresh(), IsOk());
    ASSERT_THAT(rotation_->Refresh(), IsOk());
    ASSERT_EQ(step(), RotationStep::kDistributed);
  }
  std::string Reason() const {
    const RotationStatus status = rotation_->Status();
    return status.blockers.empty() ? "" : status.blockers[0].reason;
  }

  static constexpr absl::Duration kLife = absl::Hours(1);
};

TEST_F(ClockJumpTest, OpensNoGate) {
  Begin();
  const absl::Time right = clock_.WallNow();
  clock_.SetWall(right + 2 * kLife);
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), RotationStep::kDistributed);
  EXPECT_THAT(Reason(), AllOf(HasSubstr("clock says is over; it has jumped 2h ahead"),
                              HasSubstr("unless it is set back in 1h")));
  EXPECT_THAT(rotation_->Rotate({RotationMove::kActivate, {}, "the test", false}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("it has jumped 2h ahead")));
  clock_.SetWall(right);
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), RotationStep::kDistributed);
  EXPECT_THAT(Reason(), AllOf(HasSubstr("is not connected"), Not(HasSubstr("jumped"))));
}

TEST_F(ClockJumpTest, IsBelievedWhenItStays) {
  Begin();
  ASSERT_THAT(rotation_->Rotate({absl::nullopt, {}, "the test", false}), IsOk());
  clock_.SetWall(clock_.WallNow() + 2 * kLife);
  // What has ended by the time that goes on meanwhile is over all the same.
  fleet_.view.absent[0].not_after += 2 * kLife;
  ASSERT_THAT(rotation_->Refresh(), IsOk());
  clock_.Advance(SettledTime::kSettle - absl::Seconds(1));
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), RotationStep::kDistributed);
  EXPECT_THAT(Reason(), HasSubstr("set back in 1s"));
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), RotationStep::kActive);
}

TEST_F(ClockJumpTest, DoesNotKeepBackAProcessThatIsStartedAgainAndAgain) {
  Begin();
  fleet_.view.absent[0].not_after = clock_.WallNow() + absl::Seconds(10);
  for (int i = 0; i < 6; ++i) {
    clock_.Advance(absl::Seconds(2));
    StartProcess();
  }
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), RotationStep::kActive);
}

TEST_F(ClockJumpTest, OfAProcessThatStartsInBetweenOpensNoGateEither) {
  Begin();
  clock_.SetWall(clock_.WallNow() + 2 * kLife);
  StartProcess();
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), RotationStep::kDistributed);
  EXPECT_THAT(Reason(), HasSubstr("or the process was away so long"));
  clock_.Advance(SettledTime::kSettle);
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), RotationStep::kActive);
}

// A control plane that does not live for an hour, and what waits for the end of a certificate.
class RestartedTest : public ClockJumpTest {
 protected:
  static constexpr absl::Duration kUp = absl::Minutes(50);

  void Begin() {
    ClockJumpTest::Begin();
    ends_ = fleet_.view.absent[0].not_after = clock_.WallNow() + absl::Hours(3);
    began_ = clock_.MonotonicNow();
  }
  absl::Duration Elapsed() const { return clock_.MonotonicNow() - began_; }
  // Runs for kUp, or until the gate has opened.
  void Run() {
    const absl::Duration end = clock_.MonotonicNow() + kUp;
    while (clock_.MonotonicNow() < end && step() == RotationStep::kDistributed) {
      clock_.Advance(absl::Seconds(10));
      ASSERT_THAT(rotation_->Refresh(), IsOk());
    }
  }
  // Until the gate has opened, for six hours at most.
  void RunAndRestart(absl::Duration down) {
    while (Elapsed() < absl::Hours(6)) {
      Run();
      if (step() != RotationStep::kDistributed) return;
      clock_.Advance(down);
      StartProcess();
    }
  }

  absl::Time ends_;
  absl::Duration began_;
};

TEST_F(RestartedTest, ItsGateOpensWhenTheCertificateEnds) {
  Begin();
  RunAndRestart(absl::Seconds(30));
  EXPECT_EQ(step(), RotationStep::kActive);
  EXPECT_GE(clock_.WallNow(), ends_);
  EXPECT_LE(clock_.WallNow(), ends_ + absl::Seconds(40));
}

// As Kubernetes does with one that crashes at once.
TEST_F(RestartedTest, AlsoWhereItIsHardlyEverThere) {
  Begin();
  while (step() == RotationStep::kDistributed && Elapsed() < absl::Hours(6)) {
    clock_.Advance(absl::Minutes(5));
    StartProcess();
    clock_.Advance(absl::Seconds(10));
    ASSERT_THAT(rotation_->Refresh(), IsOk());
  }
  EXPECT_EQ(step(), RotationStep::kActive);
  EXPECT_GE(clock_.WallNow(), ends_);
  EXPECT_LE(clock_.WallNow(), ends_ + absl::Minutes(6));
}

// Where it was away for longer, nobody knows how long that was but a clock that may be wrong.
TEST_F(RestartedTest, TheTimesThatItWasAwayForLongComeOnTop) {
  Begin();
  RunAndRestart(absl::Minutes(10));
  EXPECT_EQ(step(), RotationStep::kActive);
  EXPECT_GE(Elapsed(), absl::Minutes(180 + 30));
  EXPECT_LE(Elapsed(), absl::Minutes(180 + 35));
}

TEST_F(RestartedTest, AClockThatIsWrongAtEveryStartOpensNothingEarly) {
  Begin();
  clock_.SetWall(clock_.WallNow() + absl::Hours(5));
  StartProcess();
  RunAndRestart(absl::Seconds(30));
  EXPECT_EQ(step(), RotationStep::kActive);
  EXPECT_GE(Elapsed(), absl::Hours(3) - absl::Minutes(1));
}

TEST_F(RestartedTest, AClockThatWasBelievedAndIsSetRightIsForgotten) {
  Begin();
  const absl::Time right = clock_.WallNow();
  clock_.SetWall(right + absl::Hours(1));
  fleet_.view.absent[0].not_after += absl::Hours(3);
  ASSERT_THAT(rotation_->Refresh(), IsOk());
  clock_.Advance(SettledTime::kSettle + absl::Minutes(2));
  ASSERT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_THAT(*store_.LoadTime()->time, clock_.WallNow());
  clock_.SetWall(right + SettledTime::kSettle + absl::Minutes(2));
  clock_.Advance(absl::Minutes(1));
  ASSERT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_THAT(*store_.LoadTime()->time, clock_.WallNow());
  // Else this would be nothing new.
  clock_.SetWall(clock_.WallNow() + absl::Minutes(50));
  StartProcess();
  EXPECT_THAT(rotation_->GateTime(), *store_.LoadTime()->time);
}

// One that was suspended does not take back what others know.
TEST_F(RestartedTest, OneThatIsBehindTheOthersLeavesTheirTime) {
  Begin();
  auto other = *TryToStart();
  other->Start(&fleet_, [] {});
  clock_.SetWall(clock_.WallNow() + absl::Hours(2));
  StartProcess();
  ASSERT_THAT(store_.KeepTime(clock_.WallNow(), store_.LoadTime()->revision,
                              rotation_->standing().revision),
              IsOk());
  clock_.Advance(absl::Minutes(2));
  ASSERT_THAT(other->Refresh(), IsOk());
  EXPECT_THAT(*store_.LoadTime()->time, clock_.WallNow() - absl::Minutes(2));
}

TEST_F(RestartedTest, AClockThatWasWrongAlreadyWhenTheRotationBeganOpensNothing) {
  StartProcess();
  ASSERT_THAT(rotation_->Refresh(), IsOk());
  fleet_.view.absent = {{"spiffe://cluster.local/away", signer(), clock_.WallNow() + kLife}};
  clock_.SetWall(clock_.WallNow() + absl::Hours(5));
  StartProcess();
  ASSERT_THAT(Rotate(RotationMove::kPrepare), IsOk());
  ASSERT_THAT(Rotate(RotationMove::kDistribute), IsOk());
  EXPECT_THAT(Rotate(RotationMove::kActivate),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cluster.local/away")));
  clock_.SetWall(clock_.WallNow() - absl::Hours(5));
  clock_.Advance(kLife);
  EXPECT_THAT(Rotate(RotationMove::kActivate), IsOk());
}

TEST_F(RootRotationTest, TheTimeIsKeptOnceAMinuteByOneOfSeveral) {
  StartProcess();
  auto other = *TryToStart();
  other->Start(&fleet_, [] {});
  int64_t before = 0;
  for (int second = 0; second < 600; ++second) {
    ASSERT_THAT(rotation_->Refresh(), IsOk());
    ASSERT_THAT(other->Refresh(), IsOk());
    if (second == 0) before = store_.LoadTime()->revision;
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_EQ(store_.LoadTime()->revision, before + 9);
  EXPECT_EQ(store_.commits(), 1);
}

TEST_F(RootRotationTest, ARollbackStopsAnAutomaticRotation) {
  StartProcess();
  ASSERT_THAT(Rotate(absl::nullopt), IsOk());
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  ASSERT_EQ(step(), RotationStep::kActive);
  ASSERT_THAT(Rotate(RotationMove::kRollback), IsOk());
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), RotationStep::kDistributed);
  EXPECT_FALSE(rotation_->Status().automatic);
}

TEST_F(RootRotationTest, AnotherProcessFollowsAndIsNotOvertaken) {
  StartProcess();
  auto other = *TryToStart();
  other->Start(&fleet_, [] {});
  ASSERT_THAT(Rotate(RotationMove::kPrepare), IsOk());
  // It believes that there is no rotation, makes a root of its own, and finds that it is late.
  EXPECT_THAT(other->Rotate({RotationMove::kPrepare, {}, "the other", false}),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(other->Status().step, RotationStep::kPrepared);
  ASSERT_THAT(other->Rotate({RotationMove::kDistribute, {}, "the other", false}), IsOk());
  EXPECT_EQ(step(), RotationStep::kPrepared);
  EXPECT_THAT(rotation_->Refresh(), IsOk());
  EXPECT_EQ(step(), RotationStep::kDistributed);
  EXPECT_THAT(rotation_->snapshot()->roots, SizeIs(2));
}

TEST_F(RootRotationTest, AStoreThatIsDownChangesNothing) {
  StartProcess();
  ASSERT_THAT(Rotate(RotationMove::kPrepare), IsOk());
  store_.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_THAT(Rotate(RotationMove::kDistribute), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(rotation_->Refresh(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(step(), RotationStep::kPrepared);
  ExpectSane();
  store_.FailWith(absl::OkStatus());
  ASSERT_THAT(Rotate(RotationMove::kDistribute), IsOk());
}

TEST_F(RootRotationTest, KeysAreSealedFromTheBeginning) {
  StartProcess(KeySeal(Key('a')));
  ASSERT_THAT(Rotate(RotationMove::kPrepare), IsOk());
  const TrustRecord record = *DecodeTrustRecord(store_.bytes());
  EXPECT_TRUE(SealingKey::IsSealed(record.current.stored_key));
  EXPECT_TRUE(SealingKey::IsSealed(record.rotation->next.stored_key));
  EXPECT_THAT(TryToStart(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--store_key")));
  EXPECT_THAT(TryToStart(KeySeal(Key('b'))),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(Key('a')->id())));
  StartProcess(KeySeal(Key('a')));
  ExpectSane();
}

TEST_F(RootRotationTest, AnUnsealedStoreIsSealedAndASealedOneRekeyed) {
  StartProcess();
  ASSERT_THAT(Rotate(RotationMove::kPrepare), IsOk());
  const std::string root = signer();
  StartProcess(KeySeal(Key('a')));
  EXPECT_TRUE(SealingKey::IsSealed(DecodeTrustRecord(store_.bytes())->current.stored_key));
  StartProcess(KeySeal(Key('b'), Key('a')));
  StartProcess(KeySeal(Key('b')));
  EXPECT_EQ(signer(), root);
  ASSERT_THAT(Rotate(RotationMove::kDistribute), IsOk());
  ASSERT_THAT(Rotate(RotationMove::kActivate), IsOk());
  ExpectSane();
}

// A process that is killed around the commit of a move, before each move or after it.
class KilledTest : public RootRotationTest,
                   public ::testing::WithParamInterface<std::tuple<Crash, int>> {};

TEST_P(KilledTest, GoesOnFromWhatTheRecordSays) {
  const auto [crash, killed_at] = GetParam();
  StartProcess();
  const std::string old_root = signer();
  const std::vector<RotationMove> moves = {
      RotationMove::kPrepare,  RotationMove::kDistribute, RotationMove::kActivate,
      RotationMove::kRollback, RotationMove::kActivate,   RotationMove::kTaint,
      RotationMove::kRollback, RotationMove::kTaint,      RotationMove::kRevoke};
  for (size_t i = 0; i < moves.size(); ++i) {
    if (static_cast<int>(i) == killed_at) {
      store_.CrashAtNextCommit(crash);
      const absl::optional<RotationStep> before = step();
      (void)Rotate(moves[i]);
      StartProcess();
      ExpectSane();
      if (crash == Crash::kAfterCommit) continue;
      EXPECT_EQ(step(), before);
    }
    ASSERT_THAT(Rotate(moves[i]), IsOk()) << i;
    ExpectSane();
  }
  EXPECT_EQ(step(), absl::nullopt);
  EXPECT_NE(signer(), old_root);
}

INSTANTIATE_TEST_SUITE_P(EveryMove, KilledTest,
                         ::testing::Combine(::testing::Values(Crash::kBeforeCommit,
                                                              Crash::kAfterCommit),
                                            ::testing::Range(0, 9)));

TEST_F(RootRotationTest, ACommitWhoseAnswerWasLostCountsOnce) {
  StartProcess();
  store_.CrashAtNextCommit(Crash::kAfterCommit);
  ASSERT_THAT(Rotate(RotationMove::kPrepare), IsOk());
  EXPECT_EQ(step(), RotationStep::kPrepared);
  store_.CrashAtNextCommit(Crash::kBeforeCommit);
  EXPECT_THAT(Rotate(RotationMove::kDistribute), StatusIs(absl::StatusCode::kUnknown));
  EXPECT_EQ(step(), RotationStep::kPrepared);
}

}  // namespace
}  // namespace byrnie
