#include "ctl/install/kubernetes_version.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json Node(const std::string& name, const std::string& kubelet, const std::string& system) {
  Json node = Json::object();
  node["metadata"]["name"] = name;
  node["status"]["nodeInfo"]["kubeletVersion"] = kubelet;
  node["status"]["nodeInfo"]["operatingSystem"] = system;
  return node;
}

// Of several kinds and versions, of which "b" has the oldest that is for meshed pods.
std::vector<Json> Mixed() {
  Json silent = Json::object();
  silent["metadata"]["name"] = "silent";
  return {Node("a", "v1.28.9", "linux"), Node("b", "v1.27.16-gke.1", "linux"),
          Node("c", "v1.31.2", "linux"), Node("w", "v1.22.0", "windows"), silent};
}

TEST(KubernetesVersionTest, ReadsVersionsOfDistributions) {
  EXPECT_THAT(VersionNumbers("v1.29.3+k3s1"), ElementsAre(1, 29, 3));
  EXPECT_THAT(VersionNumbers("v1.28.9-eks-036c24b"), ElementsAre(1, 28, 9));
  EXPECT_THAT(VersionNumbers("29+"), ElementsAre(29));
}

TEST(ChooseSidecarsTest, TheOldestKubeletDecidesWhereItIsOlderThanTheServer) {
  InstallSettings settings;
  EXPECT_THAT(ChooseSidecars(31, Mixed(), "", &settings),
              AllOf(HasSubstr("classic sidecars"), HasSubstr("kubelet of b is v1.27.16-gke.1")));
  EXPECT_EQ(settings.sidecars, "classic");
  settings.sidecars = "";
  EXPECT_EQ(ChooseSidecars(31, std::vector<Json>{Node("c", "v1.29.0", "linux")}, "", &settings),
            "");
  EXPECT_EQ(settings.sidecars, "");
}

TEST(ChooseSidecarsTest, AnOldServerHasClassicOnes) {
  InstallSettings settings;
  EXPECT_EQ(ChooseSidecars(28, absl::UnknownError("not asked"), "native", &settings), "");
  EXPECT_EQ(settings.sidecars, "classic");
}

TEST(ChooseSidecarsTest, WhatSomebodyHasSaidStays) {
  InstallSettings settings;
  settings.sidecars = "native";
  EXPECT_EQ(ChooseSidecars(28, Mixed(), "", &settings), "");
  EXPECT_EQ(settings.sidecars, "native");
  settings.sidecars = "";
  settings.injector_config = R"({"defaults": {"sidecars": "native"}})";
  EXPECT_EQ(ChooseSidecars(31, Mixed(), "", &settings), "");
  EXPECT_EQ(settings.sidecars, "");
}

// A node that has come since does not change what all the others run.
TEST(ChooseSidecarsTest, WhatIsInstalledStaysAndTheNodeIsNamed) {
  InstallSettings settings;
  settings.injector_config = "{}";
  EXPECT_THAT(ChooseSidecars(31, Mixed(), "native", &settings),
              AllOf(HasSubstr("kubelet of b"), HasSubstr("--sidecars=classic")));
  EXPECT_EQ(settings.sidecars, "");
  // And those that are classic, once all nodes are newer.
  const std::vector<Json> newer = {Node("c", "v1.31.2", "linux")};
  EXPECT_EQ(ChooseSidecars(31, newer, "classic", &settings), "");
  EXPECT_EQ(settings.sidecars, "classic");
}

TEST(ChooseSidecarsTest, AVersionThatIsNoKubeletsDecidesNothing) {
  Json virtual_one = Node("v", "v1.14.0", "linux");
  virtual_one["metadata"]["labels"]["type"] = "virtual-kubelet";
  InstallSettings settings;
  EXPECT_EQ(ChooseSidecars(
                31,
                std::vector<Json>{Node("a", "unknown", "linux"), Node("b", "", "linux"),
                                  Node("c", "v1.19.10-vk-azure-aci-v1.4.8", "linux"), virtual_one},
                "", &settings),
            "");
  EXPECT_EQ(settings.sidecars, "");
  EXPECT_FALSE(KnowsNativeSidecars(Node("d", "v1.28.9", "linux")));
}

TEST(ChooseSidecarsTest, SaysThatItHasNotSeenTheNodes) {
  InstallSettings settings;
  EXPECT_THAT(ChooseSidecars(31, absl::PermissionDeniedError("no"), "", &settings),
              HasSubstr("could not be looked at: no"));
  EXPECT_EQ(settings.sidecars, "");
}

}  // namespace
}  // namespace byrnie
