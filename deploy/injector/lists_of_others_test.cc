#include "deploy/injector/lists_of_others.h"

#include <string>

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
