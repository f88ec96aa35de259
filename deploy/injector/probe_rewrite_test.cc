#include "deploy/injector/probe_rewrite.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/probe/app_probes.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/pod_injection.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

Json Read(absl::string_view text) {
  absl::StatusOr<Json> json = ParseJson(text, 200000);
  EXPECT_THAT(json, IsOk());
  return json.value_or(Json(nullptr));
}

Json Spec(absl::string_view container, absl::string_view more = "") {
  return Read(absl::StrCat(R"({"containers":[{"name":"app",)", container, "}]", more, "}"));
}

// Rewrites, and holds what the proxy is told against what it reads.
RewrittenProbes Rewrite(Json* spec, bool native = true) {
  RewrittenProbes result = RewriteProbes({"byrnie-proxy"}, native, spec);
  EXPECT_THAT(ParseAppProbes(AppProbesText(result.for_proxy)), IsOk());
  return result;
}

TEST(ProbeRewriteTest, TheKubeletAsksTheProxyAndTheProxyTheApplication) {
  const Json before = Spec(
      absl::StrCat(R"("ports":[{"name":"web","containerPort":8080}],)",
                   R"("startupProbe":{"tcpSocket":{"port":"5432"},"failureThreshold":30},)",
                   R"("readinessProbe":{"periodSeconds":3,"httpGet":{"path":"/z","port":"web",)",
                   R"("scheme":"HTTPS","httpHeaders":[{"name":"X-A","value":"$(HOME)/x"}]},)",
                   R"("timeoutSeconds":4},"livenessProbe":{"httpGet":{"port":8080}})"));
  Json spec = before;
  const RewrittenProbes result = Rewrite(&spec);
  EXPECT_THAT(result.warnings, IsEmpty());
  const Json& app = spec["containers"][0];
  EXPECT_EQ(ToText(app["startupProbe"]),
            R"({"httpGet":{"path":"/app-health/app/startup","port":15021},"failureThreshold":30})");
  EXPECT_EQ(ToText(app["readinessProbe"]),
            R"({"periodSeconds":3,"httpGet":{"path":"/app-health/app/readiness","port":15021},)"
            R"("timeoutSeconds":4})");
  EXPECT_EQ(ToText(result.for_proxy),
            R"({"app":{"startup":{"tcpSocket":{"port":5432}},)"
            R"("readiness":{"httpGet":{"path":"/z","scheme":"HTTPS","port":8080,)"
            R"("httpHeaders":[{"name":"X-A","value":"$(HOME)/x"}]},"timeoutSeconds":4},)"
            R"("liveness":{"httpGet":{"port":8080}}}})");
  // Kubernetes would put the variable in its place.
  EXPECT_THAT(AppProbesText(result.for_proxy), Not(HasSubstr("$")));
  EXPECT_EQ(ParseAppProbes(AppProbesText(result.for_proxy))->at(1).headers[0].second, "$(HOME)/x");
  RestoreProbes(result.originals, &spec);
  EXPECT_EQ(ToText(spec), ToText(before));
}

TEST(ProbeRewriteTest, LeavesWhatIsNotThePodsOrCannotBe) {
  const Json before = Spec(
      R"("startupProbe":{"exec":{"command":["x"]}},
      "readinessProbe":{"httpGet":{"host":"10.0.0.1","port":80}},
      "lifecycle":{"preStop":{"httpGet":{"port":84}}}},
      {"name":"own","readinessProbe":{"httpGet":{"path":"/healthz/ready","port":15021}},
      "livenessProbe":{"tcpSocket":{"port":15006}}},
      {"name":"byrnie-proxy","readinessProbe":{"httpGet":{"port":1}}},
      {"name":"odd","readinessProbe":{"httpGet":{"port":"nowhere"}},
      "livenessProbe":{"httpGet":{"port":1,"httpHeaders":[{"name":"a b"}]}},"startupProbe":7)");
  Json spec = before;
  const RewrittenProbes result = Rewrite(&spec);
  EXPECT_EQ(ToText(spec), ToText(before));
  EXPECT_THAT(result.for_proxy, IsEmpty());
  EXPECT_THAT(result.warnings, ElementsAre(HasSubstr("not the name of a header")));
}

TEST(ProbeRewriteTest, ClassicSidecarsComeAfterInitContainers) {
  const char kInit[] =
      R"(,"initContainers":[{"name":"s","startupProbe":{"tcpSocket":{"port":70}}}])";
  Json spec = Spec(R"("livenessProbe":{"tcpSocket":{"port":71}})", kInit);
  const RewrittenProbes classic = Rewrite(&spec, /*native=*/false);
  EXPECT_THAT(classic.warnings, ElementsAre(HasSubstr("starts before the proxy")));
  EXPECT_EQ(ToText(classic.for_proxy), R"({"app":{"liveness":{"tcpSocket":{"port":71}}}})");
  spec = Spec(R"("livenessProbe":{"tcpSocket":{"port":71}})", kInit);
  const RewrittenProbes native = Rewrite(&spec);
  EXPECT_THAT(native.warnings, IsEmpty());
  EXPECT_THAT(native.for_proxy, SizeIs(2));
}

TEST(ProbeRewriteTest, PutsNoMoreIntoAPodThanFits) {
  const std::string large(20000, 'x');
  Json spec = Spec(absl::StrCat(R"("livenessProbe":{"httpGet":{"port":1,"path":"/)", large,
                                R"("}},"readinessProbe":{"httpGet":{"port":2}})"));
  const RewrittenProbes result = Rewrite(&spec);
  EXPECT_THAT(result.warnings, ElementsAre(HasSubstr("too much")));
  EXPECT_EQ(ToText(result.for_proxy), R"({"app":{"readiness":{"httpGet":{"port":2}}}})");
}

TEST(ProbeRewriteTest, RestoresNothingThatSomebodyHasChanged) {
  Json spec =
      Spec(R"("livenessProbe":{"tcpSocket":{"port":1}},"readinessProbe":{"tcpSocket":{"port":2}})");
  const RewrittenProbes result = Rewrite(&spec);
  Json& app = spec["containers"][0];
  app["livenessProbe"]["httpGet"]["path"] = "/theirs";
  Remove(&app, "readinessProbe");
  const std::string changed = ToText(spec);
  RestoreProbes(result.originals, &spec);
  EXPECT_EQ(ToText(spec), changed);
  for (const char* const odd : {"1", "[]", R"({"app":1})", R"({"app":{"livenessProbe":1}})",
                                R"({"app":{"livenessProbe":{"httpGet":1}},"none":{}})"}) {
    RestoreProbes(Read(odd), &spec);
    EXPECT_EQ(ToText(spec), changed) << odd;
  }
}

Json Pod(absl::string_view probes) {
  return Read(absl::StrCat(R"({"metadata":{"annotations":{"byrnie.io/probes":")", probes,
                           R"("}},"spec":{"containers":[{"name":"app","image":"x",
      "livenessProbe":{"httpGet":{"port":8080}},"readinessProbe":{"grpc":{"port":82,"service":"s"}},
      "lifecycle":{"preStop":{"httpGet":{"port":84}}}}]}})"));
}

std::string Flag(const Json& pod, absl::string_view flag) {
  for (const Json& container : ItemsOf(pod["spec"], "initContainers")) {
    if (TextOf(container, "name") != "byrnie-proxy") continue;
    for (const Json& arg : ItemsOf(container, "args")) {
      const std::string& text = arg.get_ref<const std::string&>();
      if (absl::StartsWith(text, absl::StrCat("--", flag, "="))) {
        return text.substr(flag.size() + 3);
      }
    }
  }
  return "none";
}

TEST(ProbeRewriteTest, OnlyWhatIsNotRewrittenIsDeclared) {
  Json pod = Pod("rewrite");
  const absl::StatusOr<PodOutcome> outcome = InjectPod(InjectorConfig(), &pod);
  ASSERT_THAT(outcome, IsOk());
  EXPECT_THAT(outcome->warnings, IsEmpty());
  EXPECT_EQ(Flag(pod, "probe_ports"), "84");
  EXPECT_EQ(
      Flag(pod, "app_probes"),
      R"({"app":{"readiness":{"grpc":{"service":"s","port":82}},"liveness":{"httpGet":{"port":8080}}}})");
  Json again = pod;
  EXPECT_EQ(InjectPod(InjectorConfig(), &again)->kind, PodOutcome::Kind::kUnchanged);
  EXPECT_TRUE(SameJson(again, pod));
  // The other way is the other way again.
  Json declared = pod;
  declared["metadata"]["annotations"]["byrnie.io/probes"] = "declare";
  EXPECT_EQ(InjectPod(InjectorConfig(), &declared)->kind, PodOutcome::Kind::kUpdated);
  EXPECT_EQ(Flag(declared, "probe_ports"), "82,84,8080");
  EXPECT_EQ(Flag(declared, "app_probes"), "none");
  EXPECT_TRUE(UninjectPod(&pod));
  EXPECT_TRUE(SameJson(pod, Pod("rewrite")));
}

// Somebody has edited a manifest that was injected.
TEST(ProbeRewriteTest, ContainersMayBeRenamedAndCopied) {
  Json pod = Pod("rewrite");
  ASSERT_THAT(InjectPod(InjectorConfig(), &pod), IsOk());
  pod["spec"]["containers"][0]["name"] = "shop";
  Json copy = pod["spec"]["containers"][0];
  copy["name"] = "copy";
  pod["spec"]["containers"].push_back(copy);
  ASSERT_OK_AND_ASSIGN(const PodOutcome outcome, InjectPod(InjectorConfig(), &pod));
  EXPECT_EQ(outcome.kind, PodOutcome::Kind::kUpdated);
  EXPECT_EQ(pod["spec"]["containers"][0]["livenessProbe"]["httpGet"]["path"],
            "/app-health/shop/liveness");
  EXPECT_THAT(Flag(pod, "app_probes"), AllOf(HasSubstr(R"("shop":{"readiness":{"grpc")"),
                                             HasSubstr(R"("copy":{"readiness":{"grpc")")));
  Json before = Pod("rewrite");
  before["spec"]["containers"][0]["name"] = "shop";
  before["spec"]["containers"].push_back(before["spec"]["containers"][0]);
  before["spec"]["containers"][1]["name"] = "copy";
  EXPECT_TRUE(UninjectPod(&pod));
  EXPECT_TRUE(SameJson(pod, before)) << ToText(pod);
}

TEST(ProbeRewriteTest, AProbeThatNobodyKnowsIsNotLostInSilence) {
  Json pod = Pod("rewrite");
  ASSERT_THAT(InjectPod(InjectorConfig(), &pod), IsOk());
  pod["spec"]["containers"][0]["livenessProbe"]["httpGet"]["path"] = "/app-health/other/liveness";
  const Json before = pod;
  EXPECT_THAT(InjectPod(InjectorConfig(), &pod),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("container app: its livenessProbe"),
                             HasSubstr("byrnie.io/status does not say what it was"))));
  EXPECT_THAT(CannotUninject(pod), HasSubstr("container app: its livenessProbe"));
  EXPECT_FALSE(UninjectPod(&pod));
  EXPECT_TRUE(SameJson(pod, before));
  // Of a pod that never had a sidecar it is a mistake.
  Json odd = Pod("rewrite");
  odd["spec"]["containers"][0]["livenessProbe"] =
      Read(R"({"httpGet":{"path":"/app-health/a/b","port":15021}})");
  ASSERT_OK_AND_ASSIGN(const PodOutcome outcome, InjectPod(InjectorConfig(), &odd));
  EXPECT_THAT(outcome.warnings, ElementsAre(HasSubstr("container app: its livenessProbe asks")));
  EXPECT_TRUE(UninjectPod(&odd) || !CannotUninject(odd).empty());
  // What is asked of another port is the application's.
  Json own = Pod("declare");
  own["spec"]["containers"][0]["livenessProbe"]["httpGet"]["path"] = "/app-health/a/b";
  EXPECT_THAT(InjectPod(InjectorConfig(), &own)->warnings, IsEmpty());
  EXPECT_EQ(CannotUninject(own), "");
}

}  // namespace
}  // namespace byrnie
