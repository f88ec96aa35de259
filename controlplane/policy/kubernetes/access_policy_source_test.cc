#include "controlplane/policy/kubernetes/access_policy_source.h"

#include <unistd.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/event/testing/manual_event_loop.h"
#include "controlplane/kubernetes/testing/fake_api_client.h"
#include "controlplane/kubernetes/testing/fake_informer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kNamespaceScope[] = R"({"scope":"NAMESPACE","action":"DENY"})";
constexpr char kOther[] = R"({"scope":"NAMESPACE","action":"ALLOW"})";
constexpr char kWrong[] = R"({"scope":"GLOBAL","action":"DENY"})";

constexpr char kServicePort[] =
    R"({"scope":"NAMESPACE","action":"DENY",)"
    R"("rules":[{"clauses":[{"matches":[{"destinationPorts":[80]}]}]}]})";
constexpr char kTargetPort[] =
    R"({"scope":"NAMESPACE","action":"DENY",)"
    R"("rules":[{"clauses":[{"matches":[{"destinationPorts":[8080]}]}]}]})";

std::string Selecting(const std::string& app) {
  return absl::StrCat(
      R"({"scope":"WORKLOAD_SELECTOR","action":"DENY","selector":{"matchLabels":{"app":")", app,
      R"("}}})");
}

class AccessPolicySourceTest : public ::testing::Test {
 protected:
  AccessPolicySourceTest() {
    source_->AddListener([this](const Informer<PolicySelector>::Changes& changes) {
      ++told_;
      for (const auto& change : changes) {
        if (change.after == nullptr)
          selected_.erase(change.name.name);
        else
          selected_[change.name.name] = change.after->labels.at("app");
      }
    });
  }
  std::unique_ptr<AccessPolicySource> Make() {
    return std::make_unique<AccessPolicySource>(objects_.get(), statuses_.get(), "root", &loop_,
                                                &sources_, &events_, &logger_, &metrics_);
  }
  static AccessPolicy Object(const std::string& name, int64_t generation, const std::string& spec,
                             const std::string& uid = "u") {
    AccessPolicy object;
    object.name = {"shop", name};
    object.uid = uid;
    object.generation = generation;
    object.resource_version = absl::StrCat(generation, spec.size(), uid);
    object.spec = ParseAccessPolicySpec(*JsonValue::Parse(spec, 10000), object.name, "root");
    return object;
  }
  // What is written of it is there, as a server would have it.
  static AccessPolicy WithLastAccepted(AccessPolicy object, int64_t generation,
                                       const std::string& spec) {
    object.status = AccessPolicyStatus{true, "Accepted", "in force", generation, generation, spec};
    return Newer(std::move(object));
  }
  // The same for what it says now.
  static AccessPolicy AsWritten(AccessPolicy object) {
    const std::string spec = WriteAccessPolicySpec(*object.spec);
    const int64_t generation = object.generation;
    return WithLastAccepted(std::move(object), generation, spec);
  }
  // Of another version, as after any write to it.
  static AccessPolicy Newer(AccessPolicy object) {
    object.resource_version += "+";
    return object;
  }
  void Settle(absl::Duration time = AccessPolicySource::kGather) { loop_.AdvanceTime(time); }
  // In steps, as a loop does that looks all the time.
  void SettleFor(absl::Duration time) {
    for (absl::Duration gone; gone < time; gone += AccessPolicySource::kLook) {
      Settle(AccessPolicySource::kLook);
    }
  }
  // "ALLOW", "DENY", with the scope where it is not NAMESPACE; empty: nothing.
  std::string InForce(const std::string& name) {
    const Resource* const found =
        sources_.snapshot()->Find(ResourceType::kAuthorization, absl::StrCat("shop/", name));
    if (found == nullptr) return "";
    istio::security::Authorization policy;
    policy.ParseFromString(found->payload);
    return absl::StrCat(found->source == RegistrySource::kApi ? "API " : "",
                        istio::security::Action_Name(policy.action()),
                        policy.scope() == istio::security::WORKLOAD_SELECTOR ? " selected" : "");
  }
  // The body that was written last of all.
  std::string Written() {
    loop_.AdvanceTime(2 * PolicyStatusWriter::kPatience);
    while (client_.last_open()) {
      client_.Answer(200, "{}");
      loop_.AdvanceTime(PolicyStatusWriter::kSpread);
    }
    return client_.size() == 0 ? "" : client_.last().body;
  }
  void ApplyThroughApi(const std::string& name) {
    istio::security::Authorization policy;
    policy.set_namespace_("shop");
    policy.set_name(name);
    policy.set_scope(istio::security::NAMESPACE);
    policy.set_action(istio::security::ALLOW);
    ResourceList list(RegistrySource::kApi, /*ordered=*/false);
    ASSERT_THAT(list.Add(policy), IsOk());
    ASSERT_THAT(sources_.Take(std::move(list)), IsOk());
  }
  void DeleteFromApi() {
    ASSERT_THAT(sources_.Take(ResourceList(RegistrySource::kApi, false)), IsOk());
  }
  // A pod of the cluster that names a policy, or none any more.
  void PutPod(const std::string& policy) {
    istio::workload::Workload workload;
    workload.set_uid("//Pod/shop/cart");
    workload.set_name("cart");
    workload.set_namespace_("shop");
    workload.set_service_account("cart");
    workload.set_trust_domain("td");
    workload.add_addresses(std::string("\x0a\x00\x00\x01", 4));
    if (!policy.empty()) workload.add_authorization_policies(policy);
    ASSERT_THAT(sources_.TakeChange([&](const RegistrySnapshot&) -> absl::StatusOr<RegistryChange> {
      RegistryChange change;
      change.put.push_back({MakeResource(RegistrySource::kKubernetes, workload)});
      return change;
    }),
                IsOk());
  }

  // A pod of the cluster behind a service.
  void PutServing() {
    istio::workload::Service service;
    service.set_name("cart");
    service.set_namespace_("shop");
    service.set_hostname("cart.shop");
    istio::workload::Workload workload;
    workload.set_uid("//Pod/shop/cart");
    workload.set_name("cart");
    workload.set_namespace_("shop");
    workload.set_service_account("cart");
    workload.set_trust_domain("td");
    workload.add_addresses(std::string("\x0a\x00\x00\x01", 4));
    istio::workload::Port port;
    port.set_service_port(80);
    *service.add_ports() = port;
    port.set_target_port(8080);
    *(*workload.mutable_services())["shop/cart.shop"].add_ports() = port;
    ASSERT_THAT(sources_.TakeChange([&](const RegistrySnapshot&) -> absl::StatusOr<RegistryChange> {
      RegistryChange change;
      change.put.push_back({MakeResource(RegistrySource::kKubernetes, service)});
      change.put.push_back({MakeResource(RegistrySource::kKubernetes, workload)});
      return change;
    }),
                IsOk());
  }

  ManualEventLoop loop_;
  std::mt19937 random_{5};
  FakeClock clock_;
  Logger logger_{STDERR_FILENO, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  Registry registry_;
  RegistrySources sources_{&registry_};
  EventLog events_{&clock_};
  FakeApiClient client_;
  std::unique_ptr<PolicyStatusWriter> statuses_ =
      std::make_unique<PolicyStatusWriter>(&client_, &loop_, random_, &logger_, &metrics_);
  std::unique_ptr<FakeInformer<AccessPolicy>> objects_ =
      std::make_unique<FakeInformer<AccessPolicy>>();
  std::unique_ptr<AccessPolicySource> source_ = Make();
  int told_ = 0;
  std::map<std::string, std::string> selected_;
};

TEST_F(AccessPolicySourceTest, IsSyncedOnceAllHaveBeenPublished) {
  Settle(absl::Minutes(1));
  EXPECT_FALSE(source_->synced());
  objects_->Set({});
  EXPECT_FALSE(source_->synced());
  Settle();
  EXPECT_TRUE(source_->synced());
  // Also of nothing: others wait for it.
  EXPECT_EQ(told_, 1);
}

TEST_F(AccessPolicySourceTest, PutsInForceAndFollows) {
  objects_->Set({Object("a", 1, kNamespaceScope)});
  Settle();
  EXPECT_EQ(InForce("a"), "DENY");
  EXPECT_THAT(Written(), HasSubstr(R"("status":"True","reason":"Accepted")"));
  objects_->Put(Object("a", 2, kOther));
  Settle();
  EXPECT_EQ(InForce("a"), "ALLOW");
  EXPECT_THAT(Written(), HasSubstr(R"("observedGeneration":2)"));
  objects_->Set({});
  Settle();
  EXPECT_EQ(InForce("a"), "");
}

TEST_F(AccessPolicySourceTest, SaysInTheStatusWhatIsRemarkable) {
  objects_->Set({Object("a", 1, kNamespaceScope)});
  Settle();
  EXPECT_THAT(Written(), HasSubstr("in force; warning: it matches nothing"));
}

// The port of a service is what clients connect to, and never what policies see.
TEST_F(AccessPolicySourceTest, SaysInTheStatusWhatDoesNotGoWithTheRegistry) {
  const auto put = [this](int64_t generation, const std::string& spec) {
    objects_->Put(Object("a", generation, spec));
    Settle();
    EXPECT_THAT(Written(), Not(HasSubstr("compared")));
    // As it comes back from the server.
    AccessPolicy object = Object("a", generation, spec);
    object.status = AccessPolicyStatus{true,       "Accepted", "in force",
                                       generation, generation, WriteAccessPolicySpec(*object.spec)};
    objects_->Put(Newer(object));
    SettleFor(AccessPolicySource::kCompare);
    return Written();
  };
  objects_->Set({});
  Settle();
  PutServing();
  const std::string written = put(1, kServicePort);
  EXPECT_THAT(written, HasSubstr(R"("status":"True","reason":"Accepted")"));
  EXPECT_THAT(written, HasSubstr("in force; compared with the registry at 2030-01-01T"));
  EXPECT_THAT(written, HasSubstr("80 is the port of service shop/cart.shop, and policies see the "
                                 "port that it leads to, 8080"));
  EXPECT_THAT(put(2, kTargetPort), Not(HasSubstr("compared")));
}

// As applied in one go with the Deployment that it is about: its pods come later.
TEST_F(AccessPolicySourceTest, ComparesAPolicyOnceItIsAboutSomebody) {
  objects_->Set({Object("a", 1, kServicePort)});
  Settle();
  EXPECT_THAT(Written(), Not(HasSubstr("compared")));
  objects_->Put(AsWritten(Object("a", 1, kServicePort)));
  SettleFor(absl::Seconds(10));
  PutServing();
  SettleFor(absl::Minutes(1));
  EXPECT_THAT(Written(), HasSubstr("80 is the port of service shop/cart.shop"));
}

TEST_F(AccessPolicySourceTest, LooksAgainEachHourAtMostForAPolicyThatIsAboutNobody) {
  objects_->Set({Object("a", 1, kServicePort)});
  Settle();
  SettleFor(absl::Hours(3));
  EXPECT_THAT(Written(), Not(HasSubstr("compared")));
  objects_->Put(AsWritten(Object("a", 1, kServicePort)));
  Settle();
  PutServing();
  SettleFor(absl::Hours(1));
  EXPECT_THAT(Written(), HasSubstr("80 is the port of service shop/cart.shop"));
}

TEST_F(AccessPolicySourceTest, ComparesAPolicyOnceItsNameIsFree) {
  PutServing();
  ApplyThroughApi("a");
  objects_->Set({Object("a", 1, kServicePort)});
  Settle();
  SettleFor(absl::Seconds(10));
  EXPECT_THAT(Written(), HasSubstr("NameTaken"));
  objects_->Put(Newer(Object("a", 1, kServicePort)));
  DeleteFromApi();
  SettleFor(absl::Seconds(3));
  EXPECT_THAT(Written(), HasSubstr("80 is the port of service shop/cart.shop"));
}

// The one that accepted it may have ended before there was anybody to compare it with.
TEST_F(AccessPolicySourceTest, ComparesWhatWasAcceptedByAnotherThatHasSaidNothingOfIt) {
  PutServing();
  objects_->Set({AsWritten(Object("a", 1, kServicePort))});
  Settle();
  SettleFor(absl::Seconds(10));
  EXPECT_THAT(Written(), HasSubstr("80 is the port of service shop/cart.shop"));
}

TEST_F(AccessPolicySourceTest, LeavesWhatAnotherHasFoundInTheRegistryAsItIs) {
  PutServing();
  AccessPolicy object = Object("a", 1, kServicePort);
  object.status = AccessPolicyStatus{
      true, "Accepted", "in force; compared with the registry at noon: warning: x",
      1,    1,          WriteAccessPolicySpec(*object.spec)};
  objects_->Set({object});
  Settle(absl::Minutes(1));
  EXPECT_EQ(Written(), "");
}

TEST_F(AccessPolicySourceTest, SaysNoMoreThanCanBeReadAgain) {
  std::string name;
  for (int i = 0; i < 1000; ++i) name += "\xc3\xa4";
  objects_->Set({Object("a", 1, absl::StrCat(R"({"scope":")", name, R"(","action":"DENY"})"))});
  Settle();
  const std::string written = Written();
  EXPECT_THAT(written, HasSubstr("\xc3\xa4; nothing of it is in force"));
  EXPECT_THAT(written, Not(HasSubstr("\xef\xbf\xbd")));
}

// Whoever wrote it has written no list.
TEST_F(AccessPolicySourceTest, SaysWhereItIsWrongFromTheObjectsTop) {
  for (const char* place : {"items[7].spec.scope", "object.spec.scope", "spec.scope"}) {
    AccessPolicy object = Object("a", 1, kWrong);
    object.spec = absl::InvalidArgumentError(absl::StrCat(place, ": \"X\" is none"));
    objects_->Set({object});
    Settle();
    EXPECT_THAT(source_->refused(), ElementsAre(StartsWith("shop/a (Invalid: spec.scope: ")));
  }
}

TEST_F(AccessPolicySourceTest, NamesThoseThatAreRefused) {
  EXPECT_THAT(source_->refused(), IsEmpty());
  objects_->Set({Object("a", 1, kNamespaceScope), Object("b", 1, kWrong)});
  Settle();
  EXPECT_THAT(source_->refused(), ElementsAre(StartsWith("shop/b (Invalid: ")));
  objects_->Put(Object("b", 2, kOther));
  Settle();
  EXPECT_THAT(source_->refused(), IsEmpty());
}

TEST_F(AccessPolicySourceTest, KeepsWhatWasAcceptedLast) {
  objects_->Set({Object("a", 1, kNamespaceScope)});
  Settle();
  Written();
  objects_->Put(Object("a", 2, kWrong));
  Settle();
  EXPECT_EQ(InForce("a"), "DENY");
  const std::string written = Written();
  EXPECT_THAT(written, HasSubstr(R"("status":"False","reason":"Invalid")"));
  EXPECT_THAT(written, HasSubstr("scope GLOBAL is for the namespace root alone"));
  EXPECT_THAT(written, HasSubstr("what generation 1 said stays in force"));
  EXPECT_THAT(written, HasSubstr(R"("lastAccepted":{"generation":1,)"));
  objects_->Put(Object("a", 3, kOther));
  Settle();
  EXPECT_EQ(InForce("a"), "ALLOW");
}

TEST_F(AccessPolicySourceTest, HasNothingInForceOfWhatWasNeverAccepted) {
  objects_->Set({Object("a", 1, kWrong), Object("b", 1, kNamespaceScope)});
  Settle();
  EXPECT_EQ(InForce("a"), "");
  EXPECT_EQ(InForce("b"), "DENY");
  Written();
  bool said = false;
  for (size_t i = 0; i < client_.size(); ++i) {
    if (client_.request(i).body.find("nothing of it is in force") != std::string::npos) said = true;
  }
  EXPECT_TRUE(said);
}

TEST_F(AccessPolicySourceTest, TakesWhatWasAcceptedLastFromTheStatusAfterARestart) {
  objects_->Set({WithLastAccepted(Object("a", 2, kWrong), 1, kNamespaceScope)});
  Settle();
  EXPECT_EQ(InForce("a"), "DENY");
  EXPECT_THAT(Written(), HasSubstr("what generation 1 said stays in force"));
}

TEST_F(AccessPolicySourceTest, TakesWhatAnotherHasAcceptedLater) {
  objects_->Set({Object("a", 1, kNamespaceScope)});
  Settle();
  // It has not seen the second generation.
  objects_->Put(WithLastAccepted(Object("a", 3, kWrong), 2, kOther));
  Settle();
  EXPECT_EQ(InForce("a"), "ALLOW");
}

TEST_F(AccessPolicySourceTest, BelievesNoStatusThatCannotBe) {
  objects_->Set({WithLastAccepted(Object("a", 2, kWrong), 3, kNamespaceScope),
                 WithLastAccepted(Object("b", 2, kWrong), 1, kWrong),
                 WithLastAccepted(Object("c", 2, kWrong), 1, "{")});
  Settle();
  EXPECT_THAT(std::vector<std::string>({InForce("a"), InForce("b"), InForce("c")}),
              ElementsAre("", "", ""));
}

TEST_F(AccessPolicySourceTest, KeepsNothingOfAnotherObjectOfTheName) {
  objects_->Set({Object("a", 1, kNamespaceScope)});
  Settle();
  objects_->Set({Object("a", 1, kWrong, "another")});
  Settle();
  EXPECT_EQ(InForce("a"), "");
}

TEST_F(AccessPolicySourceTest, LeavesAKeyToTheApi) {
  ApplyThroughApi("a");
  objects_->Set({Object("a", 1, kNamespaceScope)});
  Settle();
  EXPECT_EQ(InForce("a"), "API ALLOW");
  EXPECT_THAT(Written(), HasSubstr(R"("status":"False","reason":"NameTaken")"));
  objects_->Put(Newer(Object("a", 1, kNamespaceScope)));
  DeleteFromApi();
  Settle(AccessPolicySource::kLook);
  EXPECT_EQ(InForce("a"), "DENY");
  EXPECT_THAT(Written(), HasSubstr(R"("status":"True")"));
}

TEST_F(AccessPolicySourceTest, GivesAKeyToTheApi) {
  objects_->Set({Object("a", 1, Selecting("cart"))});
  Settle();
  EXPECT_EQ(selected_.size(), 1u);
  Written();
  objects_->Put(Newer(Object("a", 1, Selecting("cart"))));
  // At another control plane, which had not heard of the object.
  ApplyThroughApi("a");
  EXPECT_EQ(InForce("a"), "API ALLOW");
  EXPECT_THAT(sources_.troubles(), IsEmpty());
  Settle(AccessPolicySource::kLook);
  EXPECT_THAT(Written(), HasSubstr(R"("reason":"NameTaken")"));
  EXPECT_THAT(selected_, IsEmpty());
}

TEST_F(AccessPolicySourceTest, IsInForceBeforeItSelects) {
  objects_->Set({});
  Settle();
  bool there = false;
  source_->AddListener(
      [&](const Informer<PolicySelector>::Changes&) { there = InForce("a") == "DENY selected"; });
  objects_->Put(Object("a", 1, Selecting("cart")));
  Settle();
  EXPECT_TRUE(there);
  EXPECT_EQ(selected_["a"], "cart");
  objects_->Put(Object("a", 2, Selecting("till")));
  Settle();
  EXPECT_EQ(selected_["a"], "till");
}

TEST_F(AccessPolicySourceTest, IsInForceUntilNobodyNamesIt) {
  objects_->Set({Object("a", 1, Selecting("cart"))});
  Settle();
  PutPod("shop/a");
  objects_->Set({});
  Settle();
  EXPECT_THAT(selected_, IsEmpty());
  EXPECT_EQ(InForce("a"), "DENY selected");
  PutPod("");
  Settle(AccessPolicySource::kLink);
  EXPECT_EQ(InForce("a"), "");
}

TEST_F(AccessPolicySourceTest, DoesNotWaitForEver) {
  objects_->Set({Object("a", 1, Selecting("cart"))});
  Settle();
  PutPod("shop/a");
  objects_->Set({});
  for (absl::Duration time; time < AccessPolicySource::kMostLink + absl::Seconds(1);
       time += AccessPolicySource::kLink) {
    Settle(AccessPolicySource::kLink);
  }
  EXPECT_EQ(InForce("a"), "");
}

TEST_F(AccessPolicySourceTest, AppliesAllTheTimeThatItsScopeBecomesAnother) {
  objects_->Set({Object("a", 1, kNamespaceScope)});
  Settle();
  objects_->Put(Object("a", 2, Selecting("cart")));
  Settle();
  // Those it selects hear of it while it applies to all.
  EXPECT_EQ(InForce("a"), "DENY");
  EXPECT_EQ(selected_["a"], "cart");
  PutPod("shop/a");
  EXPECT_THAT(sources_.troubles(), IsEmpty());
  Settle(AccessPolicySource::kLink);
  EXPECT_EQ(InForce("a"), "DENY selected");
  // And back: it applies to all before nobody names it.
  objects_->Put(Object("a", 3, kNamespaceScope));
  Settle();
  EXPECT_EQ(InForce("a"), "DENY");
  EXPECT_THAT(selected_, IsEmpty());
  EXPECT_THAT(sources_.troubles(), IsEmpty());
}

TEST_F(AccessPolicySourceTest, DoesNothingWhenNothingChanges) {
  objects_->Set({Object("a", 1, kNamespaceScope)});
  Settle();
  Written();
  const size_t written = client_.size();
  int published = 0;
  registry_.SetListener([&published] { ++published; });
  Settle(absl::Hours(1));
  PutPod("");
  Settle(absl::Hours(1));
  EXPECT_EQ(published, 1);
  EXPECT_EQ(client_.size(), written);
  registry_.SetListener(nullptr);
}

}  // namespace
}  // namespace byrnie
