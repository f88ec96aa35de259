#include "ctl/install/installer.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/crypto/sealing_key.h"
#include "ctl/install/install_settings.h"
#include "ctl/install/manifests.h"
#include "ctl/install/testing/fake_cluster.h"
#include "ctl/install/uninstaller.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kSystem[] = "byrnie-system";
constexpr char kSet[] = "/apis/apps/v1/namespaces/byrnie-system/statefulsets/byrnie-controlplane";
constexpr char kKey[] = "/api/v1/namespaces/byrnie-system/secrets/byrnie-store-key";
constexpr char kInjector[] = "/api/v1/namespaces/byrnie-system/configmaps/byrnie-injector";
constexpr char kNamespace[] = "/api/v1/namespaces/byrnie-system";
constexpr char kWebhook[] =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/byrnie-injector";

class InstallTest : public ::testing::Test {
 protected:
  static std::vector<Json> Objects(const InstallSettings& settings,
                                   const std::string& overlay = "sqlite") {
    std::vector<Json> objects = *RenderOverlay(ReadEmbeddedManifest, overlay);
    EXPECT_THAT(ApplyInstallSettings(settings, &objects), IsOk());
    return objects;
  }
  static std::vector<Json> Known() {
    std::vector<Json> known = *RenderOverlay(ReadEmbeddedManifest, "sqlite");
    const std::vector<Json> more = *RenderOverlay(ReadEmbeddedManifest, "etcd");
    known.insert(known.end(), more.begin(), more.end());
    return known;
  }
  OnInstallStep Tell() {
    return [this](const InstallStep& step) {
      said_.push_back(
          absl::StrCat(OutcomeName(step.outcome, false), " ", step.kind, " ", step.name));
      details_.insert(details_.end(), step.details.begin(), step.details.end());
    };
  }
  absl::Status Install(const InstallSettings& settings = {}, InstallOptions options = {},
                       const std::string& overlay = "sqlite") {
    said_.clear();
    details_.clear();
    cluster_.calls.clear();
    ResourceTypes types(&cluster_);
    Installer installer(&cluster_, &types, options, Tell());
    std::vector<Json> objects = Objects(settings, overlay);
    if (!more_.empty()) objects.push_back(*ParseJson(more_, more_.size()));
    absl::Status status = installer.Run(settings.ns, std::move(objects), Known());
    of_sidecars_ = SidecarsImage();
    if (status.ok()) status = installer.Finish();
    if (status.ok() && new_pod_seen_) status = installer.ForgetPreviousImage();
    changed_ = installer.changed();
    return status;
  }
  // Beside the injector's configuration that is there.
  std::string PreviousImage() const {
    return TextOf(*Find(cluster_.objects.at(kInjector), "data"), kPreviousImageKey);
  }
  // Of the injector's configuration that is there; "" where there is none.
  std::string SidecarsImage() const {
    const auto found = cluster_.objects.find(kInjector);
    if (found == cluster_.objects.end()) return "";
    const std::string text = TextOf(*Find(found->second, "data"), kInjectorKey);
    const absl::StatusOr<Json> config = ParseJson(text, text.size());
    return config.ok() ? TextOf(*config, "image") : "";
  }
  absl::Status Uninstall(UninstallOptions options = {}) {
    said_.clear();
    details_.clear();
    cluster_.calls.clear();
    std::vector<Json> known = Known();
    Json secret = Json::object();
    secret["apiVersion"] = "v1";
    secret["kind"] = "Secret";
    known.push_back(secret);
    ResourceTypes types(&cluster_);
    Uninstaller uninstaller(&cluster_, &types, options, Tell());
    const absl::Status status = uninstaller.Run(known);
    found_ = uninstaller.found();
    return status;
  }
  void PutPod(const std::string& ns, const std::string& name) {
    Json pod = Json::object();
    pod["metadata"]["namespace"] = ns;
    pod["metadata"]["name"] = name;
    pod["metadata"]["labels"]["byrnie.io/rev"] = "default";
    cluster_.objects[absl::StrCat("/api/v1/namespaces/", ns, "/pods/", name)] = pod;
  }
  // Where in what was asked a call begins like that; -1: it was not.
  int CallAt(absl::string_view begin) const {
    const auto found = absl::c_find_if(
        cluster_.calls, [&](const std::string& call) { return absl::StartsWith(call, begin); });
    return found == cluster_.calls.end() ? -1 : static_cast<int>(found - cluster_.calls.begin());
  }

  FakeCluster cluster_;
  std::vector<std::string> said_, details_;
  // An object beside those of the manifests.
  std::string more_;
  // When all but what Finish() does was done.
  std::string of_sidecars_;
  bool changed_ = false, found_ = false;
  // After an installation.
  bool new_pod_seen_ = false;
};

TEST_F(InstallTest, CreatesEverythingTheNamespaceFirstAndTheWebhookLast) {
  ASSERT_THAT(Install(), IsOk());
  EXPECT_TRUE(changed_);
  EXPECT_THAT(said_, Each(StartsWith("created ")));
  EXPECT_EQ(said_.front(), "created Namespace byrnie-system");
  EXPECT_EQ(said_.back(), "created MutatingWebhookConfiguration byrnie-injector");
  EXPECT_THAT(said_, Contains("created Secret byrnie-store-key"));
  EXPECT_EQ(cluster_.objects.count(kSet), 1u);
  EXPECT_THAT(cluster_.calls,
              Contains(AllOf(StartsWith(absl::StrCat("PATCH ", kSet)),
                             HasSubstr("fieldManager=byrniectl"), Not(HasSubstr("force")))));
}

TEST_F(InstallTest, MakesAKeyThatTheControlPlaneTakesAndNeverAnother) {
  ASSERT_THAT(Install(), IsOk());
  const std::string first = ToText(cluster_.objects[kKey]);
  std::string text, key;
  ASSERT_TRUE(absl::Base64Unescape(TextOf(*Find(cluster_.objects[kKey], "data"), "key"), &text));
  ASSERT_TRUE(absl::Base64Unescape(text, &key));
  EXPECT_EQ(key.size(), 32u);
  EXPECT_THAT(SealingKey::Parse(SecretBytes::TakeFrom(&text)), IsOk());
  ASSERT_THAT(Install(), IsOk());
  EXPECT_EQ(ToText(cluster_.objects[kKey]), first);
  for (const std::string& line : said_) EXPECT_THAT(line, Not(HasSubstr(key)));
}

TEST_F(InstallTest, KeepsTheTrustDomainWithTheKey) {
  InstallOptions options;
  options.trust_domain = "corp.example";
  ASSERT_THAT(Install({}, options), IsOk());
  const Json* const annotations = FindPath(cluster_.objects[kKey], {"metadata", "annotations"});
  ASSERT_NE(annotations, nullptr);
  EXPECT_EQ(TextOf(*annotations, "byrnie.io/trust-domain"), "corp.example");
}

TEST_F(InstallTest, ChangesNothingTheSecondTime) {
  ASSERT_THAT(Install(), IsOk());
  ASSERT_THAT(Install(), IsOk());
  EXPECT_FALSE(changed_);
  EXPECT_THAT(said_, Each(StartsWith("unchanged ")));
}

TEST_F(InstallTest, SaysWhatIsAnotherWay) {
  ASSERT_THAT(Install(), IsOk());
  InstallSettings settings;
  settings.image = "mine:2";
  ASSERT_THAT(Install(settings), IsOk());
  EXPECT_TRUE(changed_);
  EXPECT_THAT(said_, Contains("changed StatefulSet byrnie-controlplane"));
  EXPECT_THAT(said_, Contains("unchanged Service byrnie-controlplane"));
  EXPECT_THAT(details_, Contains("spec/template/spec/containers/0/image: \"byrnie:0.1.0\" -> "
                                 "\"mine:2\""));
}

TEST_F(InstallTest, ADryRunChangesNothing) {
  InstallOptions dry;
  dry.dry_run = true;
  ASSERT_THAT(Install({}, dry), IsOk());
  EXPECT_TRUE(changed_);
  EXPECT_TRUE(cluster_.objects.empty());
  EXPECT_EQ(cluster_.Changes(), 0u);
  ASSERT_THAT(Install(), IsOk());
  ASSERT_THAT(Install({}, dry), IsOk());
  EXPECT_FALSE(changed_);
  EXPECT_EQ(cluster_.Changes(), 0u);
  InstallSettings settings;
  settings.trust_domain = "other.example";
  ASSERT_THAT(Install(settings, dry), IsOk());
  EXPECT_TRUE(changed_);
  EXPECT_EQ(cluster_.Changes(), 0u);
}

TEST_F(InstallTest, TakesAwayWhatAnEarlierReleaseHad) {
  ASSERT_THAT(Install(), IsOk());
  Json old = Json::object();
  old["metadata"]["name"] = "byrnie-old";
  LabelAsInstalled(&old);
  cluster_.objects["/apis/rbac.authorization.k8s.io/v1/clusterroles/byrnie-old"] = old;
  old["metadata"]["labels"].erase(std::string(kPartOfLabel));
  cluster_.objects["/apis/rbac.authorization.k8s.io/v1/clusterroles/theirs"] = old;
  ASSERT_THAT(Install(), IsOk());
  EXPECT_THAT(said_, Contains("deleted ClusterRole byrnie-old"));
  EXPECT_EQ(cluster_.objects.count("/apis/rbac.authorization.k8s.io/v1/clusterroles/byrnie-old"),
            0u);
  EXPECT_EQ(cluster_.objects.count("/apis/rbac.authorization.k8s.io/v1/clusterroles/theirs"), 1u);
}

TEST_F(InstallTest, IsRefusedInASecondNamespace) {
  ASSERT_THAT(Install(), IsOk());
  InstallSettings settings;
  settings.ns = "other";
  EXPECT_THAT(Install(settings), StatusIs(absl::StatusCode::kFailedPrecondition,
                                          HasSubstr("installed in the namespace byrnie-system")));
  EXPECT_EQ(cluster_.Changes(), 0u);
}

TEST_F(InstallTest, IsRefusedWhileTheNamespaceGoes) {
  cluster_.objects[kNamespace]["metadata"]["deletionTimestamp"] = "now";
  EXPECT_THAT(Install(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("deleted")));
  EXPECT_EQ(cluster_.Changes(), 0u);
}

TEST_F(InstallTest, WantsTheSecretsThatItDoesNotMake) {
  EXPECT_THAT(Install({}, {}, "etcd"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("byrnie-etcd")));
  EXPECT_EQ(cluster_.Changes(), 0u);
  cluster_.objects["/api/v1/namespaces/byrnie-system/secrets/byrnie-etcd"] = Json::object();
  EXPECT_THAT(Install({}, {}, "etcd"), IsOk());
  EXPECT_THAT(said_, Contains("created PodDisruptionBudget byrnie-controlplane"));
}

TEST_F(InstallTest, TakesTheOlderNameOfAnApiThatIsTheSame) {
  cluster_.answers.erase("GET /apis/policy/v1");
  cluster_.Serve("/apis/policy/v1beta1", {{"PodDisruptionBudget", "poddisruptionbudgets", true}});
  cluster_.objects["/api/v1/namespaces/byrnie-system/secrets/byrnie-etcd"] = Json::object();
  ASSERT_THAT(Install({}, {}, "etcd"), IsOk());
  EXPECT_EQ(TextOf(cluster_.objects["/apis/policy/v1beta1/namespaces/byrnie-system/"
                                    "poddisruptionbudgets/byrnie-controlplane"],
                   "apiVersion"),
            "policy/v1beta1");
}

TEST_F(InstallTest, SaysHowToGetOverWhatOthersHaveSet) {
  cluster_.answers[absl::StrCat("PATCH ", kSet)] = {409, R"({"message": "conflict with kubectl"})"};
  EXPECT_THAT(Install(), StatusIs(absl::StatusCode::kAlreadyExists,
                                  AllOf(HasSubstr("StatefulSet byrnie-system/byrnie-controlplane"),
                                        HasSubstr("conflict with kubectl"), HasSubstr("--force"))));
  // What waits for nobody's answer is not asked for.
  EXPECT_EQ(cluster_.objects.count(kWebhook), 0u);
  cluster_.answers.clear();
  FakeCluster fresh;
  cluster_.answers = fresh.answers;
  InstallOptions force;
  force.force = true;
  ASSERT_THAT(Install({}, force), IsOk());
  EXPECT_THAT(cluster_.calls, Contains(AllOf(StartsWith("PATCH "), HasSubstr("force=true"))));
}

// Sidecars of a release whose control plane is not there would be promised to nobody.
TEST_F(InstallTest, ChangesNothingWhenOneObjectIsRefused) {
  ASSERT_THAT(Install(), IsOk());
  cluster_.answers[absl::StrCat("PATCH ", kSet)] = {409, R"({"message": "conflict with kubectl"})"};
  InstallSettings settings;
  settings.image = "mine:2";
  EXPECT_THAT(Install(settings), StatusIs(absl::StatusCode::kAlreadyExists,
                                          AllOf(HasSubstr("conflict with kubectl"),
                                                HasSubstr("nothing has been changed"))));
  EXPECT_EQ(cluster_.Changes(), 0u);
  EXPECT_THAT(said_, IsEmpty());
  EXPECT_EQ(SidecarsImage(), "byrnie:0.1.0");
}

TEST_F(InstallTest, ChangesNothingWhenTheKeyIsRefused) {
  cluster_.objects[kNamespace]["metadata"]["name"] = kSystem;
  cluster_.answers["dry-run POST /api/v1/namespaces/byrnie-system/secrets"] = {
      403, R"({"message": "no"})"};
  EXPECT_THAT(Install(), StatusIs(absl::StatusCode::kPermissionDenied,
                                  HasSubstr("Secret byrnie-system/byrnie-store-key")));
  EXPECT_EQ(cluster_.Changes(), 0u);
  // The key itself is in no trial.
  EXPECT_EQ(cluster_.objects.count(kKey), 0u);
}

TEST_F(InstallTest, TriesWhatItIsToTakeOverAsItTakesIt) {
  ASSERT_THAT(Install(), IsOk());
  InstallOptions force;
  force.force = true;
  ASSERT_THAT(Install({}, force), IsOk());
  EXPECT_THAT(cluster_.calls, Contains(AllOf(StartsWith(absl::StrCat("PATCH ", kSet)),
                                             HasSubstr("force=true"), HasSubstr("dryRun=All"))));
}

// Before its role is there nobody is bound to it, and some webhooks cannot be tried.
TEST_F(InstallTest, WhatCannotBeTriedIsDone) {
  cluster_.answers
      ["dry-run PATCH /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/byrnie-controlplane"] =
      {404, R"({"message": "clusterrole not found"})"};
  cluster_.objects[kNamespace]["metadata"]["name"] = kSystem;
  cluster_.answers[absl::StrCat("dry-run PATCH ", kSet)] = {
      400, R"({"message": "admission webhook \"x\" does not support dry run"})"};
  EXPECT_THAT(Install(), IsOk());
  EXPECT_EQ(cluster_.objects.count(kWebhook), 1u);
}

// A directory of somebody's own may have policies in it.
TEST_F(InstallTest, WhatIsOnlyToBeDefinedIsNotTried) {
  cluster_.Serve("/apis/byrnie.io/v1", {{"AccessPolicy", "accesspolicies", true}});
  more_ = R"({"apiVersion": "byrnie.io/v1", "kind": "AccessPolicy",
              "metadata": {"name": "mine", "namespace": "byrnie-system"}})";
  cluster_.objects[kNamespace]["metadata"]["name"] = kSystem;
  ASSERT_THAT(Install(), IsOk());
  int patched = 0;
  for (const std::string& call : cluster_.calls) {
    if (absl::StrContains(call, "accesspolicies/mine?")) ++patched;
    EXPECT_FALSE(absl::StrContains(call, "mine?") && absl::StrContains(call, "dryRun")) << call;
  }
  EXPECT_EQ(patched, 1);
}

TEST_F(InstallTest, TheSidecarsComeAfterTheControlPlane) {
  // The first control plane needs it to start.
  ASSERT_THAT(Install(), IsOk());
  EXPECT_EQ(of_sidecars_, "byrnie:0.1.0");
  EXPECT_LT(CallAt(absl::StrCat("PATCH ", kInjector)), CallAt(absl::StrCat("PATCH ", kSet)));
  InstallSettings settings;
  settings.image = "mine:2";
  ASSERT_THAT(Install(settings), IsOk());
  EXPECT_EQ(of_sidecars_, "byrnie:0.1.0");
  EXPECT_EQ(SidecarsImage(), "mine:2");
  EXPECT_THAT(said_, Contains("changed ConfigMap byrnie-injector"));
}

// The policy for privileges lets both in meanwhile.
TEST_F(InstallTest, AnUpgradeNamesTheImageBeforeUntilPodsGetTheOther) {
  ASSERT_THAT(Install(), IsOk());
  EXPECT_EQ(PreviousImage(), "");
  InstallSettings settings;
  settings.image = "mine:2";
  ASSERT_THAT(Install(settings), IsOk());
  EXPECT_EQ(PreviousImage(), "byrnie:0.1.0");
  // Nobody has seen it yet, as where the waiting was broken off.
  ASSERT_THAT(Install(settings), IsOk());
  EXPECT_EQ(PreviousImage(), "byrnie:0.1.0");
  new_pod_seen_ = true;
  ASSERT_THAT(Install(settings), IsOk());
  EXPECT_EQ(PreviousImage(), "");
  new_pod_seen_ = false;
  ASSERT_THAT(Install(settings), IsOk());
  EXPECT_FALSE(changed_);
  new_pod_seen_ = true;
  settings.image = "mine:3";
  ASSERT_THAT(Install(settings), IsOk());
  EXPECT_EQ(PreviousImage(), "");
}

// One has answered, and nobody knows which.
TEST_F(InstallTest, OfSeveralControlPlanesTheNextInstallationThatLooksForgetsTheImageBefore) {
  cluster_.objects["/api/v1/namespaces/byrnie-system/secrets/byrnie-etcd"] = Json::object();
  InstallSettings settings;
  new_pod_seen_ = true;
  ASSERT_THAT(Install(settings, {}, "etcd"), IsOk());
  settings.image = "mine:2";
  ASSERT_THAT(Install(settings, {}, "etcd"), IsOk());
  EXPECT_EQ(PreviousImage(), "byrnie:0.1.0");
  ASSERT_THAT(Install(settings, {}, "etcd"), IsOk());
  EXPECT_EQ(PreviousImage(), "");
}

// A control plane that cannot start with what is there would be waited for in vain.
TEST_F(InstallTest, AConfigurationThatNobodyUnderstandsIsReplacedFirst) {
  ASSERT_THAT(Install(), IsOk());
  cluster_.objects[kInjector]["data"]["injector.json"] = "{";
  InstallSettings settings;
  settings.image = "mine:2";
  ASSERT_THAT(Install(settings), IsOk());
  EXPECT_EQ(of_sidecars_, "mine:2");
}

TEST_F(InstallTest, UninstallTakesTheWebhookFirstAndKeepsTheCa) {
  ASSERT_THAT(Install(), IsOk());
  cluster_.objects["/api/v1/namespaces/byrnie-system/configmaps/theirs"] = Json::object();
  ASSERT_THAT(Uninstall(), IsOk());
  EXPECT_TRUE(found_);
  EXPECT_EQ(said_.front(), "deleted MutatingWebhookConfiguration byrnie-injector");
  EXPECT_LT(CallAt(absl::StrCat("DELETE ", kWebhook)), CallAt(absl::StrCat("DELETE ", kSet)));
  EXPECT_THAT(said_, Contains("kept Secret byrnie-store-key"));
  EXPECT_THAT(said_, Contains("kept Namespace byrnie-system"));
  std::vector<std::string> left;
  for (const auto& entry : cluster_.objects) {
    if (!absl::StrContains(entry.first, "customresourcedefinitions")) left.push_back(entry.first);
  }
  EXPECT_THAT(left,
              ElementsAre(kNamespace, "/api/v1/namespaces/byrnie-system/configmaps/theirs", kKey));
  // And again, with the CA that was there.
  ASSERT_THAT(Install(), IsOk());
  EXPECT_THAT(said_, Contains("unchanged Secret byrnie-store-key"));
}

// Without the injector's configuration, which is its parameter, it refuses every pod.
TEST_F(InstallTest, UninstallTakesThePolicyForPrivilegesBeforeAnythingElse) {
  ASSERT_THAT(Install(), IsOk());
  const std::string root = "/apis/admissionregistration.k8s.io/v1";
  cluster_.Serve(
      root, {{"MutatingWebhookConfiguration", "mutatingwebhookconfigurations", false},
             {"ValidatingAdmissionPolicy", "validatingadmissionpolicies", false},
             {"ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", false}});
  // Of kubectl, without a label of install's.
  const std::string policy = root + "/validatingadmissionpolicies/byrnie-privileges",
                    binding = root + "/validatingadmissionpolicybindings/byrnie-privileges";
  cluster_.objects[policy]["metadata"]["name"] = "byrnie-privileges";
  cluster_.objects[binding]["metadata"]["name"] = "byrnie-privileges";
  UninstallOptions dry_run;
  dry_run.dry_run = true;
  ASSERT_THAT(Uninstall(dry_run), IsOk());
  EXPECT_EQ(cluster_.objects.count(binding), 1u);
  // While it stays nothing else goes.
  cluster_.answers["DELETE " + binding] = {200, "{}"};
  EXPECT_THAT(Uninstall(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    HasSubstr("ValidatingAdmissionPolicyBinding")));
  EXPECT_EQ(cluster_.objects.count(kInjector), 1u);
  cluster_.answers.erase("DELETE " + binding);
  ASSERT_THAT(Uninstall(), IsOk());
  ASSERT_GE(said_.size(), 3u);
  EXPECT_EQ(said_[0], "deleted ValidatingAdmissionPolicyBinding byrnie-privileges");
  EXPECT_EQ(said_[1], "deleted ValidatingAdmissionPolicy byrnie-privileges");
  EXPECT_EQ(said_[2], "deleted MutatingWebhookConfiguration byrnie-injector");
  EXPECT_EQ(cluster_.objects.count(kInjector), 0u);
  // One that was left over goes, too.
  cluster_.objects[policy]["metadata"]["name"] = "byrnie-privileges";
  ASSERT_THAT(Uninstall(), IsOk());
  EXPECT_TRUE(found_);
  EXPECT_EQ(cluster_.objects.count(policy), 0u);
}

TEST_F(InstallTest, UninstallTellsWhatStaysInNamespacesThatWereMeshed) {
  ASSERT_THAT(Install(), IsOk());
  const auto put = [this](const std::string& name, const std::string& inject,
                          const std::string& level, bool bundle) {
    Json ns = Json::object();
    ns["metadata"]["name"] = name;
    if (!inject.empty()) ns["metadata"]["labels"]["byrnie.io/inject"] = inject;
    if (!level.empty()) ns["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = level;
    const std::string path = absl::StrCat("/api/v1/namespaces/", name);
    cluster_.objects[path] = ns;
    if (!bundle) return;
    Json map = Json::object();
    map["metadata"]["namespace"] = name;
    map["metadata"]["name"] = "byrnie-trust-bundle";
    cluster_.objects[path + "/configmaps/byrnie-trust-bundle"] = map;
  };
  put("meshed", "true", "", true);
  put("was", "", "privileged", true);
  put("safe", "", "baseline", true);
  put("theirs", "", "privileged", false);
  ASSERT_THAT(Uninstall(), IsOk());
  std::vector<std::string> kept;
  for (const std::string& line : said_) {
    if (absl::StartsWith(line, "kept Namespace ")) kept.push_back(line);
  }
  EXPECT_THAT(kept, ElementsAre("kept Namespace byrnie-system", "kept Namespace meshed",
                                "kept Namespace was"));
  EXPECT_EQ(absl::c_count(said_, "kept ConfigMap byrnie-trust-bundle"), 3);
  EXPECT_THAT(details_, Contains(HasSubstr("byrnie.io/inject=true")));
  EXPECT_THAT(details_, Contains(HasSubstr("enforce=privileged is yours to put back")));
  EXPECT_EQ(CallAt("DELETE /api/v1/namespaces/was"), -1);
  // Purged, the labels are still somebody else's.
  ASSERT_THAT(Install(), IsOk());
  UninstallOptions purge;
  purge.purge = true;
  ASSERT_THAT(Uninstall(purge), IsOk());
  EXPECT_EQ(absl::c_count(said_, "deleted ConfigMap byrnie-trust-bundle"), 3);
  EXPECT_THAT(said_, Contains("kept Namespace was"));
}

TEST_F(InstallTest, PurgeTakesTheRestAndTheNamespaceThatItMade) {
  ASSERT_THAT(Install(), IsOk());
  Json claim = Json::object();
  claim["metadata"]["namespace"] = kSystem;
  claim["metadata"]["name"] = "store-byrnie-controlplane-0";
  claim["metadata"]["labels"]["app.kubernetes.io/name"] = "byrnie-controlplane";
  cluster_
      .objects[absl::StrCat(kNamespace, "/persistentvolumeclaims/store-byrnie-controlplane-0")] =
      claim;
  UninstallOptions purge;
  purge.purge = true;
  ASSERT_THAT(Uninstall(purge), IsOk());
  EXPECT_EQ(said_.back(), "deleted Namespace byrnie-system");
  EXPECT_THAT(said_, Contains("deleted PersistentVolumeClaim store-byrnie-controlplane-0"));
  EXPECT_THAT(cluster_.objects, IsEmpty());
}

TEST_F(InstallTest, PurgeKeepsANamespaceThatWasThere) {
  cluster_.objects[kNamespace]["metadata"]["name"] = kSystem;
  ASSERT_THAT(Install(), IsOk());
  UninstallOptions purge;
  purge.purge = true;
  ASSERT_THAT(Uninstall(purge), IsOk());
  EXPECT_EQ(said_.back(), "kept Namespace byrnie-system");
  EXPECT_EQ(cluster_.objects.size(), 1u);
}

TEST_F(InstallTest, UninstallIsRefusedWhilePodsHaveASidecar) {
  ASSERT_THAT(Install(), IsOk());
  for (int i = 0; i < 7; ++i) PutPod("shop", absl::StrCat("web-", i));
  PutPod("shop", "going");
  cluster_.objects["/api/v1/namespaces/shop/pods/going"]["metadata"]["deletionTimestamp"] = "now";
  EXPECT_THAT(Uninstall(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    AllOf(HasSubstr("7 pods"), HasSubstr("shop/web-0"),
                                          HasSubstr("and 2 more"), HasSubstr("--force"))));
  EXPECT_EQ(cluster_.Changes(), 0u);
  UninstallOptions force;
  force.force = true;
  ASSERT_THAT(Uninstall(force), IsOk());
  EXPECT_EQ(cluster_.objects.count(kSet), 0u);
}

TEST_F(InstallTest, UninstallStopsWhenTheWebhookDoesNotGo) {
  ASSERT_THAT(Install(), IsOk());
  cluster_.answers[absl::StrCat("DELETE ", kWebhook)] = {200, "{}"};  // A finalizer keeps it.
  EXPECT_THAT(Uninstall(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    HasSubstr("byrnie-injector does not go")));
  EXPECT_EQ(cluster_.objects.count(kSet), 1u);
}

TEST_F(InstallTest, UninstallWithoutAnInstallationFindsNothing) {
  cluster_.objects[kSet]["metadata"]["name"] = "byrnie-controlplane";  // Somebody else's.
  ASSERT_THAT(Uninstall(), IsOk());
  EXPECT_FALSE(found_);
  EXPECT_EQ(cluster_.Changes(), 0u);
}

TEST_F(InstallTest, ADryRunOfUninstallChangesNothing) {
  ASSERT_THAT(Install(), IsOk());
  UninstallOptions dry;
  dry.dry_run = dry.purge = true;
  ASSERT_THAT(Uninstall(dry), IsOk());
  EXPECT_EQ(cluster_.Changes(), 0u);
  EXPECT_THAT(said_, Contains("deleted Namespace byrnie-system"));
}

TEST_F(InstallTest, ReadyIsWhatRunsAsAppliedAndHasItsCaBundle) {
  ASSERT_THAT(Install(), IsOk());
  Json& set = cluster_.objects[kSet];
  set["metadata"]["generation"] = 2;
  EXPECT_THAT(WhatIsAwaited(&cluster_, kSystem), IsOkAndHolds(HasSubstr("controller")));
  set["status"]["observedGeneration"] = 2;
  set["status"]["readyReplicas"] = 1;
  PutPod(kSystem, "byrnie-controlplane-0");
  Json& pod = cluster_.objects[absl::StrCat(kNamespace, "/pods/byrnie-controlplane-0")];
  pod["metadata"]["labels"]["app.kubernetes.io/name"] = "byrnie-controlplane";
  Json waiting = Json::object();
  waiting["state"]["waiting"]["reason"] = "ErrImagePull";
  waiting["state"]["waiting"]["message"] = "no such image";
  ArrayIn(ObjectIn(&pod, "status"), "containerStatuses")->push_back(waiting);
  EXPECT_THAT(WhatIsAwaited(&cluster_, kSystem),
              IsOkAndHolds(AllOf(HasSubstr("1 of 1 control planes ready, 0 of them as applied"),
                                 HasSubstr("ErrImagePull: no such image"))));
  set["status"]["updatedReplicas"] = 1;
  EXPECT_THAT(WhatIsAwaited(&cluster_, kSystem), IsOkAndHolds(HasSubstr("caBundle")));
  cluster_.objects[kWebhook]["webhooks"][0]["clientConfig"]["caBundle"] = "UEVN";
  EXPECT_THAT(WhatIsAwaited(&cluster_, kSystem), IsOkAndHolds(""));
}

}  // namespace
}  // namespace byrnie
