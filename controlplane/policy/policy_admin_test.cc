#include "controlplane/policy/policy_admin.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "byrnie/store/v1/policy.pb.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/grpc/error_details.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/policy/policy_document.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/registry/registry_admin.h"
#include "controlplane/registry/static_parser.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Source = RegistrySources::Source;

std::string Document(const std::string& name, int port = 80,
                     const std::string& scope = "NAMESPACE") {
  return absl::StrCat("{\"name\":\"", name, "\",\"namespace\":\"demo\",\"scope\":\"", scope,
                      "\",\"action\":\"DENY\",\"rules\":[{\"clauses\":[{\"matches\":[",
                      "{\"destination_ports\":[", port, "]}]}]}]}");
}

class PolicyAdminTest : public ::testing::Test {
 protected:
  PolicyAdminTest() {
    SetFile("");
    auto entries =
        RegistryAdmin::Create(&store_, &sources_, "cluster.local", &unreadable_, &events_, &clock_);
    EXPECT_THAT(entries, IsOk());
    entries_ = *std::move(entries);
    Restart();
  }
  // The file: a workload in demo, which lists `policy`, and policies.
  void SetFile(const std::string& policies, const std::string& listed = "") {
    const std::string text = absl::StrCat(
        "{\"workloads\":[{\"name\":\"w\",\"namespace\":\"demo\",\"service_account\":\"w\",",
        "\"addresses\":[\"10.0.0.1\"]",
        listed.empty() ? "" : absl::StrCat(",\"authorization_policies\":[\"", listed, "\"]"),
        "}],\"policies\":[", policies, "]}");
    EXPECT_THAT(sources_.Set(Source::kFile, *ParseRegistryFile(text, "cluster.local")), IsOk());
  }
  void Restart() {
    auto admin =
        PolicyAdmin::Create(&records_, &sources_, entries_.get(), &unreadable_, &events_, &clock_);
    ASSERT_THAT(admin, IsOk());
    admin_ = *std::move(admin);
  }
  bool InForce(const std::string& name) {
    return registry_.snapshot()->Find(ResourceType::kAuthorization, name) != nullptr;
  }
  static std::string ViolationOf(const absl::Status& status) {
    google::rpc::PreconditionFailure detail;
    return GetDetail(status, &detail) ? detail.violations(0).type() : "";
  }

  FakeClock clock_;
  EventLog events_{&clock_};
  Registry registry_;
  RegistrySources sources_{&registry_};
  MemoryStore store_;
  RecordTable records_{&store_, "policies/"};
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  UnreadableRecords unreadable_{"", &logger_, &metrics_};
  std::unique_ptr<RegistryAdmin> entries_;
  std::unique_ptr<PolicyAdmin> admin_;
};

TEST_F(PolicyAdminTest, AnAppliedPolicyIsInForceAndIsStillAfterARestart) {
  auto applied = admin_->Apply(Document("x"), "", false, "bob");
  ASSERT_THAT(applied, IsOk());
  EXPECT_FALSE(applied->unchanged);
  EXPECT_TRUE(InForce("demo/x"));
  ASSERT_THAT(sources_.Set(Source::kApi, {}), IsOk());
  Restart();
  auto entry = admin_->Get("demo/x");
  ASSERT_THAT(entry, IsOk());
  EXPECT_EQ(entry->version, applied->entry.version);
  EXPECT_EQ(entry->applied_by, "bob");
  EXPECT_EQ(entry->applied_at, clock_.WallNow());
  EXPECT_EQ(entry->source, RegistrySource::kApi);
}

TEST_F(PolicyAdminTest, ApplyingTheSameAgainChangesNothing) {
  const auto first = admin_->Apply(Document("x"), "", false, "bob");
  const auto again = admin_->Apply(Document("x"), "", false, "eve");
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->unchanged);
  EXPECT_EQ(again->entry.applied_by, "bob");
  EXPECT_EQ(again->entry.version, first->entry.version);
}

TEST_F(PolicyAdminTest, OnlyTheVersionThatWasLookedAtIsReplaced) {
  EXPECT_THAT(admin_->Apply(Document("x"), "0000", false, "bob"),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("there is no policy \"demo/x\"")));
  const auto first = admin_->Apply(Document("x"), PolicyAdmin::kNoVersion, false, "bob");
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(admin_->Apply(Document("x", 81), PolicyAdmin::kNoVersion, false, "bob"),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(admin_->Apply(Document("x", 81), first->entry.version, false, "bob"), IsOk());
  EXPECT_THAT(admin_->Delete("demo/x", first->entry.version, "bob"),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_TRUE(InForce("demo/x"));
}

TEST_F(PolicyAdminTest, WhatIsProbablyNotMeantNeedsToBeAccepted) {
  const std::string document =
      R"({"name":"x","namespace":"demo","scope":"NAMESPACE","action":"DENY","rules":[{"clauses":[{}]}]})";
  const absl::Status refused = admin_->Apply(document, "", false, "bob").status();
  EXPECT_THAT(refused,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("every connection")));
  EXPECT_EQ(ViolationOf(refused), "FINDING");
  EXPECT_FALSE(InForce("demo/x"));
  EXPECT_THAT(admin_->Apply(document, "", true, "bob"), IsOk());
  EXPECT_TRUE(InForce("demo/x"));
}

TEST_F(PolicyAdminTest, PoliciesOfTheFileAreChangedThere) {
  SetFile(Document("f"));
  const absl::Status applied = admin_->Apply(Document("f", 81), "", false, "bob").status();
  EXPECT_THAT(applied, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("demo/f")));
  EXPECT_EQ(ViolationOf(applied), "CONFLICT");
  EXPECT_EQ(ViolationOf(admin_->Delete("demo/f", "", "bob")), "CONFLICT");
  EXPECT_EQ(admin_->Get("demo/f")->source, RegistrySource::kFile);
}

TEST_F(PolicyAdminTest, PoliciesOfTheClusterAreChangedThere) {
  istio::security::Authorization policy = *ParsePolicyDocument(Document("c"));
  ASSERT_THAT(sources_.TakeChange([&](const RegistrySnapshot&) -> absl::StatusOr<RegistryChange> {
    RegistryChange change;
    change.put.push_back({MakeResource(RegistrySource::kKubernetes, policy)});
    return change;
  }),
              IsOk());
  const absl::Status applied = admin_->Apply(Document("c", 81), "", false, "bob").status();
  EXPECT_THAT(applied, StatusIs(absl::StatusCode::kFailedPrecondition,
                                HasSubstr("kubectl -n demo edit accesspolicies.byrnie.io c")));
  EXPECT_EQ(ViolationOf(applied), "CONFLICT");
  EXPECT_EQ(ViolationOf(admin_->Delete("demo/c", "", "bob")), "CONFLICT");
  EXPECT_EQ(admin_->Get("demo/c")->source, RegistrySource::kKubernetes);
}

TEST_F(PolicyAdminTest, APolicyThatAWorkloadListsStaysWhatItIs) {
  ASSERT_THAT(admin_->Apply(Document("x", 80, "WORKLOAD_SELECTOR"), "", true, "bob"), IsOk());
  SetFile("", "demo/x");
  EXPECT_EQ(ViolationOf(admin_->Delete("demo/x", "", "bob")), "IN_USE");
  EXPECT_EQ(ViolationOf(admin_->Apply(Document("x"), "", true, "bob").status()), "IN_USE");
  EXPECT_TRUE(InForce("demo/x"));
  SetFile("");
  EXPECT_THAT(admin_->Delete("demo/x", "", "bob"), IsOk());
  EXPECT_FALSE(InForce("demo/x"));
  EXPECT_THAT(admin_->Delete("demo/x", "", "bob"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PolicyAdminTest, AStoreThatIsDownChangesNothing) {
  ASSERT_THAT(admin_->Apply(Document("x"), "", false, "bob"), IsOk());
  store_.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_THAT(admin_->Apply(Document("y"), "", false, "bob"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("fire")));
  EXPECT_THAT(admin_->Delete("demo/x", "", "bob"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(InForce("demo/x"));
  EXPECT_FALSE(InForce("demo/y"));
}

TEST_F(PolicyAdminTest, AnotherControlPlanesChangeIsNotOverwritten) {
  ASSERT_THAT(admin_->Apply(Document("x"), "", false, "bob"), IsOk());
  byrnie::store::v1::Policy record;
  record.set_document(Document("x", 82));
  ASSERT_THAT(records_.Put("demo/x", record.SerializeAsString(), absl::nullopt), IsOk());
  EXPECT_THAT(admin_->Apply(Document("x", 81), "", false, "bob"),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(admin_->Delete("demo/x", "", "bob"), StatusIs(absl::StatusCode::kAborted));
  ASSERT_THAT(admin_->Reload(), IsOk());
  EXPECT_THAT(admin_->Apply(Document("x", 81), "", false, "bob"), IsOk());
}

TEST_F(PolicyAdminTest, ARecordWrittenAnewAsItIsKeepsNobodyBack) {
  ASSERT_THAT(admin_->Apply(Document("x"), "", false, "bob"), IsOk());
  const auto again = [this] { return records_.Put("demo/x", (*records_.List())[0].value, {}); };
  ASSERT_THAT(again(), IsOk());
  EXPECT_THAT(admin_->Apply(Document("x", 81), "", false, "bob"), IsOk());
  ASSERT_THAT(again(), IsOk());
  EXPECT_THAT(admin_->Delete("demo/x", "", "bob"), IsOk());
  EXPECT_FALSE(InForce("demo/x"));
}

// Another control plane, of another file, may have deleted what this one's file names. Proxies deny
// every connection to a workload of which they do not have a policy.
TEST_F(PolicyAdminTest, WhatIsDeletedElsewhereIsMissedHere) {
  ASSERT_THAT(admin_->Apply(Document("x", 80, "WORKLOAD_SELECTOR"), "", true, "bob"), IsOk());
  SetFile("", "demo/x");
  ASSERT_THAT(records_.Delete("demo/x", absl::nullopt), IsOk());
  EXPECT_THAT(admin_->Reload(), IsOk());
  EXPECT_FALSE(InForce("demo/x"));
  ASSERT_EQ(sources_.troubles().size(), 1u);
  EXPECT_THAT(sources_.troubles()[0].why,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("of the registry file")));
  EXPECT_THAT(admin_->Apply(Document("y"), "", false, "bob"), IsOk());
  SetFile("");
  EXPECT_THAT(sources_.troubles(), IsEmpty());
}

TEST_F(PolicyAdminTest, AFileThatHasItAlreadyKeepsNothingElseBack) {
  SetFile(Document("x"));
  byrnie::store::v1::Policy record;
  record.set_document(Document("x", 81));
  ASSERT_THAT(records_.Put("demo/x", record.SerializeAsString(), absl::nullopt), IsOk());
  record.set_document(Document("y"));
  ASSERT_THAT(records_.Put("demo/y", record.SerializeAsString(), absl::nullopt), IsOk());
  EXPECT_THAT(admin_->Reload(), IsOk());
  EXPECT_TRUE(sources_.HasPolicy(Source::kFile, "demo/x"));
  EXPECT_TRUE(InForce("demo/y"));
  ASSERT_EQ(sources_.troubles().size(), 1u);
  EXPECT_TRUE(sources_.troubles()[0].left_out);
  EXPECT_THAT(admin_->Delete("demo/x", "", "bob"), IsOk());
  EXPECT_THAT(sources_.troubles(), IsEmpty());
  EXPECT_TRUE(sources_.HasPolicy(Source::kFile, "demo/x"));
  EXPECT_EQ(ViolationOf(admin_->Delete("demo/x", "", "bob")), "CONFLICT");
}

TEST_F(PolicyAdminTest, WhatTheStoreDidNotSayIsAskedForAgain) {
  byrnie::store::v1::Policy record;
  record.set_document(Document("x"));
  ASSERT_THAT(records_.Put("demo/x", record.SerializeAsString(), absl::nullopt), IsOk());
  store_.FailWith(absl::UnavailableError("away"));
  EXPECT_THAT(admin_->Reload(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(admin_->CatchUp(), StatusIs(absl::StatusCode::kUnavailable));
  store_.FailWith(absl::OkStatus());
  EXPECT_THAT(admin_->CatchUp(), IsOk());
  EXPECT_TRUE(InForce("demo/x"));
}

// One record that cannot be read keeps no other one back.
TEST_F(PolicyAdminTest, ARecordThatCannotBeReadLeavesThePolicyAsItWas) {
  ASSERT_THAT(admin_->Apply(Document("x"), "", false, "bob"), IsOk());
  byrnie::store::v1::Policy record;
  record.set_document(Document("y"));
  ASSERT_THAT(records_.Put("demo/x", "nonsense", absl::nullopt), IsOk());
  ASSERT_THAT(records_.Put("demo/y", record.SerializeAsString(), absl::nullopt), IsOk());
  EXPECT_THAT(admin_->Reload(), IsOk());
  EXPECT_TRUE(InForce("demo/y"));
  EXPECT_EQ(admin_->Get("demo/x")->policy.SerializeAsString(),
            ParsePolicyDocument(Document("x"))->SerializeAsString());
  ASSERT_EQ(unreadable_.List().size(), 1u);
  const UnreadableRecord bad = unreadable_.List()[0];
  EXPECT_EQ(bad.key, "policies/demo/x");
  EXPECT_EQ(bad.why, "the record is damaged");
  EXPECT_THAT(bad.effect, HasSubstr("as it was before"));
  EXPECT_THAT(bad.remedy, HasSubstr("byrniectl policy delete demo/x"));
  EXPECT_EQ((*records_.List())[0].value, "nonsense");
  // It is mended where it was written, or here by applying what is in force.
  record.set_document(Document("x", 81));
  ASSERT_THAT(records_.Put("demo/x", record.SerializeAsString(), absl::nullopt), IsOk());
  EXPECT_THAT(admin_->Reload(), IsOk());
  EXPECT_THAT(unreadable_.List(), IsEmpty());
  ASSERT_THAT(records_.Put("demo/x", "nonsense", absl::nullopt), IsOk());
  EXPECT_THAT(admin_->Reload(), IsOk());
  const auto again = admin_->Apply(Document("x", 81), "", false, "bob");
  ASSERT_THAT(again, IsOk());
  EXPECT_FALSE(again->unchanged);
  EXPECT_THAT(unreadable_.List(), IsEmpty());
  EXPECT_THAT(admin_->Reload(), IsOk());
  EXPECT_THAT(unreadable_.List(), IsEmpty());
}

TEST_F(PolicyAdminTest, WhereNothingIsKnownOfARecordSomethingStandsInForIt) {
  ASSERT_THAT(records_.Put("demo/x", "nonsense", absl::nullopt), IsOk());
  ASSERT_THAT(records_.Put("garbage", "nonsense", absl::nullopt), IsOk());
  Restart();
  const auto resource = registry_.snapshot()->Get(ResourceType::kAuthorization, "demo/x");
  ASSERT_NE(resource, nullptr);
  EXPECT_TRUE(resource->stand_in);
  EXPECT_EQ(admin_->Get("demo/x")->policy.scope(), istio::security::GLOBAL);
  EXPECT_EQ(admin_->Get("demo/x")->policy.action(), istio::security::DENY);
  EXPECT_THAT(admin_->Get("demo/x")->applied_by, HasSubstr("stands in"));
  ASSERT_EQ(unreadable_.List().size(), 2u);
  EXPECT_THAT(unreadable_.List()[0].effect, HasSubstr("denies every connection"));
  EXPECT_THAT(unreadable_.List()[1].effect, HasSubstr("no policy can have this key"));
  // Whoever has seen another one is not to delete this one unseen.
  EXPECT_TRUE(IsStandInVersion(resource->version));
  for (const char* name : {"demo/x", "garbage"}) {
    EXPECT_THAT(admin_->Delete(name, "seen", "bob"), StatusIs(absl::StatusCode::kAborted)) << name;
  }
  // It stays while the record is what it is.
  ASSERT_THAT(records_.Put("demo/x", "more nonsense", absl::nullopt), IsOk());
  EXPECT_THAT(admin_->Reload(), IsOk());
  EXPECT_TRUE(InForce("demo/x"));
  EXPECT_THAT(admin_->Apply(Document("x"), "", false, "bob"), IsOk());
  EXPECT_FALSE(registry_.snapshot()->Get(ResourceType::kAuthorization, "demo/x")->stand_in);
  EXPECT_THAT(admin_->Delete("garbage", "", "bob"), IsOk());
  EXPECT_THAT(unreadable_.List(), IsEmpty());
}

TEST_F(PolicyAdminTest, WhatStandsInIsDeletedWithTheRecord) {
  ASSERT_THAT(records_.Put("demo/x", "nonsense", absl::nullopt), IsOk());
  Restart();
  EXPECT_THAT(admin_->Delete("demo/x", "", "bob"), IsOk());
  EXPECT_FALSE(InForce("demo/x"));
  EXPECT_THAT(records_.List(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(unreadable_.List(), IsEmpty());
}

// What was not there before is not in force: as it was, until somebody says otherwise.
TEST_F(PolicyAdminTest, ANewRecordThatCannotBeReadChangesNothing) {
  ASSERT_THAT(records_.Put("demo/x", "nonsense", absl::nullopt), IsOk());
  EXPECT_THAT(admin_->Reload(), IsOk());
  EXPECT_FALSE(InForce("demo/x"));
  ASSERT_EQ(unreadable_.List().size(), 1u);
  EXPECT_THAT(unreadable_.List()[0].effect,
              AllOf(HasSubstr("is not in force"), HasSubstr("denies every connection")));
  ASSERT_THAT(records_.Put("demo/x", "more nonsense", absl::nullopt), IsOk());
  // One that nobody here has seen is not overwritten.
  EXPECT_THAT(admin_->Apply(Document("x"), "", false, "bob"), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(admin_->Delete("demo/x", "", "bob"), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(admin_->Reload(), IsOk());
  EXPECT_THAT(admin_->Apply(Document("x"), "", false, "bob"), IsOk());
  EXPECT_TRUE(InForce("demo/x"));
}

TEST_F(PolicyAdminTest, WhatStandsInGivesWayToTheFile) {
  ASSERT_THAT(records_.Put("demo/x", "nonsense", absl::nullopt), IsOk());
  sources_.Hold();
  SetFile(Document("x"));
  Restart();
  EXPECT_THAT(sources_.Release(), IsOk());
  EXPECT_TRUE(sources_.HasPolicy(Source::kFile, "demo/x"));
}

TEST_F(PolicyAdminTest, ValidatingSaysWhatItWouldMeanAndChangesNothing) {
  auto answer = admin_->Validate(Document("x"));
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->review.workloads, 1u);
  EXPECT_THAT(answer->review.findings, IsEmpty());
  EXPECT_FALSE(InForce("demo/x"));
  EXPECT_THAT(admin_->Validate("{"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(PolicyAdminTest, TellsWhoDidWhat) {
  ASSERT_THAT(admin_->Apply(Document("x"), "", false, "bob"), IsOk());
  const auto event = *events_.Next({}).event;
  EXPECT_EQ(event.kind, EventKind::kPolicyChanged);
  EXPECT_EQ(event.subject, "demo/x");
  EXPECT_EQ(event.actor, "bob");
}

}  // namespace
}  // namespace byrnie
