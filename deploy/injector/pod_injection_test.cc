#include "deploy/injector/pod_injection.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = PodOutcome::Kind;

Json Read(absl::string_view text) {
  absl::StatusOr<Json> json = ParseJson(text, 100000);
  EXPECT_THAT(json, IsOk());
  return json.value_or(Json(nullptr));
}

// A pod of one container, with more in metadata and spec.
Json Pod(absl::string_view metadata = "", absl::string_view spec = "",
         absl::string_view container = "") {
  return Read(absl::StrCat(R"({"metadata":{)", metadata, R"(},"spec":{)", spec,
                           spec.empty() ? "" : ",", R"("containers":[{"name":"app","image":"x")",
                           container.empty() ? "" : ",", container, "}]}}"));
}

std::string Affinity(absl::string_view terms) {
  return absl::StrCat(R"("affinity":{"nodeAffinity":{)",
                      R"("requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[)",
                      terms, "]}}}");
}

std::string Annotation(absl::string_view name, absl::string_view value) {
  return absl::StrCat(R"("annotations":{"byrnie.io/)", name, "\":\"", value, "\"}");
}

PodOutcome Inject(Json* pod) {
  absl::StatusOr<PodOutcome> outcome = InjectPod(InjectorConfig(), pod);
  EXPECT_THAT(outcome, IsOk());
  return outcome.value_or(PodOutcome());
}

std::vector<std::string> Names(const Json& pod, absl::string_view list) {
  std::vector<std::string> names;
  for (const Json& item : ItemsOf(pod["spec"], list)) names.push_back(TextOf(item, "name"));
  return names;
}

Json Container(const Json& pod, absl::string_view name) {
  for (const char* const list : {"initContainers", "containers"}) {
    for (const Json& item : ItemsOf(pod["spec"], list)) {
      if (TextOf(item, "name") == name) return item;
    }
  }
  ADD_FAILURE() << name;
  return Json::object();
}

std::vector<std::string> Args(const Json& pod, absl::string_view name) {
  const Json container = Container(pod, name);
  std::vector<std::string> args;
  for (const Json& arg : ItemsOf(container, "args")) {
    args.push_back(arg.get_ref<const std::string&>());
  }
  return args;
}

std::string Flag(const Json& pod, absl::string_view container, absl::string_view flag) {
  for (const std::string& arg : Args(pod, container)) {
    if (absl::StartsWith(arg, absl::StrCat("--", flag, "="))) return arg.substr(flag.size() + 3);
  }
  return "none";
}

TEST(PodInjectionTest, NativeSidecarsComeFirstAndInTheirOrder) {
  Json pod = Pod("", R"("initContainers":[{"name":"prepare"}],"volumes":[{"name":"data"}])");
  EXPECT_EQ(Inject(&pod).kind, Kind::kInjected);
  EXPECT_THAT(Names(pod, "initContainers"),
              ElementsAre("byrnie-agent", "byrnie-proxy", "byrnie-redirect", "prepare"));
  EXPECT_THAT(Names(pod, "containers"), ElementsAre("app"));
  EXPECT_THAT(Names(pod, "volumes"),
              ElementsAre("byrnie-link", "byrnie-token", "byrnie-trust", "byrnie-nothing", "data"));
  for (const char* const name : {"byrnie-agent", "byrnie-proxy"}) {
    EXPECT_EQ(TextOf(Container(pod, name), "restartPolicy"), "Always");
    EXPECT_NE(Find(Container(pod, name), "startupProbe"), nullptr);
  }
  EXPECT_EQ(Find(Container(pod, "byrnie-redirect"), "restartPolicy"), nullptr);
  EXPECT_EQ(*FindPath(pod, {"metadata", "labels", "byrnie.io/rev"}), "default");
}

TEST(PodInjectionTest, OnlyTheRedirectHasAPrivilege) {
  Json pod = Pod();
  Inject(&pod);
  for (const char* const name : {"byrnie-agent", "byrnie-proxy"}) {
    EXPECT_EQ(
        ToText(Container(pod, name)["securityContext"]),
        R"({"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},)"
        R"("privileged":false,"readOnlyRootFilesystem":true,"runAsGroup":1337,)"
        R"("runAsNonRoot":true,"runAsUser":1337,"seccompProfile":{"type":"RuntimeDefault"}})");
  }
  EXPECT_EQ(ToText(Container(pod, "byrnie-redirect")["securityContext"]),
            R"({"allowPrivilegeEscalation":false,)"
            R"("capabilities":{"drop":["ALL"],"add":["NET_ADMIN"]},)"
            R"("privileged":false,"readOnlyRootFilesystem":true,"runAsGroup":0,)"
            R"("runAsNonRoot":false,"runAsUser":0,"seccompProfile":{"type":"RuntimeDefault"}})");
}

TEST(PodInjectionTest, AWatchOverTheRedirectIsThereWhereItIsAskedFor) {
  for (const char* const value : {"", R"("annotations":{"byrnie.io/redirect-watch":"off"})"}) {
    Json pod = Pod(value);
    Inject(&pod);
    EXPECT_THAT(Names(pod, "initContainers"),
                ElementsAre("byrnie-agent", "byrnie-proxy", "byrnie-redirect"));
  }
  Json pod = Pod(
      R"("annotations":{"byrnie.io/redirect-watch":"repair","byrnie.io/exclude-outbound-ports":"443"})");
  Inject(&pod);
  EXPECT_THAT(Names(pod, "initContainers"),
              ElementsAre("byrnie-agent", "byrnie-proxy", "byrnie-redirect", "byrnie-watch"));
  EXPECT_THAT(Args(pod, "byrnie-redirect"), ElementsAre("apply", "--exclude_outbound_ports=443"));
  EXPECT_THAT(Args(pod, "byrnie-watch"),
              ElementsAre("watch", "--on_drift=repair", "--exclude_outbound_ports=443"));
  EXPECT_EQ(TextOf(Container(pod, "byrnie-watch"), "restartPolicy"), "Always");
  EXPECT_EQ(Container(pod, "byrnie-watch")["securityContext"],
            Container(pod, "byrnie-redirect")["securityContext"]);
  EXPECT_TRUE(UninjectPod(&pod));
  EXPECT_EQ(Find(*Find(&pod, "spec"), "initContainers"), nullptr);
}

TEST(PodInjectionTest, AWatchWouldKeepAClassicJobFromItsEnd) {
  Json pod =
      Pod(R"("annotations":{"byrnie.io/redirect-watch":"report","byrnie.io/sidecars":"classic"})");
  EXPECT_THAT(InjectPod(InjectorConfig(), &pod).status().message(),
              HasSubstr("byrnie.io/redirect-watch=\"report\": needs native sidecars"));
}

TEST(PodInjectionTest, TheProxyLooksAfterTheRedirectOnceItIsMade) {
  Json pod = Pod();
  Inject(&pod);
  EXPECT_EQ(Flag(pod, "byrnie-proxy", "redirect_check_port"), "15022");
  const Json proxy = Container(pod, "byrnie-proxy");
  EXPECT_EQ(ToText(*FindPath(proxy, {"startupProbe", "exec", "command"})),
            R"(["/usr/local/bin/byrniectl","ready","--admin=127.0.0.1:15021","--started",)"
            R"("--within=4s"])");
  EXPECT_EQ(TextOf(*FindPath(proxy, {"readinessProbe", "httpGet"}), "path"), "/healthz/ready");
}

TEST(PodInjectionTest, TheTokenAndTheTrustBundleAreTheAgentsAlone) {
  Json pod = Pod();
  Inject(&pod);
  const auto mounted = [&pod](absl::string_view name) {
    const Json container = Container(pod, name);
    std::vector<std::string> volumes;
    for (const Json& mount : ItemsOf(container, "volumeMounts")) {
      volumes.push_back(TextOf(mount, "name"));
    }
    return volumes;
  };
  EXPECT_THAT(mounted("byrnie-agent"),
              ElementsAre("byrnie-nothing", "byrnie-link", "byrnie-token", "byrnie-trust"));
  EXPECT_THAT(mounted("byrnie-proxy"), ElementsAre("byrnie-nothing", "byrnie-link"));
  EXPECT_THAT(mounted("byrnie-redirect"), ElementsAre("byrnie-nothing"));
  // The API server would mount the application's token there.
  EXPECT_EQ(TextOf(Container(pod, "byrnie-proxy")["volumeMounts"][0], "mountPath"),
            "/var/run/secrets/kubernetes.io/serviceaccount");
  EXPECT_EQ(ToText(pod["spec"]["volumes"][1]),
            R"({"name":"byrnie-token","projected":{"sources":[{"serviceAccountToken":)"
            R"({"audience":"byrnie","expirationSeconds":3600,"path":"token"}}]}})");
}

TEST(PodInjectionTest, ClassicSidecarsStartBeforeTheApplicationAndAfterTheRedirect) {
  Json pod = Pod(Annotation("sidecars", "classic"), R"("initContainers":[{"name":"prepare"}])");
  const PodOutcome outcome = Inject(&pod);
  EXPECT_THAT(outcome.warnings, ElementsAre(HasSubstr("connect without it")));
  EXPECT_THAT(Names(pod, "initContainers"), ElementsAre("prepare", "byrnie-redirect"));
  EXPECT_THAT(Names(pod, "containers"), ElementsAre("byrnie-agent", "byrnie-proxy", "app"));
  for (const char* const name : {"byrnie-agent", "byrnie-proxy"}) {
    EXPECT_EQ(Find(Container(pod, name), "restartPolicy"), nullptr);
    EXPECT_NE(FindPath(Container(pod, name), {"lifecycle", "postStart", "exec"}), nullptr);
  }
  EXPECT_NE(FindPath(Container(pod, "byrnie-agent"), {"lifecycle", "preStop", "exec"}), nullptr);
  // What kubectl logs means.
  EXPECT_EQ(*FindPath(pod, {"metadata", "annotations", "kubectl.kubernetes.io/default-container"}),
            "app");
  EXPECT_EQ(Inject(&pod).kind, Kind::kUnchanged);
  EXPECT_TRUE(UninjectPod(&pod));
  EXPECT_TRUE(SameJson(
      pod, Pod(Annotation("sidecars", "classic"), R"("initContainers":[{"name":"prepare"}])")));
}

TEST(PodInjectionTest, ClassicSidecarsEndWithAPodThatEndsByItself) {
  const Json before = Pod(Annotation("sidecars", "classic"), R"("restartPolicy":"Never")",
                          R"("command":["/bin/work","--x"],"args":["y"])");
  Json pod = before;
  EXPECT_EQ(Inject(&pod).kind, Kind::kInjected);
  EXPECT_THAT(Names(pod, "initContainers"), ElementsAre("byrnie-finish", "byrnie-redirect"));
  EXPECT_EQ(ToText(Container(pod, "app")["command"]),
            R"(["/run/byrnie-finish/byrnie-finish","app","/run/byrnie-finish/app","always","--",)"
            R"("/bin/work","--x"])");
  EXPECT_EQ(ToText(Container(pod, "byrnie-proxy")["command"]),
            R"(["/usr/local/bin/byrnie-finish","sidecar","/run/byrnie-finish/app","--",)"
            R"("/usr/local/bin/byrnie-proxy"])");
  for (const char* const name : {"app", "byrnie-agent", "byrnie-proxy", "byrnie-finish"}) {
    EXPECT_THAT(ToText(Container(pod, name)["volumeMounts"]),
                HasSubstr(R"({"name":"byrnie-finish","mountPath":"/run/byrnie-finish")"));
  }
  EXPECT_EQ(Inject(&pod).kind, Kind::kUnchanged);
  EXPECT_TRUE(UninjectPod(&pod));
  EXPECT_TRUE(SameJson(pod, before)) << ToText(pod);

  // One that is started again when it fails has not ended.
  Json again = Pod(Annotation("sidecars", "classic"), R"("restartPolicy":"OnFailure")",
                   R"("command":["/bin/work"])");
  Inject(&again);
  EXPECT_THAT(ToText(Container(again, "app")["command"]), HasSubstr("\"success\""));
}

TEST(PodInjectionTest, ClassicSidecarsNeedToKnowWhatEnds) {
  Json pod = Pod(Annotation("sidecars", "classic"), R"("restartPolicy":"Never")");
  const PodOutcome outcome = Inject(&pod);
  EXPECT_EQ(outcome.kind, Kind::kRefused);
  EXPECT_THAT(outcome.why, AllOf(HasSubstr("container app has no command"), HasSubstr("native")));
  Json native = Pod("", R"("restartPolicy":"Never")");
  EXPECT_EQ(Inject(&native).kind, Kind::kInjected);
  EXPECT_THAT(Names(native, "volumes"), Not(Contains("byrnie-finish")));
}

TEST(PodInjectionTest, RefusesWhatCannotWork) {
  const struct {
    Json pod;
    const char* why;
  } kPods[] = {
      {Pod("", R"("hostNetwork":true)"), "hostNetwork"},
      {Pod("", "", R"("securityContext":{"runAsUser":1337})"), "user 1337"},
      {Pod("", R"("securityContext":{"runAsUser":1337})"), "user 1337"},
      {Pod("", R"("initContainers":[{"name":"i","securityContext":{"runAsUser":1337}}])"), "user"},
      {Pod("", "", R"("ports":[{"containerPort":15001}])"), "port 15001"},
      {Pod("", "", R"("ports":[{"containerPort":15021,"protocol":"TCP"}])"), "port 15021"},
      {Pod("", R"("nodeSelector":{"kubernetes.io/os":"windows"})"), "Windows"},
      {Pod("", R"("nodeSelector":{"beta.kubernetes.io/os":"windows"})"), "Windows"},
      {Pod("", R"("initContainers":[{"name":"byrnie-proxy"}])"), "rename it"},
      {Pod("", R"("initContainers":[{"name":"istio-proxy"}])"), "Istio"},
      {Pod(R"("annotations":{"linkerd.io/proxy-version":"x"})"), "Linkerd"},
      {Pod("", R"("initContainers":[{"name":"consul-connect-inject-init"}])"), "Consul"},
      {Pod(R"("annotations":{"consul.hashicorp.com/connect-inject-status":"injected"})"), "Consul"},
      {Pod("", R"("initContainers":[{"name":"kuma-sidecar"}])"), "Kuma"},
      {Pod(R"("annotations":{"kuma.io/sidecar-injected":"true"})"), "Kuma"},
      {Pod(R"("labels":{"istio.io/dataplane-mode":"ambient"})"), "istio.io/dataplane-mode: none"},
      {Pod(R"("annotations":{"ambient.istio.io/redirection":"enabled"})"), "ambient mesh"},
      {Pod("", R"("os":{"name":"windows"})"), "Windows"},
      {Pod("", R"("securityContext":{"windowsOptions":{"hostProcess":true}})"), "Windows"},
      {Pod("", "", R"("securityContext":{"windowsOptions":{"hostProcess":true}})"), "Windows"},
      {Pod("", Affinity(R"({"matchExpressions":[{"key":"kubernetes.io/os","operator":"In",)"
                        R"("values":["windows"]}]})")),
       "Windows"},
      {Pod("", R"("volumes":[{"name":"byrnie-link","emptyDir":{}}])"), "volume byrnie-link"},
      {Pod("", "", R"("livenessProbe":{"tcpSocket":{"port":15000}})"), "port 15000"},
      {Pod("", "", R"("lifecycle":{"preStop":{"httpGet":{"port":15020}}})"), "port 15020"},
      {Pod("", "", R"("ports":[{"containerPort":15022}])"), "port 15022"},
      {Pod(R"("annotations":{"kubernetes.io/config.mirror":"x"})"), "static pod"},
      {Read(R"({"spec":{"containers":[]}})"), "no containers"},
      {Read("{}"), "no spec"},
  };
  for (const auto& refused : kPods) {
    Json pod = refused.pod;
    const PodOutcome outcome = Inject(&pod);
    EXPECT_EQ(outcome.kind, Kind::kRefused) << refused.why;
    EXPECT_THAT(outcome.why, HasSubstr(refused.why));
    EXPECT_TRUE(SameJson(pod, refused.pod));
  }
  // What looks like it and is not.
  Json udp = Pod("", R"("securityContext":{"runAsUser":1337})",
                 R"("securityContext":{"runAsUser":1000},)"
                 R"("ports":[{"containerPort":15001,"protocol":"UDP"}])");
  EXPECT_EQ(Inject(&udp).kind, Kind::kInjected);
  Json either =
      Pod("", Affinity(R"({"matchExpressions":[{"key":"kubernetes.io/os","operator":"In",)"
                       R"("values":["windows"]}]},{"matchFields":[]})"));
  EXPECT_EQ(Inject(&either).kind, Kind::kInjected);
  Json ready = Pod("", "", R"("readinessProbe":{"httpGet":{"port":15021}})");
  EXPECT_EQ(Inject(&ready).kind, Kind::kInjected);
}

TEST(PodInjectionTest, WhatCannotBeMeshedAnyMoreLosesItsSidecar) {
  const char* const kLater[] = {
      R"({"op":"add","path":"/spec/containers/-","value":{"name":"istio-proxy"}})",
      R"({"op":"add","path":"/spec/containers/-",
          "value":{"name":"later","ports":[{"containerPort":15020}]}})",
      R"({"op":"add","path":"/spec/hostNetwork","value":true})",
      R"({"op":"add","path":"/metadata/labels/byrnie.io~1inject","value":"false"})"};
  for (const char* const sidecars : {"native", "classic"}) {
    for (const char* const later : kLater) {
      const std::string metadata =
          absl::StrCat(R"("labels":{"app":"a"},)", Annotation("sidecars", sidecars));
      const Json patch = Json::array({Read(later)});
      Json pod = Pod(metadata, R"("restartPolicy":"Never")",
                     R"("command":["x"],"livenessProbe":{"tcpSocket":{"port":80}})");
      const Json without = pod.patch(patch);
      Inject(&pod);
      pod = pod.patch(patch);
      const PodOutcome outcome = Inject(&pod);
      EXPECT_TRUE(outcome.kind == Kind::kRefused || outcome.kind == Kind::kOptedOut);
      EXPECT_TRUE(outcome.taken_out);
      EXPECT_TRUE(SameJson(pod, without)) << ToText(pod);
      EXPECT_FALSE(Inject(&pod).taken_out);
    }
  }
  // Found only when it is to be made.
  Json job =
      Pod(Annotation("sidecars", "classic"), R"("restartPolicy":"Never")", R"("command":["x"])");
  Inject(&job);
  job["spec"]["containers"].push_back(Read(R"({"name":"later"})"));
  EXPECT_TRUE(Inject(&job).taken_out);
  EXPECT_THAT(Names(job, "containers"), ElementsAre("app", "later"));
}

// A cluster has one installation: another revision's sidecar is an older one, or a newer where it
// goes back, such as of a manifest that was injected offline.
TEST(PodInjectionTest, TheSidecarOfAnotherRevisionIsUpdated) {
  Json pod = Pod(), fresh = Pod();
  InjectorConfig older;
  older.revision = "0-1";
  older.image = "registry.example/byrnie:0.1.0";
  ASSERT_THAT(InjectPod(older, &pod), IsOk());
  EXPECT_EQ(Inject(&pod).kind, Kind::kUpdated);
  Inject(&fresh);
  EXPECT_TRUE(SameJson(pod, fresh)) << ToText(pod);
  EXPECT_EQ(Inject(&pod).kind, Kind::kUnchanged);
}

TEST(PodInjectionTest, WhatTheMeshHasLockedAPodMayNotSay) {
  Json image = Pod(Annotation("image", "evil@sha256:1"));
  const Json before = image;
  const PodOutcome refused = Inject(&image);
  EXPECT_EQ(refused.kind, Kind::kRefused);
  EXPECT_THAT(refused.why, AllOf(HasSubstr("byrnie.io/image"), HasSubstr("locked_annotations")));
  EXPECT_TRUE(SameJson(image, before));
  InjectorConfig config;
  config.locked_annotations = {"mtls-mode", "inject"};
  config.defaults["mtls-mode"] = "permissive";
  const auto kind_of = [&config](absl::string_view name, absl::string_view value) {
    Json pod = Pod(Annotation(name, value));
    absl::StatusOr<PodOutcome> outcome = InjectPod(config, &pod);
    EXPECT_THAT(outcome, IsOk());
    return outcome.value_or(PodOutcome()).kind;
  };
  EXPECT_EQ(kind_of("image", "registry.example/byrnie:0.1.0"), Kind::kInjected);
  EXPECT_EQ(kind_of("mtls-mode", "permissive"), Kind::kRefused);
  EXPECT_EQ(kind_of("inject", "false"), Kind::kRefused);
  EXPECT_EQ(kind_of("inject", "true"), Kind::kInjected);
  // One that had a sidecar before loses it.
  Json meshed = Pod();
  Inject(&meshed);
  meshed["metadata"]["annotations"]["byrnie.io/image"] = "evil:1";
  EXPECT_TRUE(Inject(&meshed).taken_out);
  EXPECT_THAT(Names(meshed, "initContainers"), IsEmpty());
}

TEST(PodInjectionTest, AStatusWithoutASidecarIsNobodys) {
  for (const char* const status :
       {R"({\"revision\":\"old\"})", R"({\"revision\":\"default\"})", "injected"}) {
    Json pod = Pod(absl::StrCat(R"("name":"p",)", Annotation("status", status))),
         fresh = Pod(R"("name":"p")");
    EXPECT_EQ(Inject(&pod).kind, Kind::kInjected) << status;
    Inject(&fresh);
    EXPECT_TRUE(SameJson(pod, fresh)) << status;
    Json refused = Pod(Annotation("status", status), R"("hostNetwork":true)");
    EXPECT_FALSE(Inject(&refused).taken_out);
  }
  // What a sidecar that is not there any more had done to the application.
  Json copied =
      Pod(Annotation("probes", "rewrite"), "", R"("livenessProbe":{"tcpSocket":{"port":80}})");
  Json fresh = copied;
  Inject(&copied);
  for (const char* const part : {"initContainers", "volumes"}) Remove(&copied["spec"], part);
  EXPECT_EQ(Inject(&copied).kind, Kind::kInjected);
  Inject(&fresh);
  EXPECT_TRUE(SameJson(copied, fresh)) << ToText(copied);
}

TEST(PodInjectionTest, AWrongLabelIsCalledOne) {
  for (const auto& [member, name] :
       {std::make_pair("labels", "label byrnie.io/inject=\"yes\""),
        std::make_pair("annotations", "annotation byrnie.io/inject=")}) {
    Json pod = Pod(absl::StrCat("\"", member, R"(":{"byrnie.io/inject":"yes"})"));
    EXPECT_THAT(InjectPod(InjectorConfig(), &pod),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(name)));
  }
}

TEST(PodInjectionTest, WhatThePodAsAWholeHasIsShared) {
  Json pod = Pod(Annotation("agent-memory-limit", "64Mi"),
                 R"("resources":{"requests":{"memory":"64Mi"},"limits":{"memory":"64Mi"}})");
  Inject(&pod);
  EXPECT_EQ(ToText(Container(pod, "byrnie-proxy")["resources"]), R"({"requests":{"cpu":"10m"}})");
  EXPECT_EQ(ToText(Container(pod, "byrnie-agent")["resources"]),
            R"({"requests":{"cpu":"5m"},"limits":{"memory":"64Mi"}})");
  EXPECT_EQ(ToText(Container(pod, "byrnie-redirect")["resources"]), R"({"requests":{"cpu":"5m"}})");
}

TEST(PodInjectionTest, WhatRunsOnceHasResourcesOfItsOwnWhereThatIsSaid) {
  Json pod = Pod(R"("annotations":{"byrnie.io/redirect-memory-request":"64Mi",)"
                 R"("byrnie.io/redirect-cpu-limit":"100m","byrnie.io/proxy-cpu-limit":"1"})");
  Inject(&pod);
  EXPECT_EQ(ToText(Container(pod, "byrnie-redirect")["resources"]),
            R"({"requests":{"cpu":"5m","memory":"64Mi"},"limits":{"cpu":"100m","memory":"64Mi"}})");
}

TEST(PodInjectionTest, ALabelOrAnAnnotationOptsOut) {
  for (const char* const kind : {"labels", "annotations"}) {
    for (const auto& [value, expected] :
         {std::make_pair("false", Kind::kOptedOut), std::make_pair("true", Kind::kInjected)}) {
      Json pod = Pod(absl::StrCat("\"", kind, R"(":{"byrnie.io/inject":")", value, "\"}"));
      EXPECT_EQ(Inject(&pod).kind, expected) << kind << value;
    }
    Json pod = Pod(absl::StrCat("\"", kind, R"(":{"byrnie.io/inject":"no"})"));
    EXPECT_THAT(InjectPod(InjectorConfig(), &pod),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("true")));
  }
}

TEST(PodInjectionTest, PortsOfProbesAndHooksAreDeclared) {
  Json pod = Pod(
      "",
      R"("initContainers":[{"name":"s","restartPolicy":"Always","startupProbe":{"tcpSocket":{"port":70}}}])",
      R"("ports":[{"name":"web","containerPort":81}],"livenessProbe":{"httpGet":{"port":"web"}},)"
      R"("readinessProbe":{"grpc":{"port":82}},"startupProbe":{"tcpSocket":{"port":"83"}},)"
      R"("lifecycle":{"postStart":{"httpGet":{"port":84}},"preStop":{"exec":{"command":["x"]}}})");
  EXPECT_THAT(Inject(&pod).warnings, IsEmpty());
  EXPECT_EQ(Flag(pod, "byrnie-proxy", "probe_ports"), "70,81,82,83,84");
  EXPECT_EQ(Flag(pod, "byrnie-proxy", "probe_sources"), "gateways,$(BYRNIE_NODE_ADDRESSES)");
  EXPECT_EQ(
      ToText(Container(pod, "byrnie-proxy")["env"]),
      R"([{"name":"BYRNIE_NODE_ADDRESSES","valueFrom":{"fieldRef":{"fieldPath":"status.hostIPs"}}}])");
  // Its own are reached without that.
  Json none = Pod();
  Inject(&none);
  EXPECT_EQ(Flag(none, "byrnie-proxy", "probe_ports"), "none");
  Json off = Pod(Annotation("probes", "off"), "", R"("livenessProbe":{"grpc":{"port":82}})");
  Inject(&off);
  EXPECT_EQ(Flag(off, "byrnie-proxy", "probe_ports"), "none");
}

TEST(PodInjectionTest, TheProxysEndFitsIntoThePods) {
  Json pod = Pod();
  Inject(&pod);
  EXPECT_EQ(Flag(pod, "byrnie-proxy", "drain_timeout"), "28s");
  EXPECT_EQ(Flag(pod, "byrnie-proxy", "drain_hold"), "none");
  EXPECT_EQ(Flag(pod, "byrnie-proxy", "drain_quiet"), "none");
  Json classic = Pod(Annotation("sidecars", "classic"), R"("terminationGracePeriodSeconds":6)");
  Inject(&classic);
  EXPECT_EQ(Flag(classic, "byrnie-proxy", "drain_timeout"), "4s");
  EXPECT_EQ(Flag(classic, "byrnie-proxy", "drain_hold"), "2s");
  EXPECT_EQ(Flag(classic, "byrnie-proxy", "drain_quiet"), "2s");
  Json none = Pod("", R"("terminationGracePeriodSeconds":0)");
  Inject(&none);
  EXPECT_EQ(Flag(none, "byrnie-proxy", "drain_timeout"), "1s");
  Json longer = Pod(Annotation("drain-timeout", "2m"));
  EXPECT_THAT(Inject(&longer).warnings,
              ElementsAre(HasSubstr("terminationGracePeriodSeconds, 30")));
  Json hold = Pod(Annotation("drain-hold", "40s"));
  EXPECT_THAT(InjectPod(InjectorConfig(), &hold),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("byrnie.io/drain-hold")));
}

TEST(PodInjectionTest, ResourcesThatAreSaidMoveTheDefaults) {
  Json pod = Pod();
  Inject(&pod);
  EXPECT_EQ(ToText(Container(pod, "byrnie-proxy")["resources"]),
            R"({"requests":{"cpu":"10m","memory":"32Mi"},"limits":{"memory":"256Mi"}})");
  Json small = Pod(Annotation("proxy-memory-limit", "20Mi"));
  Inject(&small);
  EXPECT_EQ(ToText(Container(small, "byrnie-proxy")["resources"]),
            R"({"requests":{"cpu":"10m","memory":"20Mi"},"limits":{"memory":"20Mi"}})");
  Json large = Pod(Annotation("proxy-memory-request", "1Gi"));
  Inject(&large);
  EXPECT_EQ(ToText(Container(large, "byrnie-proxy")["resources"]),
            R"({"requests":{"cpu":"10m","memory":"1Gi"},"limits":{"memory":"1Gi"}})");
  Json none = Pod(Annotation("proxy-memory-limit", "none"));
  Inject(&none);
  EXPECT_EQ(Find(Container(none, "byrnie-proxy")["resources"], "limits"), nullptr);
}

TEST(PodInjectionTest, WhatRunsOnceHasTheProxysLimitOfCpu) {
  for (const auto& [limit, resources] :
       {std::make_pair("1", R"({"requests":{"cpu":"5m","memory":"16Mi"},)"
                            R"("limits":{"cpu":"1","memory":"64Mi"}})"),
        std::make_pair("2m", R"({"requests":{"cpu":"2m","memory":"16Mi"},)"
                             R"("limits":{"cpu":"2m","memory":"64Mi"}})"),
        std::make_pair("none", R"({"requests":{"cpu":"5m","memory":"16Mi"},)"
                               R"("limits":{"memory":"64Mi"}})")}) {
    Json pod = Pod(Annotation("proxy-cpu-limit", limit));
    Inject(&pod);
    EXPECT_EQ(ToText(Container(pod, "byrnie-redirect")["resources"]), resources);
  }
}

TEST(PodInjectionTest, TheApplicationNeedNotBeHeld) {
  for (const char* const sidecars : {"native", "classic"}) {
    Json pod = Pod(absl::StrCat(R"("annotations":{"byrnie.io/hold-application":"false",)",
                                R"("byrnie.io/sidecars":")", sidecars, "\"}"));
    Inject(&pod);
    for (const char* const name : {"byrnie-agent", "byrnie-proxy"}) {
      EXPECT_EQ(Find(Container(pod, name), "startupProbe"), nullptr);
      EXPECT_EQ(FindPath(Container(pod, name), {"lifecycle", "postStart"}), nullptr);
    }
  }
}

TEST(PodInjectionTest, WhatOthersAddedLaterIsSeenTheNextTime) {
  Json pod = Pod();
  Inject(&pod);
  pod["spec"]["initContainers"].insert(pod["spec"]["initContainers"].begin(),
                                       Read(R"({"name":"theirs"})"));
  pod["spec"]["containers"].push_back(
      Read(R"({"name":"added","livenessProbe":{"httpGet":{"port":9000}}})"));
  EXPECT_EQ(Inject(&pod).kind, Kind::kUpdated);
  EXPECT_EQ(Flag(pod, "byrnie-proxy", "probe_ports"), "9000");
  EXPECT_THAT(Names(pod, "initContainers"),
              ElementsAre("byrnie-agent", "byrnie-proxy", "byrnie-redirect", "theirs"));
  EXPECT_EQ(Inject(&pod).kind, Kind::kUnchanged);
}

TEST(PodInjectionTest, WhatIsMadeAsNoPodIsIsAnError) {
  for (const char* const text :
       {R"({"metadata":1})", R"({"spec":[]})", R"({"metadata":{"labels":"x"}})",
        R"({"spec":{"containers":{}}})", R"({"spec":{"initContainers":"x","containers":[{}]}})",
        R"({"spec":{"volumes":1,"containers":[{}]}})"}) {
    Json pod = Read(text);
    EXPECT_THAT(InjectPod(InjectorConfig(), &pod), StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
    EXPECT_TRUE(SameJson(pod, Read(text)));
  }
  // Null is as not there.
  Json nulls = Read(R"({"metadata":null,"spec":{"volumes":null,"initContainers":null,)"
                    R"("containers":[{"name":"app"}]}})");
  EXPECT_EQ(Inject(&nulls).kind, Kind::kInjected);
}

TEST(PodInjectionTest, AStatusThatIsNotOursIsReplaced) {
  Json pod = Pod(R"("annotations":{"byrnie.io/status":"{\"revision\":\"default\"}"})",
                 R"("initContainers":[{"name":"byrnie-proxy","image":"mine"}])");
  EXPECT_EQ(Inject(&pod).kind, Kind::kUpdated);
  EXPECT_THAT(Names(pod, "initContainers"),
              ElementsAre("byrnie-agent", "byrnie-proxy", "byrnie-redirect"));
  EXPECT_EQ(TextOf(Container(pod, "byrnie-proxy"), "image"), InjectorConfig().image);
  Json odd = Pod(R"("annotations":{"byrnie.io/status":"injected"})",
                 R"("initContainers":[{"name":"byrnie-proxy","image":"mine"}])");
  EXPECT_EQ(Inject(&odd).kind, Kind::kUpdated);
  EXPECT_EQ(TextOf(Container(odd, "byrnie-proxy"), "image"), InjectorConfig().image);
  EXPECT_FALSE([] {
    Json bare = Pod();
    return UninjectPod(&bare);
  }());
}

TEST(PodInjectionTest, WarnsWhereTheApplicationSeesTheSidecarsProcesses) {
  Json pod = Pod("", R"("shareProcessNamespace":true)");
  EXPECT_THAT(Inject(&pod).warnings, ElementsAre(HasSubstr("shareProcessNamespace")));
  Json apart = Pod("", R"("shareProcessNamespace":false)");
  EXPECT_THAT(Inject(&apart).warnings, IsEmpty());
}

TEST(PodInjectionTest, WhatTheMeshIsToldReachesTheAgent) {
  InjectorConfig config;
  config.network = "n1";
  config.trust_domain = "example.org";
  config.defaults["certificate-ttl"] = "30m";
  Json pod = Pod();
  ASSERT_THAT(InjectPod(config, &pod), IsOk());
  EXPECT_THAT(Args(pod, "byrnie-agent"),
              AllOf(Contains("--spiffe_id=spiffe://example.org/ns/$(BYRNIE_NAMESPACE)/sa/"
                             "$(BYRNIE_SERVICE_ACCOUNT)"),
                    Contains("--network=n1"), Contains("--certificate_ttl=30m"),
                    Not(Contains(HasSubstr("log_level")))));
}

}  // namespace
}  // namespace byrnie
