// What control planes tell each other of the files that they cannot write.
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/identity/trust_bundle.h"
#include "common/telemetry/log.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/testing/self_signed.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/store/testing/memory_store.h"
#include "controlplane/trust/bundle_file.h"
#include "controlplane/trust/connected_fleet.h"
#include "controlplane/trust/shared_fleet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// One of two control planes, with a file of its own.
class Plane {
 public:
  Plane(MemoryStore* store, const FakeClock* clock, Logger* logger, AuthoritySnapshotPtr roots,
        const std::string& name)
      : path(absl::StrCat(::testing::TempDir(), "without_file_", name)),
        authority(roots, clock),
        bundles_(*TrustBundleSet::Create({{"td", {roots->roots}}})),
        file(path, &authority, clock, logger),
        own(&agents_, &bundles_, nullptr, absl::InfinitePast(), absl::Hours(1)),
        fleet(&own, store, nullptr, {name, absl::StrCat("of-", name), absl::Minutes(10)}, clock,
              logger) {
    ::unlink(path.c_str());
    ::rmdir(path.c_str());
    own.SetBundleFile(&file, name);
    EXPECT_THAT(file.Write(), IsOk());
  }

  const std::string path;
  Authority authority;

 private:
  AgentTable agents_;
  TrustBundleSource bundles_;

 public:
  BundleFile file;
  ConnectedFleet own;
  SharedFleet fleet;
};

class WithoutFileTest : public ::testing::Test {
 protected:
  WithoutFileTest() {
    standing_.revision = 1;
    EXPECT_THAT(a_.fleet.Join(standing_), IsOk());
    EXPECT_THAT(b_.fleet.Join(standing_), IsOk());
    standing_ = {next_->roots[0]->FingerprintHex(), 2};
  }
  // Both have heard of the next root, and `plane` publishes it.
  void Publish(Plane* plane) {
    auto both = std::make_shared<AuthoritySnapshot>(*first_);
    both->roots.push_back(next_->roots[0]);
    plane->authority.Publish(both);
    plane->file.Keep();
  }
  void Follow() {
    clock_.Advance(SharedFleet::kShortestInterval);
    for (Plane* plane : {&a_, &b_}) plane->fleet.Follow(standing_, clock_.WallNow());
  }
  std::vector<FleetView::ControlPlane> AsSeenBy(Plane* plane) {
    return plane->fleet.View(standing_, clock_.WallNow()).without_file;
  }

  FakeClock clock_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MemoryStore store_;
  const AuthoritySnapshotPtr first_ = SelfSigned("td", clock_.WallNow());
  const AuthoritySnapshotPtr next_ = SelfSigned("td", clock_.WallNow());
  RotationStanding standing_;
  Plane a_{&store_, &clock_, &logger_, first_, "a"}, b_{&store_, &clock_, &logger_, first_, "b"};
};

TEST_F(WithoutFileTest, OneThatCannotWriteItsFileIsNamedByAllUntilItCan) {
  ASSERT_EQ(::unlink(b_.path.c_str()), 0);
  ASSERT_EQ(::mkdir(b_.path.c_str(), 0700), 0);
  Publish(&a_);
  Publish(&b_);
  Follow();
  for (Plane* plane : {&a_, &b_}) {
    const auto without = AsSeenBy(plane);
    ASSERT_THAT(without, SizeIs(1));
    EXPECT_EQ(without[0].agent, "controlplane:b/trust_bundle_out");
    EXPECT_EQ(without[0].reason,
              absl::StrCat("cannot write --trust_bundle_out ", b_.path, ": Is a directory"));
  }
  ASSERT_EQ(::rmdir(b_.path.c_str()), 0);
  clock_.Advance(BundleFile::kInterval);
  b_.file.Keep();
  Follow();
  EXPECT_THAT(AsSeenBy(&a_), IsEmpty());
  EXPECT_THAT(AsSeenBy(&b_), IsEmpty());
}

// A gate that is looked at in that moment is not open.
TEST_F(WithoutFileTest, OneThatHasNotWrittenTheNextRootYetIsWaitedFor) {
  Publish(&a_);
  Follow();
  for (Plane* plane : {&a_, &b_}) {
    const auto without = AsSeenBy(plane);
    ASSERT_THAT(without, SizeIs(1));
    EXPECT_EQ(without[0].agent, "controlplane:b/trust_bundle_out");
    EXPECT_THAT(without[0].reason, HasSubstr("has not written the next root"));
  }
  Publish(&b_);
  Follow();
  EXPECT_THAT(AsSeenBy(&a_), IsEmpty());
  EXPECT_THAT(AsSeenBy(&b_), IsEmpty());
}

TEST_F(WithoutFileTest, OneThatHasEndedIsNotWaitedFor) {
  Publish(&a_);
  Follow();
  clock_.Advance(SharedFleet::kSilent + absl::Seconds(1));
  EXPECT_THAT(AsSeenBy(&a_), IsEmpty());
}

}  // namespace
}  // namespace byrnie
