#include "deploy/injector/lists_of_others.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"
#include "deploy/injector/pod_injection.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr char kEks[] = "eks.amazonaws.com/skip-containers";
constexpr char kAzure[] = "azure.workload.identity/skip-containers";
constexpr char kAutoscaler[] = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

class ListsOfOthersTest : public ::testing::Test {
 protected:
  ListsOfOthersTest() { ArrayIn(ObjectIn(&pod_, "spec"), "containers")->push_back(App()); }
  static Json App() {
    Json app = Json::object();
    app["name"] = "app";
    return app;
  }
  PodOutcome::Kind Inject() {
    const absl::StatusOr<PodOutcome> outcome = InjectPod(config_, &pod_);
    EXPECT_THAT(outcome, IsOk());
    return outcome.value_or(PodOutcome()).kind;
  }
  // Injects it, twice, and takes the sidecar out again: it is as it was. What it was meanwhile.
  Json ThereAndBack() {
    const Json before = pod_;
    Inject();
    const Json meanwhile = pod_;
    EXPECT_EQ(Inject(), PodOutcome::Kind::kUnchanged);
    EXPECT_TRUE(SameJson(pod_, meanwhile));
    EXPECT_TRUE(UninjectPod(&pod_));
    EXPECT_TRUE(SameJson(pod_, before)) << ToText(pod_);
    return meanwhile;
  }
  static std::string In(const Json& pod, const char* annotation) {
    const Json* const annotations = FindPath(pod, {"metadata", "annotations"});
    return annotations == nullptr ? "" : TextOf(*annotations, annotation);
  }

  InjectorConfig config_;
  Json pod_ = Json::object();
};

TEST_F(ListsOfOthersTest, HaveTheSidecarsContainers) {
  Json made = ThereAndBack();
  EXPECT_EQ(In(made, kEks), "byrnie-agent,byrnie-proxy,byrnie-redirect");
  EXPECT_EQ(In(made, kAzure), "byrnie-agent;byrnie-proxy;byrnie-redirect");
  config_.defaults["redirect-watch"] = "repair";
  made = ThereAndBack();
  EXPECT_EQ(In(made, kEks), "byrnie-agent,byrnie-proxy,byrnie-redirect,byrnie-watch");
  config_.defaults = {{"sidecars", "classic"}};
  pod_["spec"]["restartPolicy"] = "Never";
  pod_["spec"]["containers"][0]["command"] = Json::array({"run"});
  made = ThereAndBack();
  EXPECT_EQ(In(made, kAzure), "byrnie-agent;byrnie-proxy;byrnie-redirect;byrnie-finish");
}

TEST_F(ListsOfOthersTest, HaveTheSidecarsVolumesThatANodeMayBeTakenAwayWith) {
  EXPECT_EQ(In(ThereAndBack(), kAutoscaler), "byrnie-link,byrnie-nothing");
  pod_["metadata"]["annotations"][kAutoscaler] = "cache";
  config_.defaults["sidecars"] = "classic";
  pod_["spec"]["restartPolicy"] = "Never";
  pod_["spec"]["containers"][0]["command"] = Json::array({"run"});
  EXPECT_EQ(In(ThereAndBack(), kAutoscaler), "cache,byrnie-link,byrnie-nothing,byrnie-finish");
}

TEST_F(ListsOfOthersTest, KeepWhatIsInThem) {
  pod_["metadata"]["annotations"][kEks] = "istio-init, vault ";
  pod_["metadata"]["annotations"][kAzure] = "a;";
  const Json made = ThereAndBack();
  EXPECT_EQ(In(made, kEks), "istio-init, vault ,byrnie-agent,byrnie-proxy,byrnie-redirect");
  EXPECT_EQ(In(made, kAzure), "a;;byrnie-agent;byrnie-proxy;byrnie-redirect");
}

// Because the redirect would not be let in otherwise.
TEST_F(ListsOfOthersTest, KeepWhatOfOursSomebodyHasWrittenThere) {
  pod_["metadata"]["annotations"][kEks] = "byrnie-redirect, byrnie-watch";
  pod_["metadata"]["annotations"][kAzure] = "";
  const Json made = ThereAndBack();
  EXPECT_EQ(In(made, kEks), "byrnie-redirect, byrnie-watch,byrnie-agent,byrnie-proxy");
  EXPECT_EQ(In(made, kAzure), "byrnie-agent;byrnie-proxy;byrnie-redirect");
}

// Another webhook, or a person.
TEST_F(ListsOfOthersTest, StayInTheOrderThatOthersHaveGivenThem) {
  Inject();
  const Json before = pod_;
  Json& list = pod_["metadata"]["annotations"][kEks];
  list = absl::StrCat("first, ", list.get<std::string>(), ",vault");
  const Json others = pod_;
  EXPECT_EQ(Inject(), PodOutcome::Kind::kUnchanged);
  EXPECT_TRUE(SameJson(pod_, others)) << ToText(pod_);
  // Also beside what changes; what is missing comes behind.
  config_.defaults["redirect-watch"] = "repair";
  EXPECT_EQ(Inject(), PodOutcome::Kind::kUpdated);
  EXPECT_EQ(In(pod_, kEks), "first,vault,byrnie-agent,byrnie-proxy,byrnie-redirect,byrnie-watch");
  ASSERT_TRUE(UninjectPod(&pod_));
  EXPECT_EQ(In(pod_, kEks), "first,vault");
}

// By a release that added nothing, whose documents said that the pod's owner should.
TEST_F(ListsOfOthersTest, StayAsTheyAreWhereTheSidecarsReleaseAddedNothing) {
  Inject();
  Json& annotations = pod_["metadata"]["annotations"];
  annotations["byrnie.io/status"] = R"({"revision":"default","sidecars":"native"})";
  annotations[kEks] = "byrnie-redirect,byrnie-watch";
  Remove(&annotations, kAzure);
  Json again = pod_;
  ASSERT_TRUE(UninjectPod(&pod_));
  EXPECT_EQ(In(pod_, kEks), "byrnie-redirect,byrnie-watch");
  pod_ = again;
  EXPECT_EQ(Inject(), PodOutcome::Kind::kUpdated);
  ASSERT_TRUE(UninjectPod(&pod_));
  EXPECT_EQ(In(pod_, kEks), "byrnie-redirect,byrnie-watch");
  EXPECT_EQ(In(pod_, kAzure), "");
}

TEST_F(ListsOfOthersTest, LoseOursWithASidecarThatSomethingHasTakenTheStatusFrom) {
  const Json before = pod_;
  Inject();
  Remove(&pod_["metadata"]["annotations"], "byrnie.io/status");
  Remove(&pod_["metadata"], "labels");
  ASSERT_TRUE(UninjectPod(&pod_));
  EXPECT_EQ(In(pod_, kEks), "");
  EXPECT_TRUE(SameJson(pod_["spec"], before["spec"]));
}

TEST_F(ListsOfOthersTest, ThatAreNoTextAreForTheApiServerToRefuse) {
  pod_["metadata"]["annotations"][kEks] = 1;
  const Json made = ThereAndBack();
  EXPECT_EQ(made["metadata"]["annotations"][kEks], 1);
}

}  // namespace
}  // namespace byrnie
