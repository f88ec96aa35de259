#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/crypto/sha256_fingerprint.h"
#include "common/identity/trust_bundle.h"
#include "common/telemetry/log.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/signing_authority.h"
#include "controlplane/ca/testing/self_signed.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/store/testing/memory_store.h"
#include "controlplane/trust/connected_fleet.h"
#include "controlplane/trust/shared_fleet.h"
#include "controlplane/trust/trust_digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kLife = absl::Hours(1);
constexpr absl::Duration kWindow = absl::Minutes(10);

// Control planes as to what they sign with and trust; with nobody connected to them.
class SharedTrustTest : public ::testing::Test {
 protected:
  ~SharedTrustTest() override { fclose(file_); }

  struct Plane {
    Plane(SharedTrustTest* test, const std::string& name, AuthoritySnapshotPtr snapshot,
          bool plugged, const std::string& instance = "")
        : authority(std::move(snapshot), &test->clock_),
          bundles(*TrustBundleSet::Create({{"cluster.local", {authority.snapshot()->roots}}})),
          own(&agents, &bundles, nullptr, absl::InfinitePast(), kLife),
          fleet(&own, &test->store_, nullptr,
                {name, absl::StrCat(name, instance), kWindow, nullptr, &authority, plugged},
                &test->clock_, &test->logger_) {
      standing.revision = plugged ? 0 : 7;
      EXPECT_THAT(fleet.Join(standing), IsOk());
    }
    void Follow(SharedTrustTest* test) {
      test->clock_.Advance(SharedFleet::kShortestInterval);
      fleet.Follow(standing, test->clock_.WallNow());
    }

    AgentTable agents;
    Authority authority;
    TrustBundleSource bundles;
    ConnectedFleet own;
    SharedFleet fleet;
    RotationStanding standing;
  };

  AuthoritySnapshotPtr NewRoot() { return SelfSigned("cluster.local", clock_.WallNow()); }
  // That signs as `one`, with the roots of both.
  AuthoritySnapshotPtr WithRootOf(const AuthoritySnapshotPtr& one,
                                  const AuthoritySnapshotPtr& other) {
    AuthoritySnapshot both = *one;
    both.roots.push_back(other->signer->root());
    return std::make_shared<const AuthoritySnapshot>(std::move(both));
  }
  TrustDifference Difference(Plane* plane) {
    const auto peers = plane->fleet.Peers(clock_.WallNow());
    EXPECT_THAT(peers, IsOk());
    return peers->empty() ? TrustDifference() : peers->front().trust;
  }
  absl::Status MayJoin(const AuthoritySnapshotPtr& snapshot, const std::string& name = "new") {
    return SharedFleet::CheckMayJoin(&store_, name, DigestOf(*snapshot, true), clock_.WallNow());
  }
  // How often it was.
  int Logged(const std::string& message) const {
    std::string text(1 << 16, '\0');
    const ssize_t size = pread(fileno(file_), &text[0], text.size(), 0);
    text.resize(size > 0 ? static_cast<size_t>(size) : 0);
    const std::vector<std::string> parts = absl::StrSplit(text, message);
    return static_cast<int>(parts.size()) - 1;
  }

  MemoryStore store_;
  FakeClock clock_;
  FILE* const file_ = tmpfile();
  Logger logger_{fileno(file_), Logger::Format::kJson, LogLevel::kInfo};
  const AuthoritySnapshotPtr x_ = NewRoot(), y_ = NewRoot();
};

TEST_F(SharedTrustTest, WithAPluggedCaOthersAreHeardOf) {
  Plane a(this, "a", x_, true), b(this, "b", x_, true);
  EXPECT_THAT(*a.fleet.Others(clock_.WallNow()), ElementsAre("b"));
  EXPECT_FALSE(Difference(&a).differs());
  EXPECT_EQ(Logged("control plane"), 0);
  clock_.Advance(SharedFleet::kSilent + absl::Seconds(1));
  a.Follow(this);
  EXPECT_THAT(*a.fleet.Others(clock_.WallNow()), IsEmpty());
  EXPECT_THAT(*b.fleet.Others(clock_.WallNow()), ElementsAre("a"));
  b.fleet.Leave();
  EXPECT_THAT(*a.fleet.Peers(clock_.WallNow()), IsEmpty());
}

TEST_F(SharedTrustTest, OtherRootsAreSeenAndLoggedOnce) {
  Plane a(this, "a", x_, true), b(this, "b", y_, true);
  EXPECT_TRUE(Difference(&a).refuses());
  EXPECT_EQ(Difference(&a).refused_here, y_->signer->root_id());
  EXPECT_EQ(Difference(&b).refused_here, x_->signer->root_id());
  EXPECT_EQ(Logged("does not sign and trust as this one does"), 2);
  // A change is told at once.
  b.authority.Publish(WithRootOf(x_, y_));
  b.Follow(this);
  EXPECT_FALSE(Difference(&a).refuses());
  EXPECT_THAT(Difference(&a).only_there, ElementsAre(y_->signer->root_id()));
  EXPECT_EQ(Logged("has other roots"), 1);
  b.authority.Publish(x_);
  b.Follow(this);
  EXPECT_FALSE(Difference(&a).differs());
  EXPECT_EQ(Logged("the same roots again"), 1);
}

TEST_F(SharedTrustTest, TwoOfOneNameAreToldOfOnceAsLongAsTheyAreThere) {
  Plane a(this, "a", x_, true), b(this, "b", y_, true);
  // Which takes the first one's place, until that one writes again.
  auto same = std::make_unique<Plane>(this, "b", x_, true, "2");
  clock_.Advance(SharedFleet::kBeat);
  b.Follow(this);
  for (int i = 0; i < 3; ++i) EXPECT_THAT(*a.fleet.Peers(clock_.WallNow()), SizeIs(2));
  EXPECT_EQ(Logged("does not sign and trust as this one does"), 1);
  EXPECT_EQ(Logged("the same roots again"), 0);
  b.fleet.Leave();
  EXPECT_THAT(*a.fleet.Peers(clock_.WallNow()), SizeIs(1));
  EXPECT_EQ(Logged("the same roots again"), 1);
  // Another process is told of for itself.
  same->fleet.Leave();
  EXPECT_THAT(*a.fleet.Peers(clock_.WallNow()), IsEmpty());
  Plane third(this, "b", y_, true, "3");
  EXPECT_THAT(*a.fleet.Peers(clock_.WallNow()), SizeIs(1));
  EXPECT_EQ(Logged("does not sign and trust as this one does"), 2);
}

TEST_F(SharedTrustTest, APluggedCaBesideRootsOfTheStoreIsSeenByBothAndKeepsARotationBack) {
  Plane own(this, "own", x_, false), plugged(this, "plugged", y_, true);
  EXPECT_TRUE(Difference(&own).refuses());
  EXPECT_TRUE(Difference(&plugged).refuses());
  const FleetView view = own.fleet.View(own.standing, clock_.WallNow());
  ASSERT_THAT(view.control_planes, SizeIs(1));
  EXPECT_EQ(view.control_planes[0].agent, "controlplane:plugged");
  EXPECT_THAT(view.control_planes[0].reason, HasSubstr("plugged CA"));
  EXPECT_EQ(view.control_planes[0].until, absl::InfiniteFuture());
  // The rotation of one that follows the same record is its own.
  Plane late(this, "late", y_, false);
  const std::vector<SharedFleet::Peer> peers = *own.fleet.Peers(clock_.WallNow());
  EXPECT_THAT(peers, SizeIs(2));
  for (const SharedFleet::Peer& peer : peers) {
    EXPECT_EQ(peer.trust.differs(), peer.name == "plugged") << peer.name;
  }
}

TEST_F(SharedTrustTest, SettingsThatDifferAreNamed) {
  Plane a(this, "a", x_, false), b(this, "b", x_, false);
  const auto different = [this](Plane* plane) {
    return plane->fleet.Peers(clock_.WallNow())->front().settings;
  };
  EXPECT_THAT(different(&a), IsEmpty());
  a.fleet.SetSettings({{"attest", 1}, {"workload_ttl", 1}});
  a.Follow(this);
  // The other one is of a release that does not tell.
  EXPECT_THAT(different(&a), IsEmpty());
  b.fleet.SetSettings({{"attest", 1}, {"workload_ttl", 2}});
  b.Follow(this);
  EXPECT_THAT(different(&a), ElementsAre("workload_ttl"));
  EXPECT_THAT(different(&b), ElementsAre("workload_ttl"));
  b.fleet.SetSettings({{"attest", 1}, {"workload_ttl", 1}});
  b.Follow(this);
  EXPECT_THAT(different(&a), IsEmpty());
}

// With a plugged CA, too, for which nobody looks at the gates of a rotation.
TEST_F(SharedTrustTest, OneWhoseNameAnotherOneHasTakenSaysSoOnceAndIsHeardAgain) {
  constexpr char kTaken[] = "another control plane has taken this one's name";
  Plane first(this, "a", x_, true), b(this, "b", x_, true);
  EXPECT_THAT(first.fleet.Peers(clock_.WallNow()), IsOkAndHolds(SizeIs(1)));
  Plane second(this, "a", x_, true, "-2");
  EXPECT_THAT(b.fleet.Peers(clock_.WallNow()), IsOkAndHolds(SizeIs(1)));
  EXPECT_EQ(Logged(kTaken), 0);
  for (int i = 0; i < 2; ++i) (void)first.fleet.Peers(clock_.WallNow());
  EXPECT_EQ(Logged(kTaken), 1);
  first.Follow(this);
  EXPECT_THAT(b.fleet.Peers(clock_.WallNow()), IsOkAndHolds(SizeIs(2)));
  (void)first.fleet.Peers(clock_.WallNow());
  EXPECT_EQ(Logged(kTaken), 1);
}

TEST_F(SharedTrustTest, NobodyBeginsToServeWhoseAgentsWouldRefuseOthers) {
  Plane a(this, "a", x_, false);
  const absl::Status refused = MayJoin(y_);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition,
                                HasSubstr("\"a\", another control plane of the store, signs with "
                                          "roots of its own")));
  EXPECT_THAT(refused.message(), HasSubstr(ShortFingerprint(x_->signer->root_id())));
  // As one moves from roots of its own to a plugged CA.
  EXPECT_THAT(MayJoin(WithRootOf(y_, x_)), IsOk());
  // What an earlier process of the same name has left.
  EXPECT_THAT(MayJoin(y_, "a"), IsOk());
  clock_.Advance(SharedFleet::kSilent + absl::Seconds(1));
  EXPECT_THAT(MayJoin(y_), IsOk());
}

}  // namespace
}  // namespace byrnie
