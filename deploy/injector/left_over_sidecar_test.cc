#include <string>

#include "absl/strings/string_view.h"
#include "common/base/status_matchers.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"
#include "deploy/injector/pod_injection.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

// Pods whose sidecar is not as the injector left it: something took away a part of it, or the
// annotation that says what was done.

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = PodOutcome::Kind;

Json Read(absl::string_view text) {
  absl::StatusOr<Json> json = ParseJson(text, 100000);
  EXPECT_THAT(json, IsOk()) << text;
  return json.value_or(Json(nullptr));
}

Json Pod() {
  return Read(R"({"metadata":{"annotations":{"a":"b"}},"spec":{"containers":[{"name":"app",
      "image":"x","readinessProbe":{"tcpSocket":{"port":80}}}]}})");
}

Json Injected(const InjectorConfig& config = InjectorConfig(), Json pod = Pod()) {
  EXPECT_THAT(InjectPod(config, &pod), IsOk());
  return pod;
}

InjectorConfig Classic() {
  InjectorConfig config;
  config.defaults["sidecars"] = "classic";
  return config;
}

void TakeAwayStatus(Json* pod) { (*pod)["metadata"]["annotations"].erase("byrnie.io/status"); }

void TakeAwayContainer(const std::string& name, Json* pod) {
  for (const char* const list : {"initContainers", "containers"}) {
    Json kept = Json::array();
    for (const Json& container : ItemsOf((*pod)["spec"], list)) {
      if (TextOf(container, "name") != name) kept.push_back(container);
    }
    (*pod)["spec"][list] = kept;
  }
}

// API servers before 1.27 say one for each container's seccompProfile, later ones for its
// appArmorProfile.
TEST(LeftOverSidecarTest, GoesWithWhatTheApiServerSaysOfItsContainers) {
  const std::string seccomp = "container.seccomp.security.alpha.kubernetes.io/";
  const std::string app_armor = "container.apparmor.security.beta.kubernetes.io/";
  Json pod = Injected();
  Json* const annotations = &pod["metadata"]["annotations"];
  for (const char* name : {"byrnie-agent", "byrnie-proxy", "byrnie-redirect", "app"}) {
    (*annotations)[seccomp + name] = "runtime/default";
    (*annotations)[app_armor + name] = "localhost/mine";
  }
  // Which it does not let anybody take away while they are there.
  const Json before = pod;
  EXPECT_EQ(InjectPod(InjectorConfig(), &pod)->kind, Kind::kUnchanged);
  EXPECT_TRUE(SameJson(pod, before)) << ToText(pod);
  ASSERT_TRUE(UninjectPod(&pod));
  Json expected = Pod();
  expected["metadata"]["annotations"][seccomp + "app"] = "runtime/default";
  expected["metadata"]["annotations"][app_armor + "app"] = "localhost/mine";
  EXPECT_TRUE(SameJson(pod, expected)) << ToText(pod);
}

TEST(LeftOverSidecarTest, IsMadeAnewWithoutItsAnnotation) {
  for (const InjectorConfig& config : {InjectorConfig(), Classic()}) {
    const Json good = Injected(config);
    Json pod = good;
    TakeAwayStatus(&pod);
    ASSERT_OK_AND_ASSIGN(const PodOutcome outcome, InjectPod(config, &pod));
    EXPECT_EQ(outcome.kind, Kind::kUpdated);
    EXPECT_THAT(outcome.warnings,
                ElementsAre(HasSubstr("without the annotation byrnie.io/status")));
    EXPECT_TRUE(SameJson(pod["spec"], good["spec"])) << ToText(pod);
    EXPECT_EQ(InjectPod(config, &pod)->kind, Kind::kUnchanged);
  }
}

TEST(LeftOverSidecarTest, IsMadeAnewWithoutOneOfItsContainers) {
  const Json good = Injected();
  for (const char* const name : {"byrnie-agent", "byrnie-proxy", "byrnie-redirect"}) {
    for (const bool status : {true, false}) {
      Json pod = good;
      TakeAwayContainer(name, &pod);
      if (!status) TakeAwayStatus(&pod);
      ASSERT_OK_AND_ASSIGN(const PodOutcome outcome, InjectPod(InjectorConfig(), &pod));
      EXPECT_EQ(outcome.kind, Kind::kUpdated) << name;
      EXPECT_TRUE(SameJson(pod["spec"], good["spec"])) << ToText(pod);
    }
  }
}

TEST(LeftOverSidecarTest, IsTakenOut) {
  for (const InjectorConfig& config : {InjectorConfig(), Classic()}) {
    Json job = Pod();
    job["spec"]["restartPolicy"] = "Never";
    job["spec"]["containers"][0]["command"] = Json::array({"run"});
    Json pod = Injected(config, job);
    TakeAwayStatus(&pod);
    Json opted_out = pod;
    EXPECT_TRUE(UninjectPod(&pod));
    EXPECT_TRUE(SameJson(pod["spec"], job["spec"])) << ToText(pod);
    EXPECT_FALSE(UninjectPod(&pod));

    opted_out["metadata"]["annotations"]["byrnie.io/inject"] = "false";
    ASSERT_OK_AND_ASSIGN(const PodOutcome outcome, InjectPod(config, &opted_out));
    EXPECT_EQ(outcome.kind, Kind::kOptedOut);
    EXPECT_TRUE(outcome.taken_out);
    EXPECT_TRUE(SameJson(opted_out["spec"], job["spec"])) << ToText(opted_out);
  }
}

// Whoever made the pod wrote it so, and it has nothing of ours.
TEST(LeftOverSidecarTest, WhatIsOnlyCalledSoIsNotOurs) {
  Json pod = Pod();
  pod["spec"]["containers"].push_back(Read(R"({"name":"byrnie-redirect","command":["/mine"]})"));
  const Json before = pod;
  ASSERT_OK_AND_ASSIGN(const PodOutcome outcome, InjectPod(InjectorConfig(), &pod));
  EXPECT_EQ(outcome.kind, Kind::kRefused);
  EXPECT_THAT(outcome.why, HasSubstr("rename it"));
  EXPECT_FALSE(UninjectPod(&pod));
  EXPECT_TRUE(SameJson(pod, before));
}

TEST(LeftOverSidecarTest, OfAnotherRevisionIsMadeAnew) {
  InjectorConfig older;
  older.revision = "0-1";
  Json pod = Injected(older);
  TakeAwayStatus(&pod);
  ASSERT_OK_AND_ASSIGN(const PodOutcome outcome, InjectPod(InjectorConfig(), &pod));
  EXPECT_EQ(outcome.kind, Kind::kUpdated);
  EXPECT_TRUE(SameJson(pod, Injected(InjectorConfig()))) << ToText(pod);
}

// The kubelet would ask the proxy for a probe that nobody knows any more.
TEST(LeftOverSidecarTest, IsRefusedWhereOnlyTheAnnotationKnewTheProbes) {
  InjectorConfig config;
  config.defaults["probes"] = "rewrite";
  Json pod = Injected(config);
  TakeAwayStatus(&pod);
  const Json before = pod;
  EXPECT_THAT(InjectPod(config, &pod),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("byrnie.io/status")));
  EXPECT_FALSE(UninjectPod(&pod));
  EXPECT_THAT(CannotUninject(pod), HasSubstr("byrnie.io/status"));
  EXPECT_TRUE(SameJson(pod, before));
}

}  // namespace
}  // namespace byrnie
