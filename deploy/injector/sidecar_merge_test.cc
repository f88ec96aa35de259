#include "deploy/injector/sidecar_merge.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"
#include "deploy/injector/pod_injection.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Kind = PodOutcome::Kind;

Json Read(absl::string_view text) {
  absl::StatusOr<Json> json = ParseJson(text, 100000);
  EXPECT_THAT(json, IsOk());
  return json.value_or(Json(nullptr));
}

// What the API server makes of a pod whose webhook it asks a second time.
class SidecarMergeTest : public ::testing::TestWithParam<const char*> {
 protected:
  SidecarMergeTest() {
    config_.defaults["sidecars"] = GetParam();
    EXPECT_EQ(Inject(), Kind::kInjected);
  }

  Kind Inject() {
    absl::StatusOr<PodOutcome> outcome = InjectPod(config_, &pod_);
    EXPECT_THAT(outcome, IsOk());
    warnings_ = outcome.value_or(PodOutcome()).warnings;
    return outcome.value_or(PodOutcome()).kind;
  }
  std::string Warning(absl::string_view container) {
    const std::string begin = absl::StrCat("container ", container, " ");
    for (const std::string& warning : warnings_) {
      if (absl::StartsWith(warning, begin)) return warning;
    }
    return "none";
  }
  // Of ours, and of the application.
  Json& Container(absl::string_view name) {
    for (const char* const list : {"initContainers", "containers"}) {
      for (Json& container : *ArrayIn(&pod_["spec"], list)) {
        if (TextOf(container, "name") == name) return container;
      }
    }
    ADD_FAILURE() << name;
    return pod_;
  }
  std::vector<std::string> NamesIn(absl::string_view container, absl::string_view list) {
    std::vector<std::string> names;
    for (const Json& item : ItemsOf(Container(container), list)) {
      names.push_back(TextOf(item, "name"));
    }
    return names;
  }

  InjectorConfig config_;
  std::vector<std::string> warnings_;
  Json pod_ = Read(
      R"({"spec":{"containers":[{"name":"app","image":"x","livenessProbe":{"tcpSocket":{"port":80}}}]}})");
};

INSTANTIATE_TEST_SUITE_P(Sidecars, SidecarMergeTest, ::testing::Values("native", "classic"));

TEST_P(SidecarMergeTest, WhatIsOthersToSayStays) {
  for (const char* const name : {"byrnie-agent", "byrnie-proxy", "byrnie-redirect"}) {
    Json& container = Container(name);
    container["image"] = "mirror.example/byrnie:0.1.0";
    container["imagePullPolicy"] = "Always";
    container["resources"]["limits"]["cpu"] = "500m";
    // Of the API server itself.
    container["terminationMessagePath"] = "/dev/termination-log";
  }
  Container("byrnie-proxy")["readinessProbe"]["httpGet"]["scheme"] = "HTTP";
  Container("byrnie-proxy")["readinessProbe"]["successThreshold"] = 1;
  Container("byrnie-agent")["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] = "v1";
  pod_["spec"]["volumes"][2]["configMap"]["defaultMode"] = 420;
  const Json before = pod_;
  EXPECT_EQ(Inject(), Kind::kUnchanged);
  EXPECT_TRUE(SameJson(pod_, before));
}

TEST_P(SidecarMergeTest, WhatOthersHaveAddedStaysBesideWhatChanges) {
  Container("byrnie-proxy")["resources"] = Read(R"({"limits":{"cpu":"1"}})");
  Container("byrnie-proxy")["env"].insert(Container("byrnie-proxy")["env"].begin(),
                                          Read(R"({"name":"TZ","value":"UTC"})"));
  Container("byrnie-proxy")["volumeMounts"].push_back(
      Read(R"({"name":"zone","mountPath":"/etc/localtime"})"));
  pod_["spec"]["volumes"].push_back(Read(R"({"name":"zone","configMap":{"name":"zone"}})"));
  // The reason to make it anew.
  Container("app")["readinessProbe"]["tcpSocket"]["port"] = 81;
  EXPECT_EQ(Inject(), Kind::kUpdated);
  EXPECT_THAT(ToText(Container("byrnie-proxy")["args"]), HasSubstr("--probe_ports=80,81"));
  EXPECT_THAT(NamesIn("byrnie-proxy", "env"), ElementsAre("TZ", "BYRNIE_NODE_ADDRESSES"));
  EXPECT_THAT(NamesIn("byrnie-proxy", "volumeMounts"),
              ElementsAre("byrnie-nothing", "byrnie-link", "zone"));
  EXPECT_EQ(ToText(Container("byrnie-proxy")["resources"]), R"({"limits":{"cpu":"1"}})");
  // What was needed for probes goes with them.
  Remove(&Container("app"), "livenessProbe");
  Remove(&Container("app"), "readinessProbe");
  EXPECT_EQ(Inject(), Kind::kUpdated);
  EXPECT_THAT(NamesIn("byrnie-proxy", "env"), ElementsAre("TZ"));
  EXPECT_THAT(ToText(Container("byrnie-proxy")["args"]), Not(HasSubstr("--probe_ports")));
  EXPECT_EQ(Inject(), Kind::kUnchanged);
}

constexpr const char* kSources[] = {
    R"("projected":{"sources":[{"configMap":{"name":"a"}},{"serviceAccountToken":{"path":"token"}}]})",
    R"("projected":{"sources":[{"secret":{"name":"a"}}]})",
    R"("secret":{"secretName":"a"})",
    R"("csi":{"driver":"secrets-store.csi.k8s.io"})",
    R"("hostPath":{"path":"/"})",
    R"("persistentVolumeClaim":{"claimName":"a"})",
    // Vault's agent writes what it has been given into one.
    R"("emptyDir":{"medium":"Memory"})",
};

// As webhooks for cloud identities do to every container.
TEST_P(SidecarMergeTest, WhatIsTheApplicationsDoesNotStay) {
  const Json before = pod_;
  for (const char* const source : kSources) {
    pod_ = before;
    pod_["spec"]["volumes"].push_back(Read(absl::StrCat(R"({"name":"token",)", source, "}")));
    const Json mount = Read(R"({"name":"token","mountPath":"/var/run/secrets/eks"})");
    for (const char* const name : {"byrnie-agent", "byrnie-proxy", "byrnie-redirect", "app"}) {
      ArrayIn(&Container(name), "volumeMounts")->push_back(mount);
    }
    EXPECT_EQ(Inject(), Kind::kUpdated);
    for (const char* const name : {"byrnie-agent", "byrnie-proxy", "byrnie-redirect"}) {
      EXPECT_THAT(NamesIn(name, "volumeMounts"), Not(Contains("token"))) << source;
      EXPECT_THAT(Warning(name), AllOf(HasSubstr("(volumeMounts token)"), HasSubstr("webhook")));
    }
    EXPECT_THAT(NamesIn("app", "volumeMounts"), ElementsAre("token"));
    EXPECT_EQ(Inject(), Kind::kUnchanged);
    EXPECT_THAT(Warning("byrnie-proxy"), "none");
  }
}

// Whoever puts scripts into every container must not put them where ours have their programs.
TEST_P(SidecarMergeTest, WhatLiesOverOurFilesDoesNotStay) {
  const Json before = pod_;
  for (const char* const path :
       {"/", "/usr", "/usr/local/bin", "/usr/local/bin/", "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64", "/etc", "/run", "/etc/byrnie/x", "/opt/../usr/local/bin", "//usr",
        "usr/local/bin", "./usr", "/etc/ld.so.cache"}) {
    pod_ = before;
    pod_["spec"]["volumes"].push_back(Read(R"({"name":"scripts","configMap":{"name":"a"}})"));
    Json mount = Read(R"({"name":"scripts"})");
    mount["mountPath"] = path;
    ArrayIn(&Container("byrnie-proxy"), "volumeMounts")->push_back(mount);
    EXPECT_EQ(Inject(), Kind::kUpdated) << path;
    EXPECT_THAT(NamesIn("byrnie-proxy", "volumeMounts"), Not(Contains("scripts"))) << path;
    EXPECT_THAT(Warning("byrnie-proxy"), HasSubstr("(volumeMounts scripts)")) << path;
  }
}

TEST_P(SidecarMergeTest, WhatIsKnownToTheNamespaceStays) {
  pod_["spec"]["volumes"].push_back(Read(
      R"({"name":"roots","projected":{"sources":[{"configMap":{"name":"a"}},{"downwardAPI":{}}]}})"));
  ArrayIn(&Container("byrnie-proxy"), "volumeMounts")
      ->push_back(Read(R"({"name":"roots","mountPath":"/etc/ssl"})"));
  EXPECT_EQ(Inject(), Kind::kUnchanged);
  EXPECT_THAT(NamesIn("byrnie-proxy", "volumeMounts"), Contains("roots"));
}

TEST_P(SidecarMergeTest, VariablesThatLoadSomethingOrAreASecretDoNotStay) {
  for (const char* const name : {"byrnie-agent", "byrnie-proxy"}) {
    Json* const env = ArrayIn(&Container(name), "env");
    for (const char* const variable :
         {R"({"name":"LD_PRELOAD","value":"/a.so"})", R"({"name":"GLIBC_TUNABLES","value":"a"})",
          R"({"name":"OPENSSL_CONF","value":"/a"})",
          R"({"name":"KEY","valueFrom":{"secretKeyRef":{"name":"a","key":"b"}}})",
          R"({"name":"HOST","valueFrom":{"fieldRef":{"fieldPath":"status.hostIP"}}})",
          R"({"name":"TZ","value":"UTC"})"}) {
      env->push_back(Read(variable));
    }
    Container(name)["envFrom"] = Read(R"([{"secretRef":{"name":"a"}}])");
    Container(name)["volumeDevices"] = Read(R"([{"name":"a","devicePath":"/dev/a"}])");
  }
  EXPECT_EQ(Inject(), Kind::kUpdated);
  for (const char* const name : {"byrnie-agent", "byrnie-proxy"}) {
    EXPECT_THAT(
        NamesIn(name, "env"),
        AllOf(Contains("TZ"), Contains("HOST"), Not(Contains("KEY")), Not(Contains("LD_PRELOAD")),
              Not(Contains("GLIBC_TUNABLES")), Not(Contains("OPENSSL_CONF"))));
    EXPECT_EQ(Find(Container(name), "envFrom"), nullptr);
    EXPECT_EQ(Find(Container(name), "volumeDevices"), nullptr);
    EXPECT_THAT(Warning(name), HasSubstr("(env LD_PRELOAD, env GLIBC_TUNABLES, env OPENSSL_CONF "
                                         "and 3 more)"));
  }
  EXPECT_EQ(Inject(), Kind::kUnchanged);
}

// A probe of somebody else's would end them, or keep the pod from being ready.
TEST_P(SidecarMergeTest, PortsProbesAndHooksOfOthersDoNotStay) {
  const Json before = pod_;
  for (const char* const name : {"byrnie-agent", "byrnie-proxy"}) {
    for (const char* const member :
         {R"({"ports":[{"name":"a","containerPort":80,"hostPort":80}]})", R"({"stdin":true})",
          R"({"stdinOnce":true})", R"({"tty":true})", R"({"workingDir":"/opt"})",
          R"({"livenessProbe":{"exec":{"command":["/a"]}}})"}) {
      pod_ = before;
      const Json added = Read(member);
      for (const auto& one : added.items()) {
        Json& there = Container(name)[one.key()];
        if (there.is_array()) {
          there.push_back(one.value()[0]);
        } else {
          there = one.value();
        }
      }
      EXPECT_EQ(Inject(), Kind::kUpdated) << name << member;
      EXPECT_TRUE(SameJson(pod_, before)) << name << member << ToText(pod_);
      EXPECT_THAT(Warning(name), HasSubstr(added.begin().key()));
      EXPECT_EQ(Inject(), Kind::kUnchanged);
    }
  }
  pod_ = before;
  Container("byrnie-agent")["readinessProbe"] = Read(R"({"exec":{"command":["/a"]}})");
  Container("byrnie-proxy")["ports"][0]["hostPort"] = 15008;
  Container("byrnie-proxy")["readinessProbe"]["httpGet"]["host"] = "203.0.113.1";
  for (const char* const hook : {"preStop", "postStart"}) {
    for (const char* const name : {"byrnie-agent", "byrnie-proxy"}) {
      Json* const lifecycle = ObjectIn(&Container(name), "lifecycle");
      if (Find(*lifecycle, hook) == nullptr) {
        (*lifecycle)[hook] = Read(R"({"exec":{"command":["/a"]}})");
      }
    }
  }
  EXPECT_EQ(Inject(), Kind::kUpdated);
  EXPECT_TRUE(SameJson(pod_, before)) << ToText(pod_);
  EXPECT_THAT(Warning("byrnie-agent"), HasSubstr("readinessProbe"));
  EXPECT_THAT(Warning("byrnie-proxy"),
              AllOf(HasSubstr("lifecycle"), HasSubstr("readinessProbe.httpGet.host")));
}

// What the policy for privileges refuses.
TEST_P(SidecarMergeTest, WhatIsRootKeepsNothingOfOthers) {
  const Json before = pod_;
  Json& redirect = Container("byrnie-redirect");
  redirect["env"] = Read(R"([{"name":"TZ","value":"UTC"}])");
  redirect["envFrom"] = Read(R"([{"configMapRef":{"name":"a"}}])");
  redirect["ports"] = Read(R"([{"name":"a","containerPort":80,"hostPort":80}])");
  redirect["lifecycle"] = Read(R"({"preStop":{"exec":{"command":["/a"]}}})");
  redirect["livenessProbe"] = Read(R"({"exec":{"command":["/a"]}})");
  redirect["volumeMounts"].push_back(Read(R"({"name":"zone","mountPath":"/etc/localtime"})"));
  pod_["spec"]["volumes"].push_back(Read(R"({"name":"zone","configMap":{"name":"zone"}})"));
  EXPECT_EQ(Inject(), Kind::kUpdated);
  pod_["spec"]["volumes"].erase(pod_["spec"]["volumes"].size() - 1);
  EXPECT_TRUE(SameJson(pod_, before)) << ToText(pod_);
  EXPECT_THAT(Warning("byrnie-redirect"), HasSubstr("env TZ"));
}

TEST_P(SidecarMergeTest, WhatIsOursToSayIsPutBack) {
  const Json before = pod_;
  Json& proxy = Container("byrnie-proxy");
  proxy["command"][0] = "/bin/true";
  proxy["args"].push_back("--mtls_mode=permissive");
  proxy["securityContext"]["privileged"] = true;
  proxy["volumeMounts"][1]["mountPath"] = "/elsewhere";
  Remove(&proxy, "readinessProbe");
  pod_["spec"]["volumes"][1]["projected"]["sources"][0]["serviceAccountToken"]["audience"] = "x";
  EXPECT_EQ(Inject(), Kind::kUpdated);
  EXPECT_TRUE(SameJson(pod_, before)) << ToText(pod_);
}

TEST_P(SidecarMergeTest, WhatWasMadeOfOtherSettingsIsMadeAnew) {
  const std::vector<std::pair<const char*, const char*>> changes = {
      {"image", "byrnie:0.2.0"}, {"image-pull-policy", "Never"}, {"proxy-cpu-limit", "2"}};
  for (const auto& [name, value] : changes) {
    Container("byrnie-proxy")["image"] = "mirror.example/byrnie:old";
    Container("byrnie-proxy")["imagePullPolicy"] = "Always";
    Container("byrnie-proxy")["resources"] = Json::object();
    Container("byrnie-proxy")["stdin"] = true;
    config_.defaults[name] = value;
    EXPECT_EQ(Inject(), Kind::kUpdated);
    InjectorConfig config = config_;
    Json fresh = pod_;
    ASSERT_TRUE(UninjectPod(&fresh));
    ASSERT_THAT(InjectPod(config, &fresh), IsOk());
    EXPECT_TRUE(SameJson(pod_, fresh)) << name;
  }
  EXPECT_EQ(TextOf(Container("byrnie-proxy"), "image"), "byrnie:0.2.0");
}

TEST(SidecarWatchTest, WhatIsOthersToSayStaysOfTheWatchToo) {
  InjectorConfig config;
  config.defaults["redirect-watch"] = "repair";
  Json pod = Read(R"({"spec":{"containers":[{"name":"app"}]}})");
  ASSERT_THAT(InjectPod(config, &pod), IsOk());
  Json& watch = pod["spec"]["initContainers"][3];
  ASSERT_EQ(TextOf(watch, "name"), "byrnie-watch");
  watch["resources"]["limits"]["cpu"] = "500m";
  const absl::StatusOr<PodOutcome> again = InjectPod(config, &pod);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->kind, Kind::kUnchanged);
  const Json before = pod;
  pod["spec"]["initContainers"][3]["env"] = Read(R"([{"name":"TZ","value":"UTC"}])");
  ASSERT_THAT(InjectPod(config, &pod), IsOk());
  EXPECT_TRUE(SameJson(pod, before));
  config.defaults["redirect-watch"] = "report";
  const absl::StatusOr<PodOutcome> other = InjectPod(config, &pod);
  ASSERT_THAT(other, IsOk());
  EXPECT_EQ(other->kind, Kind::kUpdated);
  EXPECT_THAT(ToText(pod), Not(HasSubstr("500m")));
}

// By a release that did not note what it was made of.
TEST_P(SidecarMergeTest, WhatAnEarlierReleaseMadeIsMadeAnew) {
  Json fresh = pod_;
  const std::string status =
      absl::StrCat(R"({"revision":"default","sidecars":")", GetParam(), "\"}");
  pod_["metadata"]["annotations"]["byrnie.io/status"] = status;
  Container("byrnie-proxy")["image"] = "byrnie:0.0.9";
  Container("byrnie-proxy")["args"] = Json::array({"--old"});
  EXPECT_EQ(Inject(), Kind::kUpdated);
  EXPECT_EQ(TextOf(Container("byrnie-proxy"), "image"), "byrnie:0.1.0");
  Remove(&pod_["metadata"]["annotations"], "byrnie.io/status");
  Remove(&fresh["metadata"]["annotations"], "byrnie.io/status");
  EXPECT_TRUE(SameJson(pod_["spec"], fresh["spec"]));
}

TEST_P(SidecarMergeTest, WhatIsMadeAsNoContainerIsDoesNotStay) {
  const Json before = pod_;
  Container("byrnie-proxy")["image"] = nullptr;
  Container("byrnie-proxy")["env"] = "x";
  Container("byrnie-proxy")["volumeMounts"] = nullptr;
  EXPECT_EQ(Inject(), Kind::kUpdated);
  EXPECT_TRUE(SameJson(pod_, before)) << ToText(pod_);
  pod_["spec"]["containers"].push_back(Container("byrnie-proxy"));
  EXPECT_EQ(Inject(), Kind::kUpdated);
  EXPECT_EQ(Inject(), Kind::kUnchanged);
}

}  // namespace
}  // namespace byrnie
