#include "deploy/injector/refusal.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status_matchers.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"
#include "deploy/injector/pod_injection.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Json Pod(absl::string_view metadata, absl::string_view container = "",
         absl::string_view spec = "") {
  const std::string text =
      absl::StrCat(R"({"metadata":{)", metadata, R"(},"spec":{)", spec,
                   R"("containers":[{"name":"app","image":"x")", container, "}]}}");
  absl::StatusOr<Json> pod = ParseJson(text, 10000);
  EXPECT_THAT(pod, IsOk()) << text;
  return pod.value_or(Json());
}

std::vector<std::string> Warnings(Json pod) {
  absl::StatusOr<PodOutcome> outcome = InjectPod(InjectorConfig(), &pod);
  EXPECT_THAT(outcome, IsOk());
  return outcome.ok() ? outcome->warnings : std::vector<std::string>();
}

// Pods move from one mesh to another by their namespace's label, but for those whose template asks
// for the other itself.
TEST(RefusalTest, WarnsOfPodsThatAskForAnotherMeshToo) {
  EXPECT_THAT(Warnings(Pod(R"("annotations":{"linkerd.io/inject":"enabled"})")),
              ElementsAre(AllOf(HasSubstr("a sidecar of Linkerd, too"),
                                HasSubstr(R"(linkerd.io/inject: "enabled")"))));
  for (const char* asks :
       {R"("annotations":{"linkerd.io/inject":"ingress"})",
        R"("labels":{"sidecar.istio.io/inject":"true"})", R"("labels":{"istio.io/rev":"1-20"})",
        R"("annotations":{"sidecar.istio.io/inject":"true"})",
        R"("labels":{"kuma.io/sidecar-injection":"enabled"})",
        R"("annotations":{"consul.hashicorp.com/connect-inject":"true"})"}) {
    EXPECT_THAT(Warnings(Pod(asks)), ElementsAre(HasSubstr("take that out of the pod template")))
        << asks;
  }
  for (const char* does_not :
       {R"("annotations":{"linkerd.io/inject":"disabled"})",
        R"("labels":{"sidecar.istio.io/inject":"false"})",
        R"("labels":{"istio.io/rev":"1-20","sidecar.istio.io/inject":"false"})",
        R"("annotations":{"sidecar.istio.io/proxyCPU":"1"})"}) {
    EXPECT_THAT(Warnings(Pod(does_not)), IsEmpty()) << does_not;
  }
}

TEST(RefusalTest, WarnsOfPortsOfTheNode) {
  EXPECT_THAT(
      Warnings(Pod("", R"(,"ports":[{"containerPort":80},{"containerPort":81,"hostPort":8080}])")),
      ElementsAre(HasSubstr("container app has hostPort 8080")));
  EXPECT_THAT(Warnings(Pod("", R"(,"ports":[{"containerPort":80,"hostPort":0}])")), IsEmpty());
}

// It is made for the application's program.
TEST(RefusalTest, TheApplicationsAppArmorProfileIsNotTheSidecars) {
  for (const auto& [type, expected] : {std::make_pair("Localhost", R"({"type":"RuntimeDefault"})"),
                                       std::make_pair("RuntimeDefault", "")}) {
    Json pod = Pod(
        "", "", absl::StrCat(R"("securityContext":{"appArmorProfile":{"type":")", type, R"("}},)"));
    const Json before = pod;
    ASSERT_THAT(InjectPod(InjectorConfig(), &pod), IsOk());
    const Json::array_t& ours = ItemsOf(pod["spec"], "initContainers");
    EXPECT_EQ(ours.size(), 3u);
    for (const Json& container : ours) {
      const Json* const profile = FindPath(container, {"securityContext", "appArmorProfile"});
      EXPECT_EQ(profile == nullptr ? "" : ToText(*profile), expected) << ToText(container);
    }
    EXPECT_EQ(FindPath(pod["spec"]["containers"][0], {"securityContext"}), nullptr);
    ASSERT_TRUE(UninjectPod(&pod));
    EXPECT_TRUE(SameJson(pod, before)) << ToText(pod);
  }
}

}  // namespace
}  // namespace byrnie
