#include "ctl/install/installed_settings.h"

#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "ctl/install/manifests.h"
#include "ctl/install/testing/fake_cluster.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kConfig[] = R"({"image": "mine:1", "deny_refused": true})";

InstallSettings Corp() {
  InstallSettings settings;
  settings.ns = "mesh";
  settings.trust_domain = "corp.example";
  settings.image = "mine:1";
  settings.injector_config = kConfig;
  return settings;
}

// What install would have made of `settings`, in a cluster.
void Put(const InstallSettings& settings, const std::string& overlay, FakeCluster* cluster) {
  std::vector<Json> objects = *RenderOverlay(ReadEmbeddedManifest, overlay);
  ASSERT_THAT(ApplyInstallSettings(settings, &objects), IsOk());
  ResourceTypes types(cluster);
  for (const Json& object : objects) {
    const auto type = types.Find(TextOf(object, "apiVersion"), TextOf(object, "kind"));
    ASSERT_THAT(type, IsOk());
    cluster->objects[type->Path(NamespaceOf(object), ObjectNameOf(object))] = object;
  }
}

TEST(InstalledSettingsTest, FindsNothingWhereNothingIs) {
  FakeCluster cluster;
  EXPECT_THAT(FindInstalledNamespace(&cluster), IsOkAndHolds(std::string()));
  const auto installed = FindInstalledSettings(&cluster, "byrnie-system");
  ASSERT_THAT(installed, IsOk());
  EXPECT_EQ(installed->trust_domain, "");
  const SettingsPlan plan = PlanSettings({}, *installed);
  EXPECT_THAT(plan.refused, IsOk());
  EXPECT_EQ(plan.overlay, "sqlite");
  EXPECT_EQ(plan.settings.trust_domain, "cluster.local");
  EXPECT_THAT(plan.kept, IsEmpty());
  EXPECT_THAT(plan.changed, IsEmpty());
}

TEST(InstalledSettingsTest, KeepsWhatWasSetWhereNoFlagSaysOtherwise) {
  FakeCluster cluster;
  Put(Corp(), "sqlite", &cluster);
  EXPECT_THAT(FindInstalledNamespace(&cluster), IsOkAndHolds(std::string("mesh")));
  const auto installed = FindInstalledSettings(&cluster, "mesh");
  ASSERT_THAT(installed, IsOk());
  AskedSettings asked;
  asked.settings.ns = "mesh";
  const SettingsPlan kept = PlanSettings(asked, *installed);
  EXPECT_THAT(kept.refused, IsOk());
  EXPECT_THAT(kept.changed, IsEmpty());
  EXPECT_THAT(kept.kept, Contains("trust domain corp.example"));
  EXPECT_THAT(kept.kept, Contains("image mine:1"));
  // The same objects again.
  FakeCluster again;
  Put(kept.settings, kept.overlay, &again);
  ASSERT_EQ(again.objects.size(), cluster.objects.size());
  for (const auto& [path, object] : cluster.objects) {
    EXPECT_EQ(ToText(again.objects[path]), ToText(object)) << path;
  }
}

TEST(InstalledSettingsTest, AFlagChangesWhatItIsAboutAndNothingElse) {
  FakeCluster cluster;
  Put(Corp(), "sqlite", &cluster);
  AskedSettings asked;
  asked.settings.ns = "mesh";
  asked.settings.image = "mine:2";
  const SettingsPlan plan = PlanSettings(asked, *FindInstalledSettings(&cluster, "mesh"));
  EXPECT_THAT(plan.refused, IsOk());
  EXPECT_THAT(plan.changed, ElementsAre("image mine:1 -> mine:2"));
  Put(plan.settings, plan.overlay, &cluster);
  const auto installed = FindInstalledSettings(&cluster, "mesh");
  EXPECT_EQ(installed->image, "mine:2");
  EXPECT_EQ(installed->trust_domain, "corp.example");
  EXPECT_THAT(installed->injector_config, HasSubstr("\"image\":\"mine:2\""));
  EXPECT_THAT(installed->injector_config, HasSubstr("\"deny_refused\":true"));
}

// The image may be for other machines than the one that byrniectl runs on.
TEST(InstalledSettingsTest, KeepsAndChangesTheArchitecture) {
  FakeCluster cluster;
  InstallSettings before = Corp();
  before.architecture = "riscv64";
  Put(before, "sqlite", &cluster);
  const auto installed = FindInstalledSettings(&cluster, "mesh");
  ASSERT_THAT(installed, IsOk());
  AskedSettings asked;
  asked.settings.ns = "mesh";
  const SettingsPlan kept = PlanSettings(asked, *installed);
  EXPECT_EQ(kept.settings.ImageArchitecture(), "riscv64");
  EXPECT_THAT(kept.kept, Contains("architecture riscv64"));
  asked.settings.architecture = "arm64";
  const SettingsPlan changed = PlanSettings(asked, *installed);
  EXPECT_EQ(changed.settings.ImageArchitecture(), "arm64");
  EXPECT_THAT(changed.changed, Contains("architecture riscv64 -> arm64"));
  EXPECT_EQ(PlanSettings({}, {}).settings.ImageArchitecture(), OwnArchitecture());
}

// However it came there.
TEST(InstalledSettingsTest, KeepsAndChangesTheControlPlanesSize) {
  FakeCluster cluster;
  InstallSettings before = Corp();
  before.size = {"4Gi", "2Gi", "none", "5Gi", "fast"};
  Put(before, "sqlite", &cluster);
  const InstalledSettings installed = *FindInstalledSettings(&cluster, "mesh");
  AskedSettings asked;
  asked.settings.ns = "mesh";
  const SettingsPlan kept = PlanSettings(asked, installed);
  EXPECT_THAT(kept.refused, IsOk());
  EXPECT_THAT(kept.changed, IsEmpty());
  for (const char* each : {"memory limit 4Gi", "memory request 2Gi", "CPU request none",
                           "volume 5Gi of the class fast"}) {
    EXPECT_THAT(kept.kept, Contains(each));
  }
  FakeCluster again;
  Put(kept.settings, kept.overlay, &again);
  for (const auto& [path, object] : cluster.objects) {
    EXPECT_EQ(ToText(again.objects[path]), ToText(object)) << path;
  }
  // One thing at a time; what is the same by another name is no change.
  asked.settings.size.memory_limit = "8Gi";
  asked.settings.size.memory_request = "2048Mi";
  const SettingsPlan changed = PlanSettings(asked, installed);
  EXPECT_THAT(changed.refused, IsOk());
  EXPECT_THAT(changed.changed, ElementsAre("memory limit 4Gi -> 8Gi"));
  EXPECT_EQ(changed.settings.size.memory_limit, "8Gi");
  EXPECT_EQ(changed.settings.size.cpu_request, "none");
  EXPECT_EQ(changed.settings.size.volume_size, "5Gi");
}

TEST(InstalledSettingsTest, RefusesAnotherVolumeWithARemedy) {
  FakeCluster cluster;
  Put({}, "sqlite", &cluster);
  const InstalledSettings installed = *FindInstalledSettings(&cluster, "byrnie-system");
  AskedSettings asked;
  asked.settings.size.volume_size = "1024Mi";
  EXPECT_THAT(PlanSettings(asked, installed).refused, IsOk());
  asked.settings.size.volume_size = "5Gi";
  const SettingsPlan larger = PlanSettings(asked, installed);
  EXPECT_THAT(larger.refused,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("asks for a volume 1Gi")));
  EXPECT_THAT(larger.remedy, HasSubstr("leave --volume_size and --storage_class out"));
  asked.settings.size = {};
  asked.settings.size.storage_class = "fast";
  EXPECT_FALSE(PlanSettings(asked, installed).refused.ok());
  // Nothing is there to be kept.
  EXPECT_THAT(PlanSettings(asked, {}).refused, IsOk());
  EXPECT_EQ(PlanSettings(asked, {}).settings.size.storage_class, "fast");
}

TEST(InstalledSettingsTest, KeepsAndChangesPullSecrets) {
  FakeCluster cluster;
  InstallSettings before = Corp();
  before.image_pull_secrets = {"regcred"};
  before.pull_secrets_given = true;
  Put(before, "sqlite", &cluster);
  const auto installed = FindInstalledSettings(&cluster, "mesh");
  AskedSettings asked;
  asked.settings.ns = "mesh";
  const SettingsPlan kept = PlanSettings(asked, *installed);
  EXPECT_THAT(kept.kept, Contains("image pull secrets regcred"));
  FakeCluster again;
  Put(kept.settings, kept.overlay, &again);
  for (const auto& [path, object] : cluster.objects) {
    EXPECT_EQ(ToText(again.objects[path]), ToText(object)) << path;
  }
  asked.settings.pull_secrets_given = true;
  const SettingsPlan none = PlanSettings(asked, *installed);
  EXPECT_THAT(none.changed, ElementsAre("image pull secrets regcred -> none"));
  EXPECT_THAT(none.settings.image_pull_secrets, IsEmpty());
  asked.settings.image_pull_secrets = {"regcred"};
  EXPECT_THAT(PlanSettings(asked, *installed).changed, IsEmpty());
}

TEST(InstalledSettingsTest, AConfigurationWithoutAnImageGetsTheInstalledOne) {
  FakeCluster cluster;
  Put(Corp(), "sqlite", &cluster);
  AskedSettings asked;
  asked.settings.ns = "mesh";
  asked.settings.injector_config = R"({"deny_refused": false})";
  const SettingsPlan plan = PlanSettings(asked, *FindInstalledSettings(&cluster, "mesh"));
  EXPECT_THAT(plan.changed, ElementsAre("the injector's configuration"));
  EXPECT_EQ(plan.installed_sidecars, "native") << "also where another configuration is given";
  Put(plan.settings, plan.overlay, &cluster);
  EXPECT_THAT(FindInstalledSettings(&cluster, "mesh")->injector_config,
              HasSubstr("\"image\":\"mine:1\""));
  // One that has an image has it.
  asked.settings.injector_config = R"({"image": "theirs:3"})";
  const SettingsPlan other = PlanSettings(asked, *FindInstalledSettings(&cluster, "mesh"));
  Put(other.settings, other.overlay, &cluster);
  EXPECT_THAT(FindInstalledSettings(&cluster, "mesh")->injector_config, HasSubstr("theirs:3"));
  EXPECT_EQ(FindInstalledSettings(&cluster, "mesh")->image, "mine:1");
}

// Deleted by hand, or pruned: what the manifests say would be in no registry.
TEST(InstalledSettingsTest, WithoutTheInjectorsConfigurationSidecarsAreOfTheControlPlanesImage) {
  FakeCluster cluster;
  InstallSettings before = Corp();
  before.image_pull_secrets = {"regcred"};
  before.pull_secrets_given = true;
  Put(before, "sqlite", &cluster);
  ASSERT_EQ(cluster.objects.erase("/api/v1/namespaces/mesh/configmaps/byrnie-injector"), 1u);
  AskedSettings asked;
  asked.settings.ns = "mesh";
  const SettingsPlan plan = PlanSettings(asked, *FindInstalledSettings(&cluster, "mesh"));
  EXPECT_THAT(plan.refused, IsOk());
  EXPECT_THAT(plan.changed, ElementsAre(HasSubstr("the injector's configuration, which is gone")));
  Put(plan.settings, plan.overlay, &cluster);
  const std::string config = FindInstalledSettings(&cluster, "mesh")->injector_config;
  EXPECT_THAT(config, HasSubstr("\"image\":\"mine:1\""));
  EXPECT_THAT(config, HasSubstr("\"image_pull_secrets\":[\"regcred\"]"));
  // Whoever gives one has it.
  ASSERT_EQ(cluster.objects.erase("/api/v1/namespaces/mesh/configmaps/byrnie-injector"), 1u);
  asked.settings.injector_config = kConfig;
  EXPECT_THAT(PlanSettings(asked, *FindInstalledSettings(&cluster, "mesh")).changed, IsEmpty());
}

TEST(InstalledSettingsTest, RefusesAnotherTrustDomainWithARemedy) {
  FakeCluster cluster;
  Put(Corp(), "sqlite", &cluster);
  AskedSettings asked;
  asked.settings.ns = "mesh";
  asked.settings.trust_domain = "cluster.local";
  asked.trust_domain_given = true;
  const InstalledSettings installed = *FindInstalledSettings(&cluster, "mesh");
  const SettingsPlan plan = PlanSettings(asked, installed);
  EXPECT_THAT(plan.refused,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("corp.example")));
  EXPECT_THAT(plan.remedy, HasSubstr("--purge"));
  asked.settings.trust_domain = "corp.example";
  EXPECT_THAT(PlanSettings(asked, installed).refused, IsOk());
  // Also with manifests of somebody's own.
  asked.settings.trust_domain = "cluster.local";
  asked.own_manifests = true;
  EXPECT_FALSE(PlanSettings(asked, installed).refused.ok());
}

TEST(InstalledSettingsTest, TheTrustDomainIsKnownAsLongAsTheStoresKeyIsThere) {
  FakeCluster cluster;
  Json key = Json::object();
  key["metadata"]["name"] = "byrnie-store-key";
  key["metadata"]["annotations"][kTrustDomainAnnotation] = "corp.example";
  cluster.objects["/api/v1/namespaces/byrnie-system/secrets/byrnie-store-key"] = key;
  const SettingsPlan plan = PlanSettings({}, *FindInstalledSettings(&cluster, "byrnie-system"));
  EXPECT_EQ(plan.settings.trust_domain, "corp.example");
}

TEST(InstalledSettingsTest, KeepsTheStoreAndRefusesAnother) {
  FakeCluster cluster;
  InstallSettings settings;
  settings.etcd = "https://a.example:2379,https://b.example:2379";
  Put(settings, "etcd", &cluster);
  const InstalledSettings installed = *FindInstalledSettings(&cluster, "byrnie-system");
  EXPECT_EQ(installed.overlay, "etcd");
  EXPECT_EQ(installed.etcd, settings.etcd);
  AskedSettings asked;
  const SettingsPlan kept = PlanSettings(asked, installed);
  EXPECT_THAT(kept.refused, IsOk());
  EXPECT_EQ(kept.overlay, "etcd");
  EXPECT_EQ(kept.settings.etcd, settings.etcd);
  asked.settings.etcd = "https://c.example:2379";
  EXPECT_THAT(PlanSettings(asked, installed).changed, Contains(HasSubstr("c.example")));
  asked.settings.etcd.clear();
  asked.overlay = "sqlite";
  EXPECT_THAT(PlanSettings(asked, installed).refused,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--overlay=etcd")));
  // A folder of a directory of somebody's own may be called as it likes.
  asked.overlay = "ours";
  asked.own_manifests = true;
  EXPECT_THAT(PlanSettings(asked, installed).refused, IsOk());
  EXPECT_EQ(PlanSettings(asked, installed).overlay, "ours");
}

TEST(InstalledSettingsTest, RefusesAConfigurationThatItCannotRead) {
  InstalledSettings installed;
  installed.injector_config = R"({"of_another_release": 1})";
  EXPECT_THAT(PlanSettings({}, installed).refused,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("of_another_release")));
  AskedSettings asked;
  asked.settings.injector_config = kConfig;
  EXPECT_THAT(PlanSettings(asked, installed).refused, IsOk());
}

TEST(InstalledSettingsTest, TellsWhatTheApiServerSays) {
  FakeCluster cluster;
  cluster.answers["GET /apis/apps/v1/namespaces/a/statefulsets/byrnie-controlplane"] = {
      403, R"({"message": "no"})"};
  EXPECT_THAT(FindInstalledSettings(&cluster, "a"), StatusIs(absl::StatusCode::kPermissionDenied));
}

}  // namespace
}  // namespace byrnie
