#include "ctl/install/install_settings.h"

#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "ctl/install/manifests.h"
#include "deploy/injector/pull_secrets.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<Json> Made(const InstallSettings& settings, const std::string& overlay = "sqlite") {
  std::vector<Json> objects = *RenderOverlay(ReadEmbeddedManifest, overlay);
  EXPECT_THAT(ApplyInstallSettings(settings, &objects), IsOk());
  return objects;
}

Json One(const std::vector<Json>& objects, const std::string& kind) {
  const auto found =
      absl::c_find_if(objects, [&](const Json& object) { return TextOf(object, "kind") == kind; });
  EXPECT_NE(found, objects.end()) << kind;
  return found == objects.end() ? Json::object() : *found;
}

std::vector<std::string> Arguments(std::vector<Json> objects) {
  std::vector<std::string> arguments;
  for (Json& object : objects) {
    for (Json* container : ContainersOf(&object)) {
      for (const Json& argument : ItemsOf(*container, "args")) {
        arguments.push_back(argument.get<std::string>());
      }
    }
  }
  return arguments;
}

std::string InjectorText(const std::vector<Json>& objects) {
  const Json map = One(objects, "ConfigMap");
  const Json* const data = Find(map, "data");
  return data == nullptr ? "" : TextOf(*data, "injector.json");
}

TEST(InstallSettingsTest, LabelsEveryObjectAndPutsTheWebhookLast) {
  const std::vector<Json> objects = Made({});
  for (const Json& object : objects) {
    const Json* const labels = FindPath(object, {"metadata", "labels"});
    ASSERT_NE(labels, nullptr);
    EXPECT_EQ(absl::StrCat(kManagedByLabel, "=", TextOf(*labels, kManagedByLabel), ",",
                           kPartOfLabel, "=", TextOf(*labels, kPartOfLabel)),
              kInstallSelector);
  }
  EXPECT_EQ(TextOf(objects.front(), "kind"), "Namespace");
  EXPECT_EQ(TextOf(objects.back(), "kind"), "MutatingWebhookConfiguration");
  EXPECT_EQ(TextOf(objects[objects.size() - 2], "kind"), "StatefulSet");
}

TEST(InstallSettingsTest, ChangesNothingElseUnlessTold) {
  std::vector<Json> objects = Made({}), rendered = *RenderOverlay(ReadEmbeddedManifest, "sqlite");
  for (Json& object : rendered) LabelAsInstalled(&object);
  for (const Json& object : rendered) {
    EXPECT_TRUE(absl::c_any_of(objects, [&](const Json& made) { return SameJson(made, object); }))
        << ToText(object);
  }
}

TEST(InstallSettingsTest, LetsSickControlPlanesBeEvictedWhereTheServerKnowsHow) {
  std::vector<Json> objects = Made({}, "etcd");
  ApplyServerVersion(26, &objects);
  EXPECT_EQ(FindPath(One(objects, "PodDisruptionBudget"), {"spec", "unhealthyPodEvictionPolicy"}),
            nullptr);
  ApplyServerVersion(27, &objects);
  const Json budget = One(objects, "PodDisruptionBudget");
  EXPECT_EQ(TextOf(*Find(budget, "spec"), "unhealthyPodEvictionPolicy"), "AlwaysAllow");
}

std::vector<std::string> PullSecretsIn(const std::vector<Json>& objects) {
  std::vector<std::string> names;
  const Json made = One(objects, "StatefulSet");
  for (const Json& secret : ItemsOf(*FindPath(made, {"spec", "template", "spec"}), kPullSecrets)) {
    names.push_back(TextOf(secret, "name"));
  }
  return names;
}

TEST(InstallSettingsTest, PullSecretsAreOfTheControlPlaneAndOfTheSidecars) {
  InstallSettings settings;
  settings.image_pull_secrets = {"regcred", "mirror"};
  settings.pull_secrets_given = true;
  settings.injector_config = R"({"image_pull_secrets": ["old"], "deny_refused": true})";
  std::vector<Json> objects = Made(settings);
  EXPECT_THAT(PullSecretsIn(objects), ElementsAre("regcred", "mirror"));
  EXPECT_THAT(InjectorText(objects), HasSubstr(R"("image_pull_secrets":["regcred","mirror"])"));
  // Of the sidecars it says nothing unless it was given.
  settings.pull_secrets_given = false;
  objects = Made(settings);
  EXPECT_THAT(PullSecretsIn(objects), ElementsAre("regcred", "mirror"));
  EXPECT_THAT(InjectorText(objects), HasSubstr(R"(["old"])"));
  // And none.
  settings.pull_secrets_given = true;
  settings.image_pull_secrets.clear();
  objects = Made(settings);
  EXPECT_THAT(PullSecretsIn(objects), IsEmpty());
  EXPECT_THAT(InjectorText(objects), Not(HasSubstr("image_pull_secrets")));
  settings.image_pull_secrets = {"Reg Cred"};
  EXPECT_THAT(CheckInstallSettings(settings),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--image_pull_secret")));
}

TEST(InstallSettingsTest, PutsEverythingIntoAnotherNamespace) {
  InstallSettings settings;
  settings.ns = "mesh";
  const std::vector<Json> objects = Made(settings);
  for (const Json& object : objects) {
    // In names that people read, as of a CustomResourceDefinition's description, it may stay.
    EXPECT_THAT(ToText(object), Not(HasSubstr("\"byrnie-system\"")));
  }
  EXPECT_EQ(TextOf(*Find(One(objects, "Namespace"), "metadata"), "name"), "mesh");
  EXPECT_THAT(Arguments(objects), Contains("--webhook_names=byrnie-controlplane.mesh.svc"));
  EXPECT_THAT(Arguments(objects), Contains("--root_namespace=mesh"));
  EXPECT_THAT(InjectorText(objects), HasSubstr("byrnie-controlplane.mesh.svc:15012"));
  EXPECT_EQ(TextOf(*FindPath(One(objects, "MutatingWebhookConfiguration")["webhooks"][0],
                             {"clientConfig", "service"}),
                   "namespace"),
            "mesh");
}

TEST(InstallSettingsTest, TakesAnImageAndATrustDomain) {
  InstallSettings settings;
  settings.image = "registry:5000/byrnie:1.2";
  settings.trust_domain = "prod.example";
  settings.revision = "1-2";
  settings.sidecars = "classic";
  const std::vector<Json> objects = Made(settings);
  Json set = One(objects, "StatefulSet");
  EXPECT_EQ(TextOf(*ContainersOf(&set)[0], "image"), "registry:5000/byrnie:1.2");
  EXPECT_THAT(Arguments(objects), Contains("--trust_domain=prod.example"));
  EXPECT_THAT(Arguments(objects), Not(Contains("--trust_domain=cluster.local")));
  EXPECT_EQ(InjectorText(objects),
            R"({"image":"registry:5000/byrnie:1.2","revision":"1-2","trust_domain":"prod.example",)"
            R"("defaults":{"sidecars":"classic"}})"
            "\n");
}

TEST(InstallSettingsTest, TakesAnInjectorsConfiguration) {
  InstallSettings settings;
  settings.injector_config = R"({"deny_refused": true, "defaults": {"log-level": "debug"}})";
  EXPECT_EQ(InjectorText(Made(settings)), settings.injector_config);
  settings.sidecars = "native";
  EXPECT_EQ(InjectorText(Made(settings)),
            R"({"deny_refused":true,"defaults":{"log-level":"debug","sidecars":"native"}})"
            "\n");
  std::vector<Json> objects = *RenderOverlay(ReadEmbeddedManifest, "sqlite");
  settings.injector_config = R"({"nonsense": 1})";
  EXPECT_THAT(ApplyInstallSettings(settings, &objects),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nonsense")));
}

TEST(InstallSettingsTest, TakesAnEtcdWhereThereIsOne) {
  InstallSettings settings;
  settings.etcd = "https://a:2379,https://b:2379";
  settings.trust_domain = "prod.example";
  EXPECT_THAT(Arguments(Made(settings, "etcd")),
              Contains("--store=etcd:https://a:2379,https://b:2379/byrnie/prod.example"));
  settings.etcd.clear();
  EXPECT_THAT(Arguments(Made(settings, "etcd")),
              Contains(::testing::AllOf(HasSubstr("--store=etcd:https://"),
                                        ::testing::EndsWith("/byrnie/prod.example"))));
  settings.etcd = "https://a:2379";
  std::vector<Json> objects = *RenderOverlay(ReadEmbeddedManifest, "sqlite");
  EXPECT_THAT(ApplyInstallSettings(settings, &objects),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--etcd")));
}

TEST(InstallSettingsTest, RefusesWhatCannotBe) {
  const struct {
    InstallSettings settings;
    const char* message;
  } kCases[] = {
      {{"Mesh", "", "td", "", "", "", "", ""}, "--namespace"},
      {{"", "", "td", "", "", "", "", ""}, "--namespace"},
      {{"kube-system", "", "td", "", "", "", "", ""}, "--namespace"},
      {{"mesh", "a b", "td", "", "", "", "", ""}, "--image"},
      {{"mesh", "UPPER:TAG", "td", "", "", "", "", ""}, "--image"},
      {{"mesh", "a//b", "td", "", "", "", "", ""}, "--image"},
      {{"mesh", "", "No", "", "", "", "", ""}, "--trust_domain"},
      {{"mesh", "", "td", "http://a", "", "", "", ""}, "--etcd"},
      {{"mesh", "", "td", "https://a/b", "", "", "", ""}, "--etcd"},
  };
  for (const auto& test : kCases) {
    EXPECT_THAT(CheckInstallSettings(test.settings),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(test.message)));
  }
  EXPECT_THAT(CheckInstallSettings({}), IsOk());
}

// The webhook would tell every new pod of it.
TEST(InstallSettingsTest, RefusesWhatNoPodCouldStartWith) {
  InstallSettings revision;
  revision.revision = ".";
  InstallSettings target, roots;
  target.injector_config = R"({"control_plane": "foo.svc:99999"})";
  roots.injector_config = R"({"trust_bundle_config_map": "roots"})";
  for (const auto& [settings, named] :
       {std::make_pair(revision, "revision: \".\""), std::make_pair(target, "control_plane"),
        std::make_pair(roots, "leave it out")}) {
    std::vector<Json> objects = *RenderOverlay(ReadEmbeddedManifest, "sqlite");
    EXPECT_THAT(ApplyInstallSettings(settings, &objects),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(named)));
  }
}

}  // namespace
}  // namespace byrnie
