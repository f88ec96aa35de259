#include "ctl/install/installer.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "common/crypto/sealing_key.h"
#include "ctl/install/install_settings.h"
#include "ctl/install/manifests.h"
#include "ctl/install/testing/install_case.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class InstallTest : public InstallCase {};

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

// As docs/kubernetes.md has whoever upgrades with kubectl do it.
TEST_F(InstallTest, TheImageBeforeThatKubectlHasNamedIsForgottenToo) {
  InstallSettings settings;
  settings.image = "mine:2";
  ASSERT_THAT(Install(settings), IsOk());
  Json named = Json::object();
  named["data"][std::string(kPreviousImageKey)] = "mine:1";
  cluster_.of_others[kInjector] = named;
  cluster_.objects[kInjector].merge_patch(named);
  ASSERT_THAT(Install(settings), IsOk());
  EXPECT_EQ(PreviousImage(), "mine:1");
  new_pod_seen_ = true;
  ASSERT_THAT(Install(settings), IsOk());
  EXPECT_EQ(PreviousImage(), "");
  EXPECT_EQ(previous_image_, "");
  // Where it comes back, that is said.
  cluster_.objects[kInjector].merge_patch(named);
  const Json kept = cluster_.objects[kInjector];
  cluster_.answers[absl::StrCat("PATCH ", kInjector)] = {200, ToText(kept)};
  ASSERT_THAT(Install(settings), IsOk());
  EXPECT_EQ(previous_image_, "mine:1");
}

// One has answered, and nobody knows which.
TEST_F(InstallTest, OfSeveralControlPlanesAllHaveTimeBeforeTheImageBeforeIsForgotten) {
  cluster_.objects["/api/v1/namespaces/byrnie-system/secrets/byrnie-etcd"] = Json::object();
  InstallSettings settings;
  InstallOptions options;
  options.now = absl::FromUnixSeconds(1800000000);
  new_pod_seen_ = true;
  ASSERT_THAT(Install(settings, options, "etcd"), IsOk());
  settings.image = "mine:2";
  ASSERT_THAT(Install(settings, options, "etcd"), IsOk());
  EXPECT_EQ(PreviousImage(), "byrnie:0.1.0");
  // Of two that have written of the object the one that has written this.
  Json entry = Json::object();
  entry["time"] = absl::FormatTime(absl::RFC3339_full, options.now, absl::UTCTimeZone());
  entry["fieldsV1"]["f:data"]["f:previous-image"] = Json::object();
  Json* const managed = ArrayIn(&cluster_.objects[kInjector]["metadata"], "managedFields");
  managed->push_back(entry);
  entry["time"] = "2026-01-01T00:00:00Z";
  entry["fieldsV1"]["f:data"] = Json::object();
  managed->push_back(entry);
  options.now += kKubeletsBringIt - absl::Seconds(1);
  ASSERT_THAT(Install(settings, options, "etcd"), IsOk());
  EXPECT_EQ(PreviousImage(), "byrnie:0.1.0");
  options.now += absl::Seconds(2);
  ASSERT_THAT(Install(settings, options, "etcd"), IsOk());
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
