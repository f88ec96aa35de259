// Two control planes that share a store, one of which deletes a policy while the other one stores a
// workload that names it.

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/policy/policy_admin.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/registry/registry_admin.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A store whose next commit somebody overtakes.
class OvertakenStore final : public Store {
 public:
  explicit OvertakenStore(Store* store) : store_(store) {}
  void BeforeNextCommit(std::function<void()> overtake) { overtake_ = std::move(overtake); }

  absl::StatusOr<absl::optional<StoreEntry>> Get(absl::string_view key) override {
    return store_->Get(key);
  }
  absl::StatusOr<Page> List(absl::string_view prefix, absl::string_view after_key,
                            int limit) override {
    return store_->List(prefix, after_key, limit);
  }
  absl::StatusOr<int64_t> Count(absl::string_view prefix) override { return store_->Count(prefix); }
  absl::StatusOr<int64_t> Commit(const StoreTransaction& transaction) override {
    if (overtake_) std::exchange(overtake_, nullptr)();
    return store_->Commit(transaction);
  }
  std::unique_ptr<StoreWatch> Watch(absl::string_view prefix, StoreListener* listener) override {
    return store_->Watch(prefix, listener);
  }
  std::unique_ptr<StoreElection> Campaign(absl::string_view name) override {
    return store_->Campaign(name);
  }

 private:
  Store* const store_;
  std::function<void()> overtake_;
};

std::string Policy(const std::string& name, const std::string& scope = "WORKLOAD_SELECTOR") {
  return absl::StrCat(R"({"name":")", name, R"(","namespace":"n","scope":")", scope,
                      R"(","action":"DENY","rules":[{"clauses":[{"matches":[)",
                      R"({"destination_ports":[80]}]}]}]})");
}

std::string Workload(const std::string& name, const std::string& policy) {
  return absl::StrCat(R"({"workloads":[{"uid":")", name, R"(","name":")", name,
                      R"(","namespace":"n","service_account":"s","addresses":["10.0.0.1"],)",
                      R"("authorization_policies":[")", policy, R"("]}]})");
}

struct Plane {
  Plane(Store* shared, const FakeClock* clock) : store(shared), events(clock) {
    auto created = RegistryAdmin::Create(&store, &sources, "td", &unreadable, &events, clock);
    EXPECT_THAT(created, IsOk());
    entries = *std::move(created);
    auto admin =
        PolicyAdmin::Create(&records, &sources, entries.get(), &unreadable, &events, clock);
    EXPECT_THAT(admin, IsOk());
    policies = *std::move(admin);
  }
  absl::Status ApplyPolicy(const std::string& document) {
    return policies->Apply(document, "", true, "alice").status();
  }
  absl::Status ApplyWorkload(const std::string& document) {
    return entries->Apply(document, "", "alice").status();
  }
  bool Has(ResourceType type, const std::string& name) const {
    return registry.snapshot()->Find(type, name) != nullptr;
  }

  OvertakenStore store;
  RecordTable records{&store, "policies/"};
  Registry registry;
  RegistrySources sources{&registry};
  EventLog events;
  Logger logger{2, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics;
  UnreadableRecords unreadable{"", &logger, &metrics};
  std::unique_ptr<RegistryAdmin> entries;
  std::unique_ptr<PolicyAdmin> policies;
};

class PolicyRaceTest : public ::testing::Test {
 protected:
  PolicyRaceTest() {
    EXPECT_THAT(a_.ApplyPolicy(Policy("p")), IsOk());
    EXPECT_THAT(b_.policies->Reload(), IsOk());
  }
  FakeClock clock_;
  MemoryStore store_;
  Plane a_{&store_, &clock_}, b_{&store_, &clock_};
};

TEST_F(PolicyRaceTest, NobodyWhoReadsWaitsForAChangeUnderWay) {
  absl::Notification read;
  std::thread reader;
  bool waited = false;
  a_.store.BeforeNextCommit([&] {
    reader = std::thread([&] {
      const auto entry = a_.policies->Get("n/p");
      EXPECT_THAT(entry, IsOk());
      EXPECT_EQ(entry->applied_by, "alice");
      read.Notify();
    });
    waited = !read.WaitForNotificationWithTimeout(absl::Seconds(5));
  });
  EXPECT_THAT(a_.ApplyPolicy(Policy("q")), IsOk());
  reader.join();
  EXPECT_FALSE(waited);
  EXPECT_EQ(a_.policies->Get("n/q")->applied_by, "alice");
  ASSERT_THAT(a_.policies->Delete("n/q", "", "alice"), IsOk());
}

TEST_F(PolicyRaceTest, APolicyThatIsNamedMeanwhileIsNotDeleted) {
  a_.store.BeforeNextCommit(
      [this] { EXPECT_THAT(b_.ApplyWorkload(Workload("w", "n/p")), IsOk()); });
  EXPECT_THAT(a_.policies->Delete("n/p", "", "alice"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is in use")));
  for (Plane* plane : {&a_, &b_}) {
    EXPECT_TRUE(plane->Has(ResourceType::kAuthorization, "n/p"));
    EXPECT_TRUE(plane->Has(ResourceType::kAddress, "w"));
    EXPECT_THAT(plane->sources.troubles(), IsEmpty());
  }
}

TEST_F(PolicyRaceTest, APolicyThatIsNamedMeanwhileStaysForWorkloads) {
  a_.store.BeforeNextCommit(
      [this] { EXPECT_THAT(b_.ApplyWorkload(Workload("w", "n/p")), IsOk()); });
  EXPECT_THAT(a_.ApplyPolicy(Policy("p", "NAMESPACE")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is in use")));
}

TEST_F(PolicyRaceTest, AWorkloadDoesNotNameWhatIsDeletedMeanwhile) {
  a_.store.BeforeNextCommit([this] { EXPECT_THAT(b_.policies->Delete("n/p", "", "bob"), IsOk()); });
  EXPECT_THAT(a_.ApplyWorkload(Workload("w", "n/p")),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("try again")));
  EXPECT_EQ(*store_.Count("registry/workloads/"), 0);
  EXPECT_FALSE(a_.Has(ResourceType::kAddress, "w"));
  ASSERT_THAT(a_.policies->Reload(), IsOk());
  EXPECT_THAT(a_.ApplyWorkload(Workload("w", "n/p")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("there is no policy")));
}

TEST_F(PolicyRaceTest, OtherWorkloadsKeepNoPolicyFromBeingDeleted) {
  ASSERT_THAT(a_.ApplyPolicy(Policy("q")), IsOk());
  ASSERT_THAT(b_.policies->Reload(), IsOk());
  a_.store.BeforeNextCommit(
      [this] { EXPECT_THAT(b_.ApplyWorkload(Workload("w", "n/q")), IsOk()); });
  EXPECT_THAT(a_.policies->Delete("n/p", "", "alice"), IsOk());
  EXPECT_TRUE(a_.Has(ResourceType::kAddress, "w"));
}

// However it came to be, as by a release that did not look.
TEST_F(PolicyRaceTest, WhatIsStoredAndDoesNotGoTogetherStopsNobody) {
  ASSERT_THAT(b_.ApplyWorkload(Workload("w", "n/p")), IsOk());
  ASSERT_THAT(store_.Commit(StoreTransaction().Delete("policies/n/p")), IsOk());
  Plane later(&store_, &clock_);
  EXPECT_TRUE(later.Has(ResourceType::kAddress, "w"));
  ASSERT_EQ(later.sources.troubles().size(), 1u);
  EXPECT_THAT(later.sources.troubles()[0].why,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("there is no policy")));
  ASSERT_THAT(b_.policies->Reload(), IsOk());
  EXPECT_FALSE(b_.Has(ResourceType::kAuthorization, "n/p"));
  EXPECT_EQ(b_.sources.troubles().size(), 1u);
  // All else can be changed, and so can this be mended.
  EXPECT_THAT(later.ApplyPolicy(Policy("emergency", "NAMESPACE")), IsOk());
  EXPECT_THAT(later.ApplyPolicy(Policy("p")), IsOk());
  EXPECT_THAT(later.sources.troubles(), IsEmpty());
  EXPECT_THAT(later.entries->Delete(ResourceKind::kWorkload, "w", "", "alice"), IsOk());
  EXPECT_THAT(later.policies->Delete("n/p", "", "alice"), IsOk());
}

}  // namespace
}  // namespace byrnie
