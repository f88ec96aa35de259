#include "controlplane/trust/shared_fleet.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"
#include "common/telemetry/metrics.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/audit/issuance_codec.h"
#include "controlplane/audit/stored_issuances.h"
#include "controlplane/ca/signing_authority.h"
#include "controlplane/ca/testing/self_signed.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/store/testing/memory_store.h"
#include "controlplane/trust/connected_fleet.h"
#include "controlplane/trust/fleet_report.h"
#include "controlplane/trust/peer_clocks.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr absl::Duration kLife = absl::Hours(1);
constexpr absl::Duration kWindow = absl::Minutes(10);

// One of several control planes over the same store, but for its rotation: the test says where that
// stands.
class Plane {
 public:
  Plane(MemoryStore* store, const FakeClock* clock, Logger* logger, const std::string& name,
        const std::string& instance, const std::vector<CertificatePtr>& roots)
      : clock_(clock),
        issuances_(store),
        log_(&issuances_, nullptr, {}, clock, logger, &metrics_),
        bundles_(Bundles(roots)),
        own_(&agents_, &bundles_, &log_, absl::InfinitePast(), kLife),
        fleet_(&own_, store, &log_, {name, instance, kWindow}, clock, logger) {}

  static TrustBundleSet Bundles(const std::vector<CertificatePtr>& roots) {
    return *TrustBundleSet::Create({{"cluster.local", {roots}}});
  }
  void Publish(const std::vector<CertificatePtr>& roots) { bundles_.Publish(Bundles(roots)); }

  // Gives an agent a certificate, as the authority would.
  void Issue(const std::string& serial, const std::string& agent,
             const std::string& replaces = "") {
    IssuanceRecord record;
    record.issued_at = clock_->WallNow();
    record.serial = serial;
    record.identity = absl::StrCat("spiffe://cluster.local/", agent);
    record.root = "current";
    record.not_after = clock_->WallNow() + kLife;
    record.newest_root = bundles_.NewestRoot("cluster.local");
    record.replaces = replaces;
    agents_.holders()->OnIssued({record.serial, record.identity, record.root, record.issued_at,
                                 record.not_after, 0, record.newest_root},
                                replaces);
    EXPECT_THAT(log_.Append(std::move(record)), IsOk());
  }
  void Connect(const std::string& serial, const std::string& agent) {
    agents_.OnStreamOpened(Id(agent), "10.0.0.1:1",
                           {serial, clock_->WallNow() + kLife, "", "current"}, clock_->WallNow());
  }
  void Disconnect(const std::string& agent) {
    agents_.OnStreamClosed(Id(agent), "10.0.0.1:1", clock_->WallNow());
  }
  void Acknowledge(const std::string& agent) {
    agents_.OnBundleAcknowledged(Id(agent), "10.0.0.1:1", bundles_.current().version);
  }
  SharedFleet* fleet() { return &fleet_; }
  void Revoke(const std::string& serial) {
    own_.SetRevoked([serial](const std::string& other) { return other == serial; });
  }

 private:
  static SpiffeId Id(const std::string& agent) {
    return *SpiffeId::Parse(absl::StrCat("spiffe://cluster.local/", agent));
  }

  const FakeClock* const clock_;
  MetricRegistry metrics_;
  StoredIssuances issuances_;
  IssuanceLog log_;
  AgentTable agents_;
  TrustBundleSource bundles_;
  ConnectedFleet own_;
  SharedFleet fleet_;
};

class SharedFleetTest : public ::testing::Test {
 protected:
  SharedFleetTest()
      : current_(SelfSigned("cluster.local", clock_.WallNow())->signer->root()),
        next_(SelfSigned("cluster.local", clock_.WallNow())->signer->root()),
        a_(Start("a", "1")),
        b_(Start("b", "2")) {
    standing_.revision = 1;
    EXPECT_THAT(a_->fleet()->Join(standing_), IsOk());
    EXPECT_THAT(b_->fleet()->Join(standing_), IsOk());
  }
  std::unique_ptr<Plane> Start(const std::string& name, const std::string& instance) {
    return std::make_unique<Plane>(&store_, &clock_, &logger_, name, instance,
                                   std::vector<CertificatePtr>{current_});
  }
  // The next root is published; `plane` has heard of it.
  void Distribute(const std::vector<Plane*>& planes) {
    standing_ = {next_->FingerprintHex(), 2};
    for (Plane* plane : planes) {
      plane->Publish({current_, next_});
      Follow(plane);
    }
  }
  void Follow(Plane* plane) {
    clock_.Advance(SharedFleet::kShortestInterval);
    plane->fleet()->Follow(standing_, clock_.WallNow());
  }
  // Time in which `a` looks as often as one does that runs.
  void Watch(absl::Duration duration) {
    while (duration > absl::ZeroDuration()) {
      const absl::Duration step = std::min(duration, PeerClocks::kLongestBreak);
      clock_.Advance(step);
      (void)a_->fleet()->Peers(clock_.WallNow());
      duration -= step;
    }
  }
  FleetView View(Plane* plane) { return plane->fleet()->View(standing_, clock_.WallNow()); }
  std::vector<std::string> WithoutNextRoot(const FleetView& view) {
    std::vector<std::string> ids;
    for (const FleetView::Agent& agent : view.agents) {
      if (!agent.trusts_next) ids.push_back(agent.id);
    }
    for (const FleetView::Certificate& certificate : view.absent) {
      if (certificate.trusts_next) continue;
      ids.push_back(
          absl::StrCat(certificate.address.empty() ? "holder " : "renewed ", certificate.id));
    }
    return ids;
  }

  FakeClock clock_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MemoryStore store_;
  CertificatePtr current_, next_;
  RotationStanding standing_;
  std::unique_ptr<Plane> a_, b_;
};

TEST_F(SharedFleetTest, AnAgentOfAnotherControlPlaneIsWaitedForByNameAndThenNot) {
  b_->Issue("b1", "far");
  b_->Connect("b1", "far");
  Distribute({a_.get(), b_.get()});
  EXPECT_THAT(View(a_.get()).control_planes, IsEmpty());
  EXPECT_THAT(
      WithoutNextRoot(View(a_.get())),
      UnorderedElementsAre("spiffe://cluster.local/far", "holder spiffe://cluster.local/far"));
  b_->Acknowledge("far");
  Follow(b_.get());
  // Also its certificate, which came before the next root.
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), IsEmpty());
}

// Its proxy stands still: the root came with the certificate, and is in force nowhere.
TEST_F(SharedFleetTest, AnAgentThatRenewsAndSaysNothingIsWaitedForByName) {
  a_->Issue("1", "silent");
  a_->Connect("1", "silent");
  Distribute({a_.get(), b_.get()});
  a_->Issue("2", "silent", "1");
  a_->Disconnect("silent");
  a_->Connect("2", "silent");
  EXPECT_THAT(WithoutNextRoot(View(a_.get())),
              UnorderedElementsAre("spiffe://cluster.local/silent",
                                   "renewed spiffe://cluster.local/silent"));
  Follow(a_.get());
  EXPECT_THAT(WithoutNextRoot(View(b_.get())),
              UnorderedElementsAre("spiffe://cluster.local/silent",
                                   "holder spiffe://cluster.local/silent"));
  // Going away does not help: its proxy goes on with what it had.
  a_->Disconnect("silent");
  Follow(a_.get());
  for (Plane* plane : {a_.get(), b_.get()}) {
    EXPECT_THAT(WithoutNextRoot(View(plane)), ElementsAre("holder spiffe://cluster.local/silent"));
  }
  // Coming back neither.
  a_->Connect("2", "silent");
  EXPECT_THAT(WithoutNextRoot(View(a_.get())),
              UnorderedElementsAre("spiffe://cluster.local/silent",
                                   "renewed spiffe://cluster.local/silent"));
  a_->Acknowledge("silent");
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), IsEmpty());
}

// In a large fleet somebody has always just renewed.
TEST_F(SharedFleetTest, AnAgentThatHasAcknowledgedIsNotWaitedForAfterARenewal) {
  a_->Issue("1", "loud");
  a_->Connect("1", "loud");
  Distribute({a_.get(), b_.get()});
  a_->Acknowledge("loud");
  a_->Issue("2", "loud", "1");
  a_->Disconnect("loud");
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), IsEmpty());
  a_->Connect("2", "loud");
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), IsEmpty());
  Follow(a_.get());
  EXPECT_THAT(WithoutNextRoot(View(b_.get())), IsEmpty());
}

TEST_F(SharedFleetTest, NobodyWaitsForTheHolderOfARevokedCertificate) {
  a_->Issue("1", "stolen");
  a_->Issue("2", "away");
  Distribute({a_.get(), b_.get()});
  EXPECT_THAT(WithoutNextRoot(View(a_.get())),
              UnorderedElementsAre("holder spiffe://cluster.local/stolen",
                                   "holder spiffe://cluster.local/away"));
  a_->Revoke("1");
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), ElementsAre("holder spiffe://cluster.local/away"));
}

TEST_F(SharedFleetTest, ANewAgentIsWaitedForUntilItHasSpoken) {
  Distribute({a_.get(), b_.get()});
  a_->Issue("1", "new");
  a_->Connect("1", "new");
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), ElementsAre("spiffe://cluster.local/new"));
  a_->Acknowledge("new");
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), IsEmpty());
}

TEST_F(SharedFleetTest, AControlPlaneThatHasNotHeardOfTheStepKeepsItBack) {
  Distribute({a_.get()});
  const FleetView view = View(a_.get());
  ASSERT_THAT(view.control_planes, SizeIs(1));
  EXPECT_EQ(view.control_planes[0].agent, "controlplane:b");
  EXPECT_THAT(view.control_planes[0].reason, HasSubstr("has not taken in"));
  Distribute({b_.get()});
  EXPECT_THAT(View(a_.get()).control_planes, IsEmpty());
}

// It may have gone on issuing for that long, and what it issued lives.
TEST_F(SharedFleetTest, OneThatIsSilentIsWaitedForUntilAllItMayHaveIssuedHasEnded) {
  Distribute({a_.get()});
  const absl::Time until = View(a_.get()).control_planes[0].until;
  EXPECT_GE(until, clock_.WallNow() + kWindow + kLife);
  EXPECT_LE(until, clock_.WallNow() + SharedFleet::kBeat + kWindow + kLife);
  Watch(until - absl::Seconds(1) - clock_.WallNow());
  EXPECT_THAT(View(a_.get()).control_planes, SizeIs(1));
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(View(a_.get()).control_planes, IsEmpty());
}

// Nobody could write meanwhile: whoever looks first does not know who has gone.
TEST_F(SharedFleetTest, AfterTheStoreWasAwayOthersAreWaitedForUntilTheySpeak) {
  Distribute({a_.get(), b_.get()});
  EXPECT_THAT(View(a_.get()).control_planes, IsEmpty());
  clock_.Advance(SharedFleet::kSilent + absl::Minutes(2));
  ASSERT_THAT(View(a_.get()).control_planes, SizeIs(1));
  EXPECT_EQ(View(a_.get()).control_planes[0].agent, "controlplane:b");
  Follow(b_.get());
  EXPECT_THAT(View(a_.get()).control_planes, IsEmpty());
}

TEST_F(SharedFleetTest, OthersAreThoseThatWereHeardOfLately) {
  Distribute({a_.get(), b_.get()});
  EXPECT_THAT(*a_->fleet()->Others(clock_.WallNow()), ElementsAre("b"));
  EXPECT_THAT(*b_->fleet()->Others(clock_.WallNow()), ElementsAre("a"));
  EXPECT_THAT(*a_->fleet()->Others(clock_.WallNow() + SharedFleet::kSilent + absl::Seconds(1)),
              IsEmpty());
  b_->fleet()->Leave();
  EXPECT_THAT(*a_->fleet()->Others(clock_.WallNow()), IsEmpty());
}

TEST_F(SharedFleetTest, OneThatEndsCleanlyIsNotWaitedFor) {
  Distribute({a_.get()});
  b_->fleet()->Leave();
  EXPECT_THAT(View(a_.get()).control_planes, IsEmpty());
}

TEST_F(SharedFleetTest, OneThatStartsAgainTakesItsOwnPlace) {
  Distribute({a_.get()});
  b_ = Start("b", "3");
  b_->Publish({current_, next_});
  ASSERT_THAT(b_->fleet()->Join(standing_), IsOk());
  EXPECT_THAT(View(a_.get()).control_planes, IsEmpty());
}

TEST_F(SharedFleetTest, TwoOfOneNameAreBothHeardInTheEnd) {
  auto other = Start("a", "4");
  ASSERT_THAT(other->fleet()->Join(standing_), IsOk());
  Distribute({b_.get()});
  EXPECT_THAT(View(b_.get()).control_planes, SizeIs(1));
  // The first one finds that it is gone.
  (void)View(a_.get());
  a_->fleet()->Follow({"", 1}, clock_.WallNow());
  EXPECT_THAT(View(b_.get()).control_planes, SizeIs(2));
}

TEST_F(SharedFleetTest, AgentsOfOneThatHasDiedAreWaitedForByTheirCertificates) {
  b_->Issue("b1", "far");
  b_->Connect("b1", "far");
  Distribute({a_.get(), b_.get()});
  Watch(SharedFleet::kSilent + absl::Minutes(1));
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), ElementsAre("holder spiffe://cluster.local/far"));
  // At another control plane it is itself again.
  a_->Connect("b1", "far");
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), ElementsAre("spiffe://cluster.local/far"));
  a_->Acknowledge("far");
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), IsEmpty());
}

TEST_F(SharedFleetTest, MoreAgentsThanAReportHoldsAreCounted) {
  for (size_t i = 0; i < FleetReport::kMaxWaiting + 5; ++i) {
    b_->Connect(absl::StrCat("b", i), absl::StrCat("far", i));
  }
  Distribute({a_.get(), b_.get()});
  const FleetView view = View(a_.get());
  EXPECT_THAT(view.agents, SizeIs(FleetReport::kMaxWaiting));
  ASSERT_THAT(view.control_planes, SizeIs(1));
  EXPECT_THAT(view.control_planes[0].reason, HasSubstr("has 5 more agents"));
}

TEST_F(SharedFleetTest, WhatIsIssuedWithTheNextRootIsNotWaitedFor) {
  Distribute({a_.get(), b_.get()});
  b_->Issue("b1", "new");
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), IsEmpty());
}

// However late: not by when it was issued, but by what came with it.
TEST_F(SharedFleetTest, WhatIsIssuedBySomebodyWhoHasNotHeardOfTheNextRootIsWaitedFor) {
  Distribute({a_.get()});
  clock_.Advance(absl::Minutes(9));
  b_->Issue("b1", "new");
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), ElementsAre("holder spiffe://cluster.local/new"));
}

TEST_F(SharedFleetTest, AStoreThatCannotBeAskedShutsTheGate) {
  Distribute({a_.get(), b_.get()});
  store_.FailWith(absl::UnavailableError("no route to the store"));
  const FleetView view = View(a_.get());
  ASSERT_THAT(view.control_planes, SizeIs(1));
  EXPECT_EQ(view.control_planes[0].until, absl::InfiniteFuture());
  EXPECT_THAT(view.control_planes[0].reason, HasSubstr("no route"));
}

TEST_F(SharedFleetTest, KnowsWhoElseThereIsAndWhoIsSilent) {
  const auto peers = [this] { return *a_->fleet()->Peers(clock_.WallNow()); };
  ASSERT_THAT(peers(), SizeIs(1));
  EXPECT_EQ(peers()[0].name, "b");
  EXPECT_EQ(peers()[0].heard_of, clock_.WallNow());
  EXPECT_FALSE(peers()[0].silent);
  EXPECT_THAT(*a_->fleet()->Others(clock_.WallNow()), ElementsAre("b"));
  Watch(SharedFleet::kSilent + absl::Seconds(1));
  ASSERT_THAT(peers(), SizeIs(1));
  EXPECT_TRUE(peers()[0].silent);
  EXPECT_THAT(*a_->fleet()->Others(clock_.WallNow()), IsEmpty());
  Watch(kWindow + kLife);
  EXPECT_THAT(peers(), IsEmpty()) << "nothing it has issued is left";
  store_.FailWith(absl::UnavailableError("no route to the store"));
  EXPECT_FALSE(a_->fleet()->Peers(clock_.WallNow()).ok());
}

TEST_F(SharedFleetTest, WhatIsForgottenIsTakenOutOfTheStore) {
  EXPECT_THAT(*a_->fleet()->Others(clock_.WallNow()), ElementsAre("b"));
  Watch(SharedFleet::kBeat + kWindow + kLife + SharedFleet::kBeat);
  a_->fleet()->Follow(standing_, clock_.WallNow());
  StoredFleetReports reports(&store_);
  std::vector<UnreadableReport> unreadable;
  const auto left = reports.List(&unreadable);
  ASSERT_THAT(*left, SizeIs(1));
  EXPECT_EQ(left->front().name, "a");
  EXPECT_THAT(unreadable, IsEmpty());
}

TEST_F(SharedFleetTest, AReportThatCannotBeReadShutsTheGateAndNothingElse) {
  ASSERT_THAT(store_.Commit(StoreTransaction().Put("controlplanes/c/3", "\xff")), IsOk());
  EXPECT_THAT(Start("d", "4")->fleet()->Join(standing_), IsOk());
  EXPECT_THAT(*a_->fleet()->Others(clock_.WallNow()), ElementsAre("b", "d"));
  const FleetView view = View(a_.get());
  ASSERT_THAT(view.control_planes, SizeIs(1));
  EXPECT_EQ(view.control_planes[0].agent, "controlplane:c");
  EXPECT_THAT(view.control_planes[0].reason, HasSubstr("controlplanes/c/3"));
  EXPECT_EQ(view.control_planes[0].until, absl::InfiniteFuture());
  // It is there however long it is: nobody deletes what he cannot read.
  Watch(SharedFleet::kBeat + kWindow + kLife + SharedFleet::kBeat);
  a_->fleet()->Follow(standing_, clock_.WallNow());
  EXPECT_TRUE(store_.Get("controlplanes/c/3")->has_value());
}

TEST_F(SharedFleetTest, WhatWasReadByAClockThatWasAheadIsReadAgain) {
  a_->Issue("1", "away");
  const std::unique_ptr<Plane> late = Start("c", "3");
  EXPECT_THAT(late->fleet()->View(standing_, clock_.WallNow() + absl::Hours(2)).absent, IsEmpty());
  EXPECT_THAT(late->fleet()->View(standing_, clock_.WallNow()).absent, SizeIs(1));
}

// By others, whose word for it is in their reports.
TEST_F(SharedFleetTest, WhatWasLoggedLateIsRead) {
  StoredFleetReports reports(&store_);
  std::vector<UnreadableReport> unreadable;
  EXPECT_THAT(View(a_.get()).absent, IsEmpty());
  clock_.Advance(absl::Minutes(2));
  EXPECT_THAT(View(a_.get()).absent, IsEmpty());
  IssuanceRecord record;
  record.issued_at = clock_.WallNow() - absl::Minutes(1);
  record.serial = "99";
  record.identity = "spiffe://cluster.local/far";
  record.root = "current";
  record.not_after = clock_.WallNow() + kLife;
  ASSERT_THAT(store_.Commit(StoreTransaction().Put(IssuanceKey(record), EncodeIssuance(record))),
              IsOk());
  EXPECT_THAT(View(a_.get()).absent, IsEmpty());
  FleetReport report = reports.List(&unreadable)->back();
  ASSERT_EQ(report.name, "b");
  ++report.late_issuances;
  ASSERT_THAT(reports.Write(report), IsOk());
  EXPECT_THAT(View(a_.get()).absent, SizeIs(1));
}

TEST_F(SharedFleetTest, AnEntryThatCannotBeReadIsACertificateOfSomebodyUnknown) {
  EXPECT_EQ(View(a_.get()).complete_since, absl::InfinitePast());
  IssuanceRecord record;
  record.issued_at = clock_.WallNow();
  record.serial = "99";
  ASSERT_THAT(store_.Commit(StoreTransaction().Put(IssuanceKey(record), "ÿ")), IsOk());
  clock_.Advance(absl::Seconds(1));
  EXPECT_GT(View(a_.get()).complete_since, record.issued_at);
  EXPECT_LT(View(a_.get()).complete_since, record.issued_at + absl::Minutes(1));
  EXPECT_THAT(View(a_.get()).absent, IsEmpty());
}

// By its clock all others have ended, and so has every certificate.
TEST_F(SharedFleetTest, AClockThatIsAheadMovesNothingAndForgetsNobody) {
  FakeClock ahead(clock_.WallNow() + absl::Hours(5));
  Plane fast(&store_, &ahead, &logger_, "c", "9", {current_});
  const auto view = [&] { return fast.fleet()->View(standing_, ahead.WallNow()).control_planes; };
  ASSERT_THAT(fast.fleet()->Join(standing_), IsOk());
  ASSERT_THAT(view(), SizeIs(2));
  EXPECT_EQ(view()[0].agent, "controlplane:a");
  EXPECT_THAT(view()[0].reason, HasSubstr("this clock is ahead"));
  EXPECT_EQ(view()[0].until, absl::InfiniteFuture());
  EXPECT_FALSE(view()[0].other_clock);
  ahead.Advance(SharedFleet::kBeat);
  fast.fleet()->Follow(standing_, ahead.WallNow());
  EXPECT_TRUE(store_.Get("controlplanes/a/1")->has_value());
  // What the others say next tells that they are there.
  (void)view();
  clock_.Advance(SharedFleet::kBeat);
  a_->fleet()->Follow(standing_, clock_.WallNow());
  ahead.Advance(absl::Seconds(1));
  EXPECT_THAT(view()[0].reason, HasSubstr("5h1s behind this one's"));
  EXPECT_TRUE(view()[0].other_clock);
  const auto peers = *fast.fleet()->Peers(ahead.WallNow());
  ASSERT_THAT(peers, SizeIs(2));
  EXPECT_EQ(peers[0].ahead, absl::Hours(5) + absl::Seconds(1));
  // And they do not go on either.
  ASSERT_THAT(View(a_.get()).control_planes, SizeIs(1));
  EXPECT_EQ(View(a_.get()).control_planes[0].agent, "controlplane:c");
  EXPECT_THAT(View(a_.get()).control_planes[0].reason, HasSubstr("ahead of this one's"));
}

// By whichever clock: it is gone once all that it may have issued has ended.
TEST_F(SharedFleetTest, OneThatHasDiedWithAnotherClockKeepsNothingBackForGood) {
  for (const absl::Duration off : {absl::Seconds(31), -absl::Seconds(31), absl::Hours(9)}) {
    FakeClock other(clock_.WallNow() + off);
    Plane wrong(&store_, &other, &logger_, "c", "9", {current_});
    for (int i = 0; i < 2; ++i) {
      ASSERT_THAT(wrong.fleet()->Join(standing_), IsOk());
      (void)View(a_.get());
      clock_.Advance(absl::Seconds(1));
      other.Advance(absl::Seconds(1));
    }
    const absl::Time heard_of = clock_.WallNow() - absl::Seconds(1);
    const auto blockers = [this] {
      std::vector<FleetView::ControlPlane> found;
      for (const FleetView::ControlPlane& blocker : View(a_.get()).control_planes) {
        if (blocker.agent == "controlplane:c") found.push_back(blocker);
      }
      return found;
    };
    ASSERT_THAT(blockers(), SizeIs(1)) << off;
    EXPECT_TRUE(blockers()[0].other_clock);
    Watch(SharedFleet::kSilent + absl::Seconds(1));
    EXPECT_THAT(blockers(), IsEmpty()) << off;
    auto peers = *a_->fleet()->Peers(clock_.WallNow());
    ASSERT_EQ(peers.back().name, "c");
    EXPECT_TRUE(peers.back().silent);
    EXPECT_FALSE(peers.back().ahead.has_value());
    EXPECT_EQ(peers.back().heard_of, heard_of);
    // Of what it has issued since somebody moved, the end is waited for.
    ++standing_.revision;
    ASSERT_THAT(blockers(), SizeIs(1)) << off;
    const absl::Time end = heard_of + SharedFleet::kBeat + kWindow + kLife;
    EXPECT_EQ(blockers()[0].until, end);
    EXPECT_FALSE(blockers()[0].other_clock);
    Watch(end - clock_.WallNow());
    EXPECT_THAT(blockers(), IsEmpty()) << off;
    a_->fleet()->Follow(standing_, clock_.WallNow());
    EXPECT_FALSE(store_.Get("controlplanes/c/9")->has_value()) << off;
  }
}

TEST_F(SharedFleetTest, WhatCannotBeReadIsWaitedForUntilItIsMendedOrOver) {
  b_->Issue("b1", "far");
  const StoreEntry entry = (*ListAll(&store_, kIssuancePrefix))[0];
  const absl::Time issued_at = clock_.WallNow();
  Distribute({a_.get(), b_.get()});
  ASSERT_THAT(store_.Commit(StoreTransaction().Put(entry.key, "garbage")), IsOk());
  EXPECT_EQ(View(a_.get()).complete_since, issued_at + absl::Seconds(1));
  // Whoever takes it away knows no more of it.
  ASSERT_THAT(store_.Commit(StoreTransaction().Delete(entry.key)), IsOk());
  clock_.Advance(absl::Minutes(2));
  EXPECT_EQ(View(a_.get()).complete_since, issued_at + absl::Seconds(1));
  ASSERT_THAT(store_.Commit(StoreTransaction().Put(entry.key, entry.value)), IsOk());
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(View(a_.get()).complete_since, absl::InfinitePast());
  EXPECT_THAT(WithoutNextRoot(View(a_.get())), ElementsAre("holder spiffe://cluster.local/far"));
  ASSERT_THAT(store_.Commit(StoreTransaction().Put(entry.key, "garbage")), IsOk());
  const std::unique_ptr<Plane> late = Start("c", "3");
  EXPECT_EQ(View(late.get()).complete_since, issued_at + absl::Seconds(1));
  clock_.Advance(kLife);
  EXPECT_EQ(View(late.get()).complete_since, absl::InfinitePast());
}

}  // namespace
}  // namespace byrnie
