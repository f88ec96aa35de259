#include "controlplane/stored_registry.h"

#include <memory>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/telemetry/metrics.h"
#include "controlplane/registry/registry.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::SizeIs;

class StoredRegistryTest : public ::testing::Test {
 protected:
  StoredRegistryTest() { sources_.Hold(); }
  absl::StatusOr<std::unique_ptr<StoredRegistry>> Load() {
    return StoredRegistry::Load(&store_, "cluster.local", &sources_, &unreadable_, &events_,
                                &clock_, &logger_);
  }

  FakeClock clock_{absl::FromUnixSeconds(1'800'000'000)};
  Logger logger_{-1, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  EventLog events_{&clock_};
  UnreadableRecords unreadable_{"", &logger_, &metrics_};
  MemoryStore store_;
  Registry registry_;
  RegistrySources sources_{&registry_};
};

// What could not be read may have kept somebody out.
TEST_F(StoredRegistryTest, TakesInWhatIsStored) {
  ASSERT_THAT(store_.Commit(StoreTransaction().Put("policies/demo/p", "\xff")), IsOk());
  const auto stored = Load();
  ASSERT_THAT(stored, IsOk());
  ASSERT_THAT(sources_.Release(), IsOk());
  EXPECT_EQ(registry_.snapshot()->policy_count(), 1u);
  EXPECT_THAT(unreadable_.List(), SizeIs(1));
  (*stored)->CatchUp();
  (*stored)->StopFollowing();
  (*stored)->StopFollowing();
}

TEST_F(StoredRegistryTest, AStoreThatCannotBeReadIsAnError) {
  store_.FailWith(absl::UnavailableError("away"));
  EXPECT_THAT(Load().status(), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace byrnie
