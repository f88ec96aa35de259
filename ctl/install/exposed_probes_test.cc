#include "ctl/install/exposed_probes.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "ctl/install/testing/fake_cluster.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Json Parse(const std::string& text) { return *ParseJson(text, text.size()); }

class ExposedProbesTest : public ::testing::Test {
 protected:
  // A Service of type LoadBalancer for port 8080, "http", of app=web.
  void Service(const std::string& more = "", const std::string& ns = "shop") {
    cluster_.objects[absl::StrCat("/api/v1/namespaces/", ns, "/services/web")] = Parse(absl::StrCat(
        R"({"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", )", more,
        R"("selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}})"));
  }
  // One that has a probe for the same port, by its number.
  void Pod(const std::string& annotations = "", const std::string& containers = "",
           const std::string& ns = "shop") {
    cluster_.objects[absl::StrCat("/api/v1/namespaces/", ns, "/pods/web-1")] = Parse(
        absl::StrCat(R"({"metadata": {"name": "web-1", "labels": {"app": "web"}, "annotations": {)",
                     annotations, R"(}}, "spec": {"containers": [)", containers,
                     R"({"name": "app", "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"tcpSocket": {"port": 8080}}}]}})"));
  }
  std::vector<std::string> Found() {
    absl::StatusOr<std::vector<std::string>> found = FindExposedProbes(&cluster_, {"shop"});
    EXPECT_THAT(found, IsOk());
    return found.value_or(std::vector<std::string>());
  }

  FakeCluster cluster_;
};

TEST_F(ExposedProbesTest, AreProbedPortsThatStrangersAreBroughtTo) {
  Service();
  Pod();
  EXPECT_THAT(Found(), ElementsAre("shop/web (LoadBalancer, 8080)"));
  Pod(R"("byrnie.io/probes": "rewrite")");
  EXPECT_THAT(Found(), IsEmpty());
  Pod(R"("byrnie.io/inject": "false")");
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(ExposedProbesTest, AreThoseThatTheProxyIsTold) {
  Service();
  Pod("",
      R"({"name": "byrnie-proxy", "args": ["--admin=127.0.0.1:15000", "--probe_ports=81,8080"]}, )");
  EXPECT_THAT(Found(), ElementsAre("shop/web (LoadBalancer, 8080)"));
  Pod("", R"({"name": "byrnie-proxy", "args": ["--probe_ports=81"]}, )");
  EXPECT_THAT(Found(), IsEmpty());
  Pod("", R"({"name": "byrnie-proxy"}, )");
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(ExposedProbesTest, AreNoneWhereTheClientsAddressIsKeptOrNothingIsMeshed) {
  Pod();
  Service(R"("externalTrafficPolicy": "Local", )");
  EXPECT_THAT(Found(), IsEmpty());
  Service("", "plain");
  Pod("", "", "plain");
  EXPECT_THAT(Found(), IsEmpty());
  cluster_.objects["/api/v1/namespaces/shop/services/web"] = Parse(
      R"({"metadata": {"name": "web"}, "spec": {"type": "ClusterIP", "selector": {"app": "web"},
          "ports": [{"port": 8080}]}})");
  EXPECT_THAT(Found(), IsEmpty());
}

// The node gives what comes to these its own address, too.
TEST_F(ExposedProbesTest, AreThoseOfAddressesFromOutside) {
  Pod();
  cluster_.objects["/api/v1/namespaces/shop/services/web"] = Parse(
      R"({"metadata": {"name": "web"}, "spec": {"type": "ClusterIP", "selector": {"app": "web"},
          "externalIPs": ["192.0.2.1"], "ports": [{"port": 8080}]}})");
  EXPECT_THAT(Found(), ElementsAre("shop/web (externalIPs, 8080)"));
}

TEST_F(ExposedProbesTest, AreThoseThatAPodWillDeclare) {
  Service();
  Pod(R"("byrnie.io/probes": "rewrite", "byrnie.io/probe-ports": "81, 8080")");
  EXPECT_THAT(Found(), ElementsAre("shop/web (LoadBalancer, 8080)"));
}

TEST_F(ExposedProbesTest, SayWhenTheyCannotBeLookedFor) {
  cluster_.answers["GET /api/v1/namespaces/shop/services"] = {403, R"({"message": "forbidden"})"};
  EXPECT_THAT(FindExposedProbes(&cluster_, {"shop"}),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

}  // namespace
}  // namespace byrnie
