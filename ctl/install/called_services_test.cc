#include "ctl/install/called_services.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ctl/install/testing/fake_cluster.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr char kAdmission[] = "/apis/admissionregistration.k8s.io/v1/";
constexpr char kDefinitions[] = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/";
constexpr char kApis[] = "/apis/apiregistration.k8s.io/v1/apiservices/";

Json Parse(const std::string& text) { return *ParseJson(text, text.size()); }

std::string Webhooks(const std::string& name, const std::string& client) {
  return absl::StrCat(R"({"metadata": {"name": ")", name, R"("}, "webhooks": [{"clientConfig": )",
                      client, R"(}, {"clientConfig": )", client, "}]}");
}

std::vector<std::string> Texts(const CalledServices& called) {
  std::vector<std::string> texts;
  for (const CalledService& one : called.found) {
    texts.push_back(absl::StrCat(one.ns, "/", one.name, " by ", one.by));
  }
  return texts;
}

TEST(CalledServicesTest, AreThoseOfWebhooksConversionsAndAggregatedApis) {
  FakeCluster cluster;
  cluster.objects[absl::StrCat(kAdmission, "validatingwebhookconfigurations/policy")] =
      Parse(Webhooks("policy", R"({"service": {"namespace": "shop", "name": "hook"}})"));
  cluster.objects[absl::StrCat(kAdmission, "validatingwebhookconfigurations/outside")] =
      Parse(Webhooks("outside", R"({"url": "https://hooks.example/"})"));
  cluster.objects[absl::StrCat(kDefinitions, "certs")] = Parse(
      R"({"metadata": {"name": "certs"}, "spec": {"conversion": {"strategy": "Webhook", "webhook":
          {"clientConfig": {"service": {"namespace": "certs", "name": "converter"}}}}}})");
  cluster.objects[absl::StrCat(kDefinitions, "plain")] =
      Parse(R"({"metadata": {"name": "plain"}, "spec": {"conversion": {"strategy": "None"}}})");
  cluster.objects[absl::StrCat(kApis, "v1.metrics")] = Parse(
      R"({"metadata": {"name": "v1.metrics"},
          "spec": {"service": {"namespace": "metrics", "name": "adapter"}}})");
  cluster.objects[absl::StrCat(kApis, "v1.apps")] =
      Parse(R"({"metadata": {"name": "v1.apps"}, "spec": {"service": null}})");
  const std::vector<Json> mutating = {
      Parse(Webhooks("defaults", R"({"service": {"namespace": "shop", "name": "defaults"}})")),
      Parse(Webhooks("byrnie-injector", R"({"service": {"namespace": "a", "name": "b"}})"))};
  const CalledServices called = FindCalledServices(&cluster, mutating);
  EXPECT_THAT(Texts(called),
              UnorderedElementsAre("shop/defaults by MutatingWebhookConfiguration defaults",
                                   "shop/hook by ValidatingWebhookConfiguration policy",
                                   "certs/converter by CustomResourceDefinition certs",
                                   "metrics/adapter by APIService v1.metrics"));
  EXPECT_THAT(called.unknown, IsEmpty());
}

TEST(CalledServicesTest, SayWhatCouldNotBeLookedAt) {
  FakeCluster cluster;
  cluster.answers["GET /apis/apiregistration.k8s.io/v1/apiservices"] = {
      403, R"({"message": "forbidden"})"};
  const CalledServices called = FindCalledServices(&cluster, absl::PermissionDeniedError("no"));
  EXPECT_THAT(called.found, IsEmpty());
  EXPECT_THAT(called.unknown, ElementsAre("MutatingWebhookConfiguration: no",
                                          HasSubstr("APIService: the API server answered 403")));
}

}  // namespace
}  // namespace byrnie
