#include "controlplane/registry/registry_admin.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "byrnie/store/v1/policy.pb.h"
#include "byrnie/store/v1/registry_entry.pb.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/grpc/error_details.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/registry/static_parser.h"
#include "controlplane/store/testing/memory_store.h"
#include "controlplane/store/testing/recording_listener.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Outcome = RegistryAdmin::Outcome;

std::string Workload(const std::string& name, const std::string& ip, const std::string& more = "") {
  return absl::StrCat("{\"uid\":\"", name, "\",\"name\":\"", name,
                      "\",\"namespace\":\"n\",\"service_account\":\"s\",\"addresses\":[\"", ip,
                      "\"]", more, "}");
}

std::string Document(const std::string& workloads, const std::string& services = "") {
  return absl::StrCat("{\"workloads\":[", workloads, "],\"services\":[", services, "]}");
}

constexpr char kService[] =
    R"({"name":"s","namespace":"n","hostname":"s","ports":[{"service_port":80}]})";
constexpr char kRefers[] = R"(,"services":{"n/s":[{"service_port":80}]})";

std::string Violation(const absl::Status& status) {
  google::rpc::PreconditionFailure detail;
  return GetDetail(status, &detail) ? detail.violations(0).type() : "none";
}

// One control plane of those that share a store.
struct Plane {
  Plane(Store* store, const FakeClock* clock) : events(clock), store(store), clock(clock) {
    registry.SetListener([this] { absl::MutexLock lock(&changed); });
  }
  absl::Status Start() {
    auto created = RegistryAdmin::Create(store, &sources, "td", &unreadable, &events, clock);
    if (created.ok()) admin = *std::move(created);
    return created.status();
  }
  absl::Status File(const std::string& text) {
    return sources.Set(RegistrySource::kFile, *ParseRegistryFile(text, "td"));
  }
  absl::Status Apply(const std::string& document, const std::string& expected = "") {
    return admin->Apply(document, expected, "alice").status();
  }
  ResourcePtr Find(const std::string& name) const {
    return registry.snapshot()->Get(ResourceType::kAddress, name);
  }
  // What another control plane did comes on a thread of the store.
  bool Sees(const std::string& name, bool there) const {
    absl::MutexLock lock(&changed);
    const auto seen = [&] { return (Find(name) != nullptr) == there; };
    return changed.AwaitWithTimeout(absl::Condition(&seen), RecordingListener::kPatience);
  }

  // Taken after every change, so that who waits looks again.
  mutable absl::Mutex changed;
  Registry registry;
  RegistrySources sources{&registry};
  EventLog events;
  Logger logger{2, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics;
  UnreadableRecords unreadable{"", &logger, &metrics};
  Store* const store;
  const FakeClock* const clock;
  std::unique_ptr<RegistryAdmin> admin;
};

class RegistryAdminTest : public ::testing::Test {
 protected:
  RegistryAdminTest() { EXPECT_THAT(one_.Start(), IsOk()); }
  FakeClock clock_;
  MemoryStore store_;
  Plane one_{&store_, &clock_};
};

TEST_F(RegistryAdminTest, WhatIsAppliedIsInForceAndSaysWhoAppliedIt) {
  const auto applied =
      one_.admin->Apply(Document(Workload("w", "10.0.0.1", kRefers), kService), "none", "alice");
  EXPECT_THAT(applied, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one by one")));
  const auto both =
      one_.admin->Apply(Document(Workload("w", "10.0.0.1", kRefers), kService), "", "alice");
  ASSERT_THAT(both, IsOk());
  ASSERT_EQ(both->size(), 2u);
  EXPECT_EQ((*both)[0].resource->name, "n/s");
  EXPECT_EQ((*both)[1].outcome, Outcome::kCreated);
  ASSERT_NE(one_.Find("w"), nullptr);
  const auto application = one_.admin->ApplicationOf(*one_.Find("w"));
  ASSERT_TRUE(application.has_value());
  EXPECT_EQ(application->by, "alice");
  EXPECT_EQ(application->at, clock_.WallNow());
  const auto again = one_.admin->Apply(Document(Workload("w", "10.0.0.1", kRefers)), "", "bob");
  EXPECT_EQ((*again)[0].outcome, Outcome::kUnchanged);
  EXPECT_EQ(one_.admin->ApplicationOf(*one_.Find("w"))->by, "alice");
  const auto moved = one_.admin->Apply(Document(Workload("w", "10.0.0.2")), "", "bob");
  EXPECT_EQ((*moved)[0].outcome, Outcome::kChanged);
  EXPECT_EQ(one_.admin->ApplicationOf(*one_.Find("w"))->by, "bob");
}

TEST_F(RegistryAdminTest, WhatIsNotGoodChangesNothing) {
  ASSERT_THAT(one_.File(Document(Workload("f", "10.0.0.1"))), IsOk());
  const absl::Status key = one_.Apply(Document(Workload("f", "10.0.0.9")));
  EXPECT_THAT(key, StatusIs(absl::StatusCode::kFailedPrecondition,
                            HasSubstr("in the registry file and was applied")));
  EXPECT_EQ(Violation(key), "CONFLICT");
  const absl::Status address = one_.Apply(Document(Workload("w", "10.0.0.1")));
  EXPECT_THAT(address, StatusIs(absl::StatusCode::kFailedPrecondition,
                                AllOf(HasSubstr("\"f\" of the registry file"),
                                      HasSubstr("\"w\" that was"))));
  EXPECT_EQ(Violation(address), "CONFLICT");
  for (const char* no_host : {"127.0.0.1", "224.0.0.1", "255.255.255.255"}) {
    EXPECT_THAT(one_.Apply(Document(Workload("w", no_host))),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(no_host)));
  }
  // All or nothing.
  const absl::Status reference =
      one_.Apply(Document(Workload("w", "10.0.0.2") + "," + Workload("v", "10.0.0.3", kRefers)));
  EXPECT_THAT(reference,
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("document.workloads[1]: services: there is no service")));
  google::rpc::BadRequest detail;
  ASSERT_TRUE(GetDetail(reference, &detail));
  EXPECT_EQ(detail.field_violations(0).field(), "document.workloads[1]");
  EXPECT_EQ(one_.registry.snapshot()->workload_count(), 1u);
  EXPECT_EQ(*store_.Count("registry/"), 0);
}

TEST_F(RegistryAdminTest, DeletesWhatIsItsOwnAndNotNeeded) {
  ASSERT_THAT(one_.File(Document(Workload("f", "10.0.0.1"))), IsOk());
  ASSERT_THAT(one_.Apply(Document(Workload("w", "10.0.0.2", kRefers), kService)), IsOk());
  const auto remove = [this](ResourceKind kind, const std::string& name,
                             const std::string& expected = "") {
    return one_.admin->Delete(kind, name, expected, "alice");
  };
  EXPECT_THAT(remove(ResourceKind::kWorkload, "x"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(remove(ResourceKind::kService, "w"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Violation(remove(ResourceKind::kWorkload, "f")), "CONFLICT");
  EXPECT_EQ(Violation(remove(ResourceKind::kService, "n/s")), "IN_USE");
  EXPECT_EQ(Violation(one_.Apply(Document("", R"({"name":"s","namespace":"n","hostname":"s",
                                               "ports":[{"service_port":81}]})"))),
            "IN_USE");
  EXPECT_THAT(remove(ResourceKind::kWorkload, "w", "0"), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(remove(ResourceKind::kWorkload, "w", one_.Find("w")->version), IsOk());
  EXPECT_THAT(remove(ResourceKind::kService, "n/s"), IsOk());
  EXPECT_EQ(one_.Find("w"), nullptr);
  EXPECT_EQ(one_.registry.snapshot()->AtAddress("/10.0.0.2"), nullptr);
}

TEST_F(RegistryAdminTest, ExpectsTheVersionItIsToldTo) {
  const std::string document = Document(Workload("w", "10.0.0.1"));
  EXPECT_THAT(one_.Apply(document, "0"), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(one_.Apply(document, "none"), IsOk());
  EXPECT_THAT(one_.Apply(Document(Workload("w", "10.0.0.2")), "none"),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(one_.Apply(Document(Workload("w", "10.0.0.2")), one_.Find("w")->version), IsOk());
}

TEST_F(RegistryAdminTest, NothingIsInForceThatIsNotStored) {
  store_.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1"))),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("disk on fire")));
  EXPECT_EQ(one_.Find("w"), nullptr);
  store_.FailWith(absl::OkStatus());
  EXPECT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1"))), IsOk());
}

TEST_F(RegistryAdminTest, AnAnswerThatIsLostIsFoundOut) {
  store_.LoseNextAnswer(absl::UnknownError("gone away"));
  EXPECT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1"))),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("look whether it was done")));
  EXPECT_TRUE(one_.Sees("w", true));
  EXPECT_THAT(one_.Apply(Document(Workload("v", "10.0.0.2"))), IsOk());
}

TEST_F(RegistryAdminTest, AnotherStartFindsItAll) {
  ASSERT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1", kRefers), kService)), IsOk());
  Plane later(&store_, &clock_);
  ASSERT_THAT(later.Start(), IsOk());
  EXPECT_EQ(later.Find("w")->version, one_.Find("w")->version);
  EXPECT_EQ(later.admin->ApplicationOf(*later.Find("n/s"))->by, "alice");
}

TEST_F(RegistryAdminTest, AStartWhoseFileSaysTheSameIsRefused) {
  ASSERT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1"))), IsOk());
  Plane later(&store_, &clock_);
  later.sources.Hold();
  ASSERT_THAT(later.File(Document(Workload("x", "10.0.0.1"))), IsOk());
  ASSERT_THAT(later.Start(), IsOk());
  EXPECT_THAT(later.sources.Release(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("10.0.0.1")));
  // What each refers to may be the other's, in whatever order they come.
  Plane held(&store_, &clock_);
  ASSERT_THAT(one_.Apply(Document("", kService)), IsOk());
  held.sources.Hold();
  ASSERT_THAT(held.File(Document(Workload("f", "10.0.0.5", kRefers))), IsOk());
  ASSERT_THAT(held.Start(), IsOk());
  ASSERT_THAT(held.sources.Release(), IsOk());
  EXPECT_EQ(held.registry.snapshot()->Resolve(ResourceType::kAddress, "n/s").size(), 2u);
}

TEST_F(RegistryAdminTest, AllControlPlanesSeeIt) {
  Plane two(&store_, &clock_);
  ASSERT_THAT(two.Start(), IsOk());
  ASSERT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1", kRefers), kService)), IsOk());
  EXPECT_TRUE(two.Sees("w", true));
  ASSERT_THAT(two.admin->Delete(ResourceKind::kWorkload, "w", "", "bob"), IsOk());
  EXPECT_TRUE(one_.Sees("w", false));
}

// Whoever is too late checks again, against what the other did.
TEST_F(RegistryAdminTest, WhatIsCheckedIsStillSoWhenItIsStored) {
  Plane two(&store_, &clock_);
  ASSERT_THAT(two.Start(), IsOk());
  for (int i = 0; i < 50; ++i) {
    ASSERT_THAT(one_.Apply(Document("", kService)), IsOk());
    // It has perhaps not seen the service; what decides is what is stored.
    EXPECT_THAT(two.Apply(Document(Workload("w", "10.0.0.1"))), IsOk());
    ASSERT_THAT(two.Apply(Document(Workload("w", "10.0.0.1", kRefers))), IsOk());
    EXPECT_EQ(Violation(one_.admin->Delete(ResourceKind::kService, "n/s", "", "x")), "IN_USE");
    ASSERT_THAT(two.admin->Delete(ResourceKind::kWorkload, "w", "", "x"), IsOk());
    ASSERT_THAT(one_.admin->Delete(ResourceKind::kService, "n/s", "", "x"), IsOk());
  }
}

// Policies are records of their own. Whoever deletes one at another control plane while a workload
// that names it is stored requires what it has seen of the workloads: it is too late, or makes this
// too late.
TEST_F(RegistryAdminTest, APolicyThatIsNamedIsNotDeletedMeanwhile) {
  const auto policy = [](const std::string& scope) {
    return absl::StrCat(R"({"name":"p","namespace":"n","scope":")", scope,
                        R"(","action":"DENY","rules":[{"clauses":[{"matches":[)",
                        R"({"destination_ports":[80]}]}]}]})");
  };
  const auto record = [&](const std::string& document) {
    byrnie::store::v1::Policy value;
    value.set_document(document);
    StoreTransaction transaction;
    transaction.Put("policies/n/p", value.SerializeAsString());
    return *store_.Commit(transaction);
  };
  record(policy("WORKLOAD_SELECTOR"));
  const auto known =
      ParseRegistryFile(absl::StrCat("{\"policies\":[", policy("WORKLOAD_SELECTOR"), "]}"), "td");
  ASSERT_THAT(known, IsOk());
  ASSERT_THAT(one_.sources.Set(RegistrySource::kApi, *known), IsOk());
  const std::string names = R"(,"authorization_policies":["n/p"])";
  StoreTransaction deletes;
  deletes.Require(one_.admin->Unchanged()).Delete("policies/n/p");
  ASSERT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1", names))), IsOk());
  EXPECT_THAT(store_.Commit(deletes), StatusIs(absl::StatusCode::kAborted));
  // Changed, or deleted, and this control plane has not heard of it.
  record(policy("NAMESPACE"));
  EXPECT_THAT(one_.Apply(Document(Workload("v", "10.0.0.2", names))),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("try again")));
  ASSERT_THAT(store_.Commit(StoreTransaction().Delete("policies/n/p")), IsOk());
  EXPECT_THAT(one_.Apply(Document(Workload("v", "10.0.0.2", names))),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("try again")));
  EXPECT_EQ(one_.Find("v"), nullptr);
  EXPECT_THAT(one_.Apply(Document(Workload("v", "10.0.0.2"))), IsOk());
}

TEST_F(RegistryAdminTest, WhatTheFileHasIsLeftOutUntilTheFileGivesWay) {
  Plane two(&store_, &clock_);
  ASSERT_THAT(two.File(Document(Workload("f", "10.0.0.1"))), IsOk());
  ASSERT_THAT(two.Start(), IsOk());
  // The files differ, so that one takes what the other cannot.
  ASSERT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1"))), IsOk());
  ASSERT_THAT(one_.Apply(Document(Workload("v", "10.0.0.2"))), IsOk());
  EXPECT_THAT(one_.Apply(Document(Workload("v", "10.0.0.3"))), IsOk());
  EXPECT_THAT(two.Apply(Document(Workload("z", "10.0.0.9"))), IsOk());
  EXPECT_NE(two.Find("f"), nullptr);
  EXPECT_NE(two.Find("v"), nullptr);
  EXPECT_EQ(two.Find("w"), nullptr);
  const std::vector<StoredTrouble> troubles = two.sources.troubles();
  ASSERT_EQ(troubles.size(), 1u);
  EXPECT_TRUE(troubles[0].left_out);
  EXPECT_THAT(troubles[0].why, StatusIs(absl::StatusCode::kAlreadyExists,
                                        AllOf(HasSubstr("\"f\" of the registry file"),
                                              HasSubstr("\"w\" that was"))));
  ASSERT_THAT(two.File("{}"), IsOk());
  EXPECT_NE(two.Find("w"), nullptr);
  EXPECT_TRUE(two.sources.troubles().empty());
}

TEST_F(RegistryAdminTest, WhatIsLeftOutCanBeDeleted) {
  Plane two(&store_, &clock_);
  ASSERT_THAT(two.File(Document(Workload("f", "10.0.0.1"))), IsOk());
  ASSERT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1"))), IsOk());
  ASSERT_THAT(two.Start(), IsOk());
  EXPECT_THAT(two.admin->Delete(ResourceKind::kWorkload, "w", "0", "x"),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(two.admin->Delete(ResourceKind::kWorkload, "w", "", "x"), IsOk());
  EXPECT_TRUE(two.sources.troubles().empty());
  EXPECT_TRUE(one_.Sees("w", false));
}

// One record that cannot be read keeps no other one back.
TEST_F(RegistryAdminTest, ARecordThatCannotBeReadLeavesWhatWasInForce) {
  ASSERT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1"))), IsOk());
  ASSERT_THAT(store_.Commit(StoreTransaction().Put("registry/workloads/w", "?")), IsOk());
  Plane two(&store_, &clock_);
  ASSERT_THAT(two.Start(), IsOk());
  // Where nothing is known but where it is, its address is not one outside the mesh.
  ASSERT_NE(two.Find("w"), nullptr);
  EXPECT_TRUE(two.Find("w")->stand_in);
  EXPECT_EQ(two.registry.snapshot()->AtAddress("/10.0.0.1")->name, "w");
  EXPECT_FALSE(two.registry.snapshot()->HasUnplaced());
  EXPECT_TRUE(two.sources.troubles().empty());
  ASSERT_EQ(two.unreadable.List().size(), 1u);
  EXPECT_THAT(two.unreadable.List().front().effect, HasSubstr("(10.0.0.1) are refused"));
  // All others go on, in both directions; what comes later says that what was before is seen.
  EXPECT_THAT(two.Apply(Document(Workload("v", "10.0.0.2"))), IsOk());
  ASSERT_TRUE(one_.Sees("v", true));
  ASSERT_EQ(one_.unreadable.List().size(), 1u);
  const UnreadableRecord bad = one_.unreadable.List().front();
  EXPECT_EQ(bad.key, "registry/workloads/w");
  EXPECT_THAT(bad.effect, HasSubstr("stays in force as it was"));
  EXPECT_THAT(bad.remedy, HasSubstr("byrniectl workloads delete w"));
  EXPECT_NE(one_.Find("w"), nullptr);
  EXPECT_THAT(one_.Apply(Document(Workload("u", "10.0.0.3"))), IsOk());
  EXPECT_TRUE(two.Sees("u", true));
  EXPECT_EQ((*store_.Get("registry/workloads/w"))->value, "?");
  // The same again is written, because what is stored is not that.
  ASSERT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1"))), IsOk());
  EXPECT_TRUE(one_.unreadable.List().empty());
  EXPECT_THAT(one_.Apply(Document(Workload("t", "10.0.0.4"))), IsOk());
  EXPECT_TRUE(two.Sees("t", true));
  EXPECT_NE(two.Find("w"), nullptr);
  EXPECT_TRUE(two.unreadable.List().empty());
}

TEST_F(RegistryAdminTest, ARecordThatCannotBeReadCanBeDeleted) {
  StoreTransaction transaction;
  transaction.Put("registry/generation", "1").Put("registry/workloads/w", "?");
  transaction.Put("registry/services/n/s", "?");
  ASSERT_THAT(store_.Commit(transaction), IsOk());
  Plane two(&store_, &clock_);
  ASSERT_THAT(two.Start(), IsOk());
  EXPECT_EQ(two.unreadable.List().size(), 2u);
  EXPECT_THAT(two.admin->Delete(ResourceKind::kWorkload, "w", "0", "x"),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(two.admin->Delete(ResourceKind::kWorkload, "w", "", "x"), IsOk());
  EXPECT_THAT(two.admin->Delete(ResourceKind::kService, "n/s", "", "x"), IsOk());
  EXPECT_TRUE(two.unreadable.List().empty());
  EXPECT_EQ(*store_.Count("registry/"), 1);
  EXPECT_EQ(*store_.Count("registry_addresses/"), 0);
}

TEST_F(RegistryAdminTest, WhileSomethingIsNobodyKnowsWhereNoAddressIsOutsideTheMesh) {
  ASSERT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1"))), IsOk());
  StoreTransaction damage;
  damage.Put("registry/workloads/w", "?").Put("registry_addresses/workloads/w", "?");
  ASSERT_THAT(store_.Commit(damage), IsOk());
  Plane two(&store_, &clock_);
  ASSERT_THAT(two.Start(), IsOk());
  EXPECT_TRUE(two.registry.snapshot()->HasUnplaced());
  ASSERT_EQ(two.unreadable.List().size(), 1u);
  EXPECT_THAT(two.unreadable.List().front().effect,
              HasSubstr("addresses of this workload are not"));
  ASSERT_THAT(two.Apply(Document(Workload("w", "10.0.0.1"))), IsOk());
  EXPECT_FALSE(two.registry.snapshot()->HasUnplaced());
  EXPECT_FALSE(two.Find("w")->stand_in);
}

TEST_F(RegistryAdminTest, AServiceThatCannotBeReadKeepsItsAddresses) {
  ASSERT_THAT(
      one_.Apply(Document("", R"({"name":"s","namespace":"n","hostname":"s",)"
                              R"("addresses":["10.1.0.1"],"ports":[{"service_port":80}]})")),
      IsOk());
  ASSERT_THAT(store_.Commit(StoreTransaction().Put("registry/services/n/s", "?")), IsOk());
  Plane two(&store_, &clock_);
  ASSERT_THAT(two.Start(), IsOk());
  ASSERT_NE(two.registry.snapshot()->AtAddress("/10.1.0.1"), nullptr);
  EXPECT_EQ(ServiceOf(*two.Find("n/s")).ports_size(), 0);
  EXPECT_THAT(two.admin->Delete(ResourceKind::kService, "n/s", "", "x"), IsOk());
  EXPECT_EQ(two.registry.snapshot()->AtAddress("/10.1.0.1"), nullptr);
}

// What a newer release stores while this one runs.
TEST_F(RegistryAdminTest, ANewRecordThatCannotBeReadIsNotOutsideTheMeshEither) {
  ASSERT_THAT(one_.Apply(Document(Workload("v", "10.0.0.2"))), IsOk());
  byrnie::store::v1::EntryAddresses addresses;
  addresses.set_key("registry/workloads/w");
  addresses.add_addresses("/10.0.0.1");
  StoreTransaction newer;
  newer.Put("registry/workloads/w", "?").Put("registry/generation", "1");
  newer.Put("registry_addresses/workloads/w", addresses.SerializeAsString());
  ASSERT_THAT(store_.Commit(newer), IsOk());
  ASSERT_TRUE(one_.Sees("w", true));
  EXPECT_TRUE(one_.Find("w")->stand_in);
  ASSERT_THAT(one_.Apply(Document(Workload("w", "10.0.0.1"))), IsOk());
  EXPECT_FALSE(one_.Find("w")->stand_in);
}

// Of an older release.
TEST_F(RegistryAdminTest, AddressesThatAreNotStoredAreStoredByWhoStarts) {
  std::string many = Workload("w0", "10.0.1.0");
  for (int i = 1; i < 40; ++i) {
    absl::StrAppend(&many, ",", Workload(absl::StrCat("w", i), absl::StrCat("10.0.1.", i)));
  }
  ASSERT_THAT(one_.Apply(Document(many)), IsOk());
  StoreTransaction older;
  older.Delete("registry_addresses/workloads/w3").Delete("registry/workloads/w4");
  older.Delete("registry_addresses/workloads/w5");
  ASSERT_THAT(store_.Commit(older), IsOk());
  Plane two(&store_, &clock_);
  ASSERT_THAT(two.Start(), IsOk());
  EXPECT_EQ(*store_.Count("registry_addresses/"), 39);
  EXPECT_FALSE(store_.Get("registry_addresses/workloads/w4")->has_value());
  ASSERT_THAT(store_.Commit(StoreTransaction().Put("registry/workloads/w3", "?")), IsOk());
  Plane three(&store_, &clock_);
  ASSERT_THAT(three.Start(), IsOk());
  EXPECT_EQ(three.registry.snapshot()->AtAddress("/10.0.1.3")->name, "w3");
}

TEST_F(RegistryAdminTest, AWorkloadDoesNotNameAPolicyThatCannotBeRead) {
  const auto known = ParseRegistryFile(
      R"({"policies":[{"name":"p","namespace":"n","scope":"WORKLOAD_SELECTOR","action":"DENY",)"
      R"("rules":[{"clauses":[{"matches":[{"destination_ports":[80]}]}]}]}]})",
      "td");
  ASSERT_THAT(known, IsOk());
  ASSERT_THAT(one_.sources.Set(RegistrySource::kApi, *known), IsOk());
  ASSERT_THAT(store_.Commit(StoreTransaction().Put("policies/n/p", "?")), IsOk());
  EXPECT_THAT(
      one_.Apply(Document(Workload("w", "10.0.0.1", R"(,"authorization_policies":["n/p"])"))),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("\"n/p\" cannot be read")));
}

}  // namespace
}  // namespace byrnie
