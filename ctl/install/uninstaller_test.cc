#include "ctl/install/uninstaller.h"

#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "ctl/install/testing/install_case.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class UninstallTest : public InstallCase {};

TEST_F(UninstallTest, TakesTheWebhookFirstAndKeepsTheCa) {
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
TEST_F(UninstallTest, TakesThePolicyForPrivilegesBeforeAnythingElse) {
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

// Whoever has what install needs may have taken away what install has made.
TEST_F(UninstallTest, GoesOnWhereThePolicyForPrivilegesMayNotBeLookedAt) {
  ASSERT_THAT(Install(), IsOk());
  const std::string root = "/apis/admissionregistration.k8s.io/v1";
  cluster_.Serve(
      root, {{"MutatingWebhookConfiguration", "mutatingwebhookconfigurations", false},
             {"ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", false}});
  const std::string get =
      absl::StrCat("GET ", root, "/validatingadmissionpolicybindings/byrnie-privileges");
  cluster_.answers[get] = {503, R"({"message": "soon"})"};
  EXPECT_THAT(Uninstall(), StatusIs(absl::StatusCode::kUnavailable));
  cluster_.answers[get] = {403, R"({"message": "no"})"};
  ASSERT_THAT(Uninstall(), IsOk());
  EXPECT_EQ(said_.front(), "kept ValidatingAdmissionPolicyBinding byrnie-privileges");
  EXPECT_THAT(details_.front(),
              HasSubstr("kubectl delete validatingadmissionpolicybinding,validatingadmissionpolicy "
                        "byrnie-privileges"));
  EXPECT_EQ(said_[1], "deleted MutatingWebhookConfiguration byrnie-injector");
  EXPECT_EQ(cluster_.objects.count(kInjector), 0u);
  // Nothing is said where there was nothing.
  cluster_.objects.clear();
  ASSERT_THAT(Uninstall(), IsOk());
  EXPECT_FALSE(found_);
  EXPECT_THAT(said_, IsEmpty());
}

TEST_F(UninstallTest, TellsWhatStaysInNamespacesThatWereMeshed) {
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

TEST_F(UninstallTest, PurgeTakesTheRestAndTheNamespaceThatItMade) {
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

TEST_F(UninstallTest, PurgeKeepsANamespaceThatWasThere) {
  cluster_.objects[kNamespace]["metadata"]["name"] = kSystem;
  ASSERT_THAT(Install(), IsOk());
  UninstallOptions purge;
  purge.purge = true;
  ASSERT_THAT(Uninstall(purge), IsOk());
  EXPECT_EQ(said_.back(), "kept Namespace byrnie-system");
  EXPECT_EQ(cluster_.objects.size(), 1u);
}

TEST_F(UninstallTest, IsRefusedWhilePodsHaveASidecar) {
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

TEST_F(UninstallTest, StopsWhenTheWebhookDoesNotGo) {
  ASSERT_THAT(Install(), IsOk());
  cluster_.answers[absl::StrCat("DELETE ", kWebhook)] = {200, "{}"};  // A finalizer keeps it.
  EXPECT_THAT(Uninstall(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    HasSubstr("byrnie-injector does not go")));
  EXPECT_EQ(cluster_.objects.count(kSet), 1u);
}

TEST_F(UninstallTest, WithoutAnInstallationFindsNothing) {
  cluster_.objects[kSet]["metadata"]["name"] = "byrnie-controlplane";  // Somebody else's.
  ASSERT_THAT(Uninstall(), IsOk());
  EXPECT_FALSE(found_);
  EXPECT_EQ(cluster_.Changes(), 0u);
}

TEST_F(UninstallTest, ADryRunChangesNothing) {
  ASSERT_THAT(Install(), IsOk());
  UninstallOptions dry;
  dry.dry_run = dry.purge = true;
  ASSERT_THAT(Uninstall(dry), IsOk());
  EXPECT_EQ(cluster_.Changes(), 0u);
  EXPECT_THAT(said_, Contains("deleted Namespace byrnie-system"));
}

}  // namespace
}  // namespace byrnie
