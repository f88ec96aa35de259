#include "ctl/install/preflight.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "ctl/install/installed_settings.h"
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
using ::testing::Not;
using Outcome = CheckResult::Outcome;

Json Parse(const std::string& text) {
  absl::StatusOr<Json> value = ParseJson(text, text.size());
  EXPECT_THAT(value, IsOk()) << text;
  return value.value_or(Json());
}

std::vector<Json> List(const std::string& text) {
  const Json value = Parse(text);
  return std::vector<Json>(value.begin(), value.end());
}

// A cluster in which nothing is wrong and nothing is installed.
ClusterFacts Fine() {
  ClusterFacts facts;
  facts.ns = "byrnie-system";
  facts.needs_volume = true;
  facts.version = Parse(R"({"major": "1", "minor": "31", "gitVersion": "v1.31.2"})");
  facts.forbidden = std::vector<std::string>();
  facts.forbidden_policy = std::vector<std::string>();
  facts.forbidden_purge = std::vector<std::string>();
  facts.webhooks = std::vector<Json>();
  facts.nodes = List(R"([{"metadata": {"name": "n1"}, "status": {"nodeInfo":
      {"kernelVersion": "6.1.0-18-amd64", "kubeletVersion": "v1.31.2", "operatingSystem": "linux"}}}])");
  facts.namespaces =
      List(R"([{"metadata": {"name": "shop", "labels": {"byrnie.io/inject": "true"}}},
      {"metadata": {"name": "plain"}}])");
  facts.network_policies = std::vector<Json>();
  facts.exposed_probes = std::vector<std::string>();
  facts.storage_classes = List(R"([{"metadata": {"name": "fast",
      "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}])");
  facts.volume_claims = std::vector<Json>();
  facts.stateful_set = absl::NotFoundError("none");
  facts.store_key = absl::NotFoundError("none");
  facts.role_binding = absl::NotFoundError("none");
  facts.privileges_policy = PrivilegesPolicyState();
  facts.settings = SettingsPlan();
  return facts;
}

CheckResult Check(const ClusterFacts& facts, const std::string& name) {
  for (const CheckResult& result : CheckCluster(facts)) {
    if (result.name == name) return result;
  }
  ADD_FAILURE() << "there is no check " << name;
  return {};
}

void ExpectOutcome(const ClusterFacts& facts, const std::string& name, Outcome outcome,
                   const std::string& message) {
  const CheckResult result = Check(facts, name);
  EXPECT_EQ(result.outcome, outcome) << result.message;
  EXPECT_THAT(result.message, HasSubstr(message));
  EXPECT_TRUE(outcome != Outcome::kBad || !result.remedy.empty());
}

// It has no sidecar: a strict webhook would stop the cluster.
TEST(PreflightTest, NamesServicesOfMeshedNamespacesThatTheApiServerCalls) {
  ClusterFacts facts = Fine();
  facts.called_services.found = {{"plain", "hook", "ValidatingWebhookConfiguration a"}};
  ExpectOutcome(facts, "api-server-calls", Outcome::kGood, "no service of a meshed namespace");
  facts.called_services.found.push_back({"shop", "adapter", "APIService v1.metrics"});
  ExpectOutcome(facts, "api-server-calls", Outcome::kNote, "shop/adapter (APIService v1.metrics)");
  EXPECT_THAT(Check(facts, "api-server-calls").remedy, HasSubstr("mtls-port-modes"));
  facts.called_services.unknown = {"CustomResourceDefinition: 403"};
  ExpectOutcome(facts, "api-server-calls", Outcome::kNote, "v1.metrics); could not be looked at");
  facts.called_services.found.clear();
  ExpectOutcome(facts, "api-server-calls", Outcome::kNote,
                "could not be looked at: CustomResourceDefinition: 403");
}

TEST(PreflightTest, SaysThatNativeSidecarsArePossibleNow) {
  ClusterFacts facts = Fine();
  facts.settings->settings.injector_config = R"({"defaults": {"sidecars": "classic"}})";
  ExpectOutcome(facts, "server-version", Outcome::kNote, "knows native sidecars");
  // Also where another configuration is given that leaves it to what is installed.
  facts.settings->settings.injector_config = "{}";
  facts.settings->installed_sidecars = "classic";
  ExpectOutcome(facts, "server-version", Outcome::kNote, "what is installed makes classic ones");
  facts.settings->settings.sidecars = "classic";
  ExpectOutcome(facts, "server-version", Outcome::kGood, "v1.31.2");
  facts.settings->settings.sidecars = "";
  facts.version = Parse(R"({"major": "1", "minor": "28", "gitVersion": "v1.28.9"})");
  ExpectOutcome(facts, "server-version", Outcome::kGood, "classic sidecars");
}

TEST(PreflightTest, SaysWhichNodesTheImageIsNotFor) {
  ClusterFacts facts = Fine();
  facts.nodes = List(R"([{"metadata": {"name": "own"}, "status": {"nodeInfo": {"architecture": ")" +
                     std::string(OwnArchitecture()) + R"("}}},
      {"metadata": {"name": "odd"}, "status": {"nodeInfo": {"architecture": "s390x"}}},
      {"metadata": {"name": "w"}, "status": {"nodeInfo": {"operatingSystem": "windows",
       "architecture": "s390x"}}}])");
  ExpectOutcome(facts, "nodes", Outcome::kBad, "these are not: odd (s390x)");
}

TEST(PreflightTest, SaysAllThatIsWrongWithNodes) {
  ClusterFacts facts = Fine();
  facts.nodes = List(R"([{"metadata": {"name": "old"}, "status": {"nodeInfo":
      {"kernelVersion": "4.18.0", "kubeletVersion": "v1.31.0"}}},
      {"metadata": {"name": "behind"}, "status": {"nodeInfo":
      {"kernelVersion": "5.15.0", "kubeletVersion": "v1.28.4"}}},
      {"metadata": {"name": "odd"}, "status": {"nodeInfo": {"architecture": "s390x"}}}])");
  facts.settings->settings.sidecars = "native";
  for (const char* const said : {"old (4.18.0)", "behind (v1.28.4)", "odd (s390x)"}) {
    ExpectOutcome(facts, "nodes", Outcome::kBad, said);
  }
  // Of which that about kubelets is not so with what is installed.
  facts.settings->settings.sidecars = "classic";
  EXPECT_THAT(Check(facts, "nodes").message, Not(HasSubstr("behind")));
}

// So that it can gate an upgrade of a cluster with nodes of several kinds.
TEST(PreflightTest, MeshedPodsMayBeKeptOffNodes) {
  FakeCluster cluster;
  ClusterFacts facts = Fine();
  facts.nodes->push_back(
      Parse(R"({"metadata": {"name": "arm"}, "status": {"nodeInfo": {"architecture": "s390x"}}})"));
  cluster.answers["GET /api/v1/pods"] = {200, R"({"items": []})"};
  LookForPodsOnUnfitNodes(&cluster, &facts);
  EXPECT_THAT(cluster.calls,
              ElementsAre("GET /api/v1/pods?limit=1&labelSelector=byrnie.io%2frev&fieldSelector="
                          "spec.nodeName%3darm"));
  ExpectOutcome(facts, "nodes", Outcome::kNote, "none is there now");
  EXPECT_THAT(Check(facts, "nodes").remedy, HasSubstr("nodeSelector"));
  cluster.answers["GET /api/v1/pods"] = {200, R"({"items": [{"metadata": {"name": "p"}}]})"};
  LookForPodsOnUnfitNodes(&cluster, &facts);
  ExpectOutcome(facts, "nodes", Outcome::kBad, "some are on arm");
  // The image may be of another architecture than byrniectl.
  facts.settings->settings.architecture = "s390x";
  facts.nodes->erase(facts.nodes->begin());
  ExpectOutcome(facts, "nodes", Outcome::kGood, "1 node");
  // Where no node is fit nobody can be kept off them.
  facts.settings->settings.architecture = "arm64";
  facts.meshed_on = std::vector<std::string>();
  ExpectOutcome(facts, "nodes", Outcome::kBad, "the image is for arm64");
}

TEST(PreflightTest, TellsAWebhookOfSomebodyElsesFromOurs) {
  ClusterFacts facts = Fine();
  facts.webhooks = List(R"([{"metadata": {"name": "byrnie-injector"}}])");
  facts.tried_namespace = "shop";
  facts.tried_pod = absl::UnavailableError(
      "Internal error occurred: failed calling webhook \"mutate.kyverno.svc-fail\": refused");
  ExpectOutcome(facts, "webhook", Outcome::kNote, "a webhook of somebody else's");
  facts.tried_pod = absl::UnavailableError(
      "Internal error occurred: failed calling webhook \"injector.byrnie.io\": refused");
  ExpectOutcome(facts, "webhook", Outcome::kBad, "does not reach the webhook");
}

// A cluster's default may be another level than privileged.
TEST(PreflightTest, SaysWhatPodSecurityDoesWithoutALabel) {
  ClusterFacts facts = Fine();
  ExpectOutcome(facts, "pod-security", Outcome::kGood, "by the cluster's default");
  facts.webhooks = List(R"([{"metadata": {"name": "byrnie-injector"}}])");
  facts.tried_namespace = "shop";
  facts.tried_pod = absl::PermissionDeniedError(
      "pods \"byrnie-check-x\" is forbidden: violates PodSecurity \"baseline:latest\": NET_ADMIN");
  ExpectOutcome(facts, "pod-security", Outcome::kBad, "shop (by the cluster's default)");
  EXPECT_THAT(Check(facts, "pod-security").remedy, HasSubstr("--overwrite"));
  ExpectOutcome(facts, "webhook", Outcome::kGood, "see pod-security");
}

TEST(PreflightTest, TriesAPodWhereTheWebhookIsAsked) {
  FakeCluster cluster;
  ResourceTypes types(&cluster);
  const std::string objects = "/api/v1/namespaces/", pods = "POST /api/v1/namespaces/shop/pods";
  cluster.answers["GET /version"] = {200, R"({"major": "1", "minor": "31"})"};
  cluster.answers["GET /api/v1/namespaces"] = {200, R"({"items": [
      {"metadata": {"name": "kube-system", "labels": {"byrnie.io/inject": "true"}}},
      {"metadata": {"name": "gone", "deletionTimestamp": "2026-01-01T00:00:00Z",
       "labels": {"byrnie.io/inject": "true"}}},
      {"metadata": {"name": "shop", "labels": {"byrnie.io/inject": "true"}}}]})"};
  const std::string webhooks =
      "GET /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
  const auto ask = [&] {
    absl::StatusOr<ClusterFacts> facts = GatherClusterFacts(&cluster, &types, "byrnie-system", {});
    EXPECT_THAT(facts, IsOk());
    return *std::move(facts);
  };
  cluster.answers[webhooks] = {200, R"({"items": []})"};
  ExpectOutcome(ask(), "webhook", Outcome::kGood, "nobody is asked");
  EXPECT_EQ(cluster.Changes(), 2u) << "two questions about rights";

  cluster.answers[webhooks] = {200, R"({"items": [{"metadata": {"name": "byrnie-injector"}}]})"};
  cluster.answers[pods] = {201, R"({"metadata": {"labels": {"byrnie.io/rev": "default"}}})"};
  ExpectOutcome(ask(), "webhook", Outcome::kGood, "a new pod of shop would have its sidecar");
  EXPECT_THAT(cluster.calls, Contains("POST /api/v1/namespaces/shop/pods?dryRun=All"));
  cluster.answers[pods] = {201, R"({"metadata": {}})"};
  ExpectOutcome(ask(), "webhook", Outcome::kBad, "would have no sidecar");
  cluster.answers[pods] = {
      500,
      R"({"message": "Internal error occurred: failed calling webhook \"injector.byrnie.io\": context deadline exceeded"})"};
  ExpectOutcome(ask(), "webhook", Outcome::kBad, "does not reach the webhook");
  cluster.answers[pods] = {403, R"({"message": "exceeded quota"})"};
  ExpectOutcome(ask(), "webhook", Outcome::kNote, "could not be tried");
}

TEST(PreflightTest, NamesThePullSecretsThatAreNotWherePodsNeedThem) {
  FakeCluster cluster;
  ClusterFacts facts = Fine();
  LookForPullSecrets(&cluster, &facts);
  EXPECT_THAT(cluster.calls, IsEmpty());
  ExpectOutcome(facts, "pull-secrets", Outcome::kGood, "none are asked for");

  facts.settings->settings.image_pull_secrets = {"regcred"};
  facts.settings->settings.pull_secrets_given = true;
  LookForPullSecrets(&cluster, &facts);
  ExpectOutcome(facts, "pull-secrets", Outcome::kBad, "byrnie-system/regcred, shop/regcred");
  for (const char* ns : {"byrnie-system", "shop"}) {
    cluster.objects[absl::StrCat("/api/v1/namespaces/", ns, "/secrets/regcred")] = Json::object();
  }
  LookForPullSecrets(&cluster, &facts);
  ExpectOutcome(facts, "pull-secrets", Outcome::kGood, "in all namespaces");

  // What the injector's configuration says is of the sidecars alone.
  facts.settings = SettingsPlan();
  facts.settings->settings.injector_config = R"({"image_pull_secrets": ["other"]})";
  LookForPullSecrets(&cluster, &facts);
  ExpectOutcome(facts, "pull-secrets", Outcome::kBad, "missing: shop/other");

  cluster.answers["GET /api/v1/namespaces/shop/secrets/other"] = {403, R"({"message": "no"})"};
  LookForPullSecrets(&cluster, &facts);
  ExpectOutcome(facts, "pull-secrets", Outcome::kNote, "could not be looked at");
}

TEST(PreflightTest, FindsNothingWrongWhereNothingIs) {
  for (const CheckResult& result : CheckCluster(Fine())) {
    EXPECT_EQ(result.outcome, Outcome::kGood) << result.name << ": " << result.message;
  }
}

TEST(PreflightTest, WarnsOfOldServersAndSaysWhichSidecars) {
  ClusterFacts facts = Fine();
  facts.version = Parse(R"({"major": "1", "minor": "24+", "gitVersion": "v1.24.9-gke.1"})");
  ExpectOutcome(facts, "server-version", Outcome::kNote, "older than 1.25");
  facts.version = Parse(R"({"major": "1", "minor": "28", "gitVersion": "v1.28.0"})");
  ExpectOutcome(facts, "server-version", Outcome::kGood, "classic sidecars");
  facts.version = Parse(R"({"major": "2", "minor": "0", "gitVersion": "v2"})");
  ExpectOutcome(facts, "server-version", Outcome::kNote, "not understood");
}

TEST(PreflightTest, SaysWhatInstallWouldKeepChangeAndRefuse) {
  ClusterFacts facts = Fine();
  facts.settings->kept = {"trust domain corp.example", "image a"};
  ExpectOutcome(facts, "settings", Outcome::kGood, "keep: trust domain corp.example, image a");
  facts.settings->changed = {"image a -> b"};
  ExpectOutcome(facts, "settings", Outcome::kNote, "change: image a -> b");
  facts.settings->refused = absl::FailedPreconditionError("another trust domain");
  facts.settings->remedy = "leave it";
  ExpectOutcome(facts, "settings", Outcome::kBad, "refused: another trust domain");
  facts.settings = absl::PermissionDeniedError("403");
  ExpectOutcome(facts, "settings", Outcome::kNote, "could not be looked at");
}

TEST(PreflightTest, SaysWhatIsForbidden) {
  ClusterFacts facts = Fine();
  facts.forbidden = std::vector<std::string>{"create statefulsets.apps in byrnie-system"};
  ExpectOutcome(facts, "permissions", Outcome::kBad, "create statefulsets.apps");
  facts.forbidden->clear();
  facts.forbidden_purge = std::vector<std::string>{"delete secrets in byrnie-system"};
  ExpectOutcome(facts, "permissions", Outcome::kNote, "--purge does: delete secrets");
  // Which whoever installs need not have applied.
  facts.forbidden_policy = std::vector<std::string>{"get validatingadmissionpolicies.x"};
  ExpectOutcome(facts, "permissions", Outcome::kNote,
                "byrnie-privileges is: get validatingadmissionpolicies.x; nor what uninstall "
                "--purge does: delete secrets");
  EXPECT_THAT(Check(facts, "permissions").remedy,
              HasSubstr("kubectl delete validatingadmissionpolicybinding"));
}

TEST(PreflightTest, FindsOtherMeshes) {
  ClusterFacts facts = Fine();
  facts.webhooks = List(R"([{"metadata": {"name": "istio-sidecar-injector"},
      "webhooks": [{"name": "rev.namespace.sidecar-injector.istio.io"}]}])");
  ExpectOutcome(facts, "other-meshes", Outcome::kNote, "Istio (istio-sidecar-injector)");
  facts.namespaces = List(R"([{"metadata": {"name": "both",
      "labels": {"byrnie.io/inject": "true", "istio-injection": "enabled"}}}])");
  ExpectOutcome(facts, "other-meshes", Outcome::kBad, "both");
  facts.namespaces = List(R"([{"metadata": {"name": "two", "labels": {"byrnie.io/inject": "true"},
      "annotations": {"linkerd.io/inject": "enabled"}}}])");
  ExpectOutcome(facts, "other-meshes", Outcome::kBad, "two");
  for (const char* mark : {R"("annotations": {"linkerd.io/inject": "ingress"}, "labels": {)",
                           R"("annotations": {"consul.hashicorp.com/connect-inject": "true"},
                              "labels": {)",
                           R"("labels": {"kuma.io/sidecar-injection": "enabled", )",
                           R"("labels": {"istio.io/rev": "1-20", )"}) {
    facts.namespaces = List(
        absl::StrCat(R"([{"metadata": {"name": "n", )", mark, R"("byrnie.io/inject": "true"}}}])"));
    ExpectOutcome(facts, "other-meshes", Outcome::kBad, "the pods of n");
  }
  facts.namespaces = List(R"([{"metadata": {"name": "one", "labels": {"byrnie.io/inject": "true",
      "istio.io/rev": ""}, "annotations": {"linkerd.io/inject": "disabled"}}}])");
  ExpectOutcome(facts, "other-meshes", Outcome::kNote, "there is another mesh");
}

TEST(PreflightTest, FindsLabelsOfNamespacesThatMeshNothing) {
  ClusterFacts facts = Fine();
  ExpectOutcome(facts, "namespace-labels", Outcome::kGood, "");
  facts.namespaces = List(R"([{"metadata": {"name": "kube-system",
      "labels": {"byrnie.io/inject": "true"}}}])");
  ExpectOutcome(facts, "namespace-labels", Outcome::kNote, "is on kube-system");
  facts.namespaces->front()["metadata"]["name"] = "byrnie-system";
  ExpectOutcome(facts, "namespace-labels", Outcome::kNote, "is on byrnie-system");
  // Istio's and Linkerd's word.
  facts.namespaces->front()["metadata"]["labels"]["byrnie.io/inject"] = "enabled";
  ExpectOutcome(facts, "namespace-labels", Outcome::kBad, "byrnie-system (enabled)");
  EXPECT_THAT(Check(facts, "namespace-labels").remedy, HasSubstr("byrnie.io/inject=true"));
}

TEST(PreflightTest, FindsNodesThatCannot) {
  ClusterFacts facts = Fine();
  facts.nodes = List(R"([{"metadata": {"name": "old"}, "status": {"nodeInfo":
      {"kernelVersion": "4.18.0-372.el8", "kubeletVersion": "v1.31.0", "operatingSystem": "linux"}}}])");
  ExpectOutcome(facts, "nodes", Outcome::kBad, "old (4.18.0-372.el8)");
  facts.nodes = List(R"([{"metadata": {"name": "behind"}, "status": {"nodeInfo":
      {"kernelVersion": "5.15.0", "kubeletVersion": "v1.28.4", "operatingSystem": "linux"}}}])");
  // For which install chooses classic sidecars, unless there are native ones already.
  ExpectOutcome(facts, "nodes", Outcome::kGood, "1 node");
  ExpectOutcome(facts, "server-version", Outcome::kGood,
                "v1.31.2; classic sidecars: the kubelet of behind is v1.28.4");
  facts.settings->settings.injector_config = "{}";
  facts.settings->installed_sidecars = "native";
  ExpectOutcome(facts, "nodes", Outcome::kBad, "behind (v1.28.4)");
  facts.settings->installed_sidecars = "";
  facts.settings->settings.sidecars = "native";
  ExpectOutcome(facts, "nodes", Outcome::kBad, "behind (v1.28.4)");
  // Of a server that knows none the API server itself says so.
  facts.version = Parse(R"({"major": "1", "minor": "28", "gitVersion": "v1.28.9"})");
  ExpectOutcome(facts, "nodes", Outcome::kGood, "1 node");
  facts.settings = SettingsPlan();
  facts.nodes = List(R"([{"metadata": {"name": "win"}, "status": {"nodeInfo":
      {"kernelVersion": "10.0.17763", "kubeletVersion": "v1.31.0", "operatingSystem": "windows"}}},
      {"metadata": {"name": "silent"}}])");
  ExpectOutcome(facts, "nodes", Outcome::kNote, "of Windows: win");
  EXPECT_THAT(Check(facts, "nodes").remedy, HasSubstr("kubernetes.io/os: linux"));
}

TEST(PreflightTest, FindsNamespacesThatRefuseTheRedirect) {
  ClusterFacts facts = Fine();
  facts.namespaces = List(R"([{"metadata": {"name": "shop", "labels":
      {"byrnie.io/inject": "true", "pod-security.kubernetes.io/enforce": "baseline"}}},
      {"metadata": {"name": "free", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}])");
  ExpectOutcome(facts, "pod-security", Outcome::kBad, "shop (baseline)");
}

TEST(PreflightTest, FindsAPolicyForPrivilegesWithoutItsParameter) {
  ClusterFacts facts = Fine();
  facts.privileges_policy->in_force = true;
  ExpectOutcome(facts, "privileges-policy", Outcome::kGood, "NET_ADMIN to the redirect");
  facts.privileges_policy->previous_image = "byrnie:0.1.0";
  facts.privileges_policy->ns = "mesh";
  ExpectOutcome(facts, "privileges-policy", Outcome::kNote, "image before, too: byrnie:0.1.0");
  EXPECT_THAT(Check(facts, "privileges-policy").remedy,
              HasSubstr("kubectl -n mesh patch configmap byrnie-injector --type=merge -p "
                        "'{\"data\":{\"previous-image\":null}}'"));
  facts.privileges_policy->previous_image = "";
  facts.privileges_policy->missing_parameter = "byrnie-system/byrnie-injector";
  ExpectOutcome(facts, "privileges-policy", Outcome::kBad,
                "the ConfigMap byrnie-system/byrnie-injector that it goes by is not");
  EXPECT_THAT(Check(facts, "privileges-policy").remedy,
              HasSubstr("kubectl delete validatingadmissionpolicybinding"));
  facts.namespaces = std::vector<Json>();
  ExpectOutcome(facts, "privileges-policy", Outcome::kNote, "that is labelled");
}

TEST(PreflightTest, NotesNetworkPoliciesOfMeshedNamespaces) {
  ClusterFacts facts = Fine();
  facts.network_policies = List(R"([{"metadata": {"name": "deny", "namespace": "shop"}},
      {"metadata": {"name": "deny", "namespace": "plain"}}])");
  ExpectOutcome(facts, "network-policies", Outcome::kNote, "shop/deny");
  EXPECT_THAT(Check(facts, "network-policies").remedy, HasSubstr("all ports come by 15008"));
}

TEST(PreflightTest, NotesServicesThatBringStrangersToProbedPorts) {
  ClusterFacts facts = Fine();
  facts.exposed_probes->push_back("shop/web (LoadBalancer, 8080)");
  ExpectOutcome(facts, "probe-ports", Outcome::kNote, "shop/web (LoadBalancer, 8080)");
  EXPECT_THAT(Check(facts, "probe-ports").remedy, HasSubstr("byrnie.io/probes: rewrite"));
}

TEST(PreflightTest, LooksForAVolumeAndItsKey) {
  ClusterFacts facts = Fine();
  facts.storage_classes = List(R"([{"metadata": {"name": "slow"}}])");
  ExpectOutcome(facts, "storage", Outcome::kNote, "no StorageClass is the default");
  facts.settings->settings.size.storage_class = "slow";
  ExpectOutcome(facts, "storage", Outcome::kGood, "of the class slow");
  facts.settings->settings.size.storage_class = "fast";
  ExpectOutcome(facts, "storage", Outcome::kBad, "no StorageClass fast");
  facts.volume_claims = List(R"([{"metadata": {"name": "store-byrnie-controlplane-0"}}])");
  ExpectOutcome(facts, "storage", Outcome::kBad, "without its key");
  facts.store_key = Json::object();
  ExpectOutcome(facts, "storage", Outcome::kGood, "is there");
  facts.needs_volume = false;
  ExpectOutcome(facts, "storage", Outcome::kGood, "no volume");
}

TEST(PreflightTest, SaysWhatIsThereOfByrnie) {
  ClusterFacts facts = Fine();
  facts.webhooks = List(R"([{"metadata": {"name": "byrnie-injector"}}])");
  ExpectOutcome(facts, "installation", Outcome::kBad, "no control plane that answers");
  facts.stateful_set = Parse(R"({"metadata": {"labels":
      {"app.kubernetes.io/managed-by": "byrniectl"}}, "status": {"readyReplicas": 1}})");
  ExpectOutcome(facts, "installation", Outcome::kGood, "this release");
  facts.stateful_set = Parse(R"({"metadata": {"labels":
      {"app.kubernetes.io/managed-by": "byrniectl"}}})");
  ExpectOutcome(facts, "installation", Outcome::kBad, "no control plane is ready");
  facts.stateful_set = Parse(R"({"metadata": {}})");
  ExpectOutcome(facts, "installation", Outcome::kNote, "something else");
  facts.role_binding = Parse(R"({"subjects": [{"namespace": "other"}]})");
  ExpectOutcome(facts, "installation", Outcome::kBad, "namespace other");
}

TEST(PreflightTest, SaysWhatItCouldNotLookAt) {
  ClusterFacts facts = Fine();
  facts.nodes = absl::PermissionDeniedError("403");
  ExpectOutcome(facts, "nodes", Outcome::kNote, "could not be looked at: 403");
}

TEST(GatherTest, AsksAnAdministratorTwiceAndOthersForEach) {
  FakeCluster cluster;
  cluster.answers["GET /version"] = {200, R"({"major": "1", "minor": "31"})"};
  const char kReviews[] = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  cluster.answers[kReviews] = {201, R"({"status": {"allowed": true}})"};
  const std::vector<Json> objects = *RenderOverlay(ReadEmbeddedManifest, "sqlite");
  const auto asked = [&] {
    return absl::c_count_if(cluster.calls,
                            [&](const std::string& call) { return call == kReviews; });
  };
  ResourceTypes types(&cluster);
  ASSERT_OK_AND_ASSIGN(ClusterFacts facts,
                       GatherClusterFacts(&cluster, &types, "byrnie-system", objects));
  EXPECT_THAT(*facts.forbidden, IsEmpty());
  EXPECT_THAT(*facts.forbidden_purge, IsEmpty());
  EXPECT_EQ(asked(), 2);
  EXPECT_TRUE(facts.needs_volume);
  cluster.answers[kReviews] = {201, R"({"status": {"allowed": false}})"};
  ASSERT_OK_AND_ASSIGN(facts, GatherClusterFacts(&cluster, &types, "byrnie-system", objects));
  EXPECT_THAT(*facts.forbidden, Contains("patch statefulsets.apps in byrnie-system"));
  EXPECT_THAT(*facts.forbidden, Contains("create clusterroles.rbac.authorization.k8s.io"));
  EXPECT_THAT(*facts.forbidden, Not(Contains(HasSubstr("validatingadmissionpolicies"))));
  EXPECT_THAT(*facts.forbidden, Contains("create secrets in byrnie-system"));
  // What the control plane is granted.
  EXPECT_THAT(*facts.forbidden, Contains("create tokenreviews.authentication.k8s.io"));
  EXPECT_THAT(*facts.forbidden, Contains("get /openid/v1/jwks"));
  EXPECT_THAT(*facts.forbidden_purge, Contains("delete persistentvolumeclaims in byrnie-system"));
  // What uninstall takes away where the API server has such policies.
  cluster.Serve("/apis/admissionregistration.k8s.io/v1beta1",
                {{"ValidatingAdmissionPolicy", "validatingadmissionpolicies", false}});
  ResourceTypes newer(&cluster);
  ASSERT_OK_AND_ASSIGN(facts, GatherClusterFacts(&cluster, &newer, "byrnie-system", objects));
  EXPECT_THAT(*facts.forbidden, Not(Contains(HasSubstr("validatingadmissionpolicies"))));
  EXPECT_THAT(*facts.forbidden_policy,
              Contains("delete validatingadmissionpolicies.admissionregistration.k8s.io"));
}

}  // namespace
}  // namespace byrnie
