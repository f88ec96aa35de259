#include "controlplane/kubernetes/objects.h"

#include <string>

#include "absl/strings/str_replace.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

JsonValue Json(absl::string_view text) { return *JsonValue::Parse(text, 100000); }
IpAddress Ip(absl::string_view text) { return *IpAddress::Parse(text); }

constexpr char kPod[] = R"({
  "metadata": {"name": "web-7d-x", "namespace": "demo", "uid": "u1",
    "creationTimestamp": "2030-01-01T00:00:00Z", "resourceVersion": "7",
    "labels": {"app": "web", "pod-template-hash": "7d"},
    "annotations": {"byrnie.io/status": "{\"revision\":\"a\"}", "byrnie.io/capacity": "7",
                    "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d", "controller": true}]},
  "spec": {"serviceAccountName": "web", "nodeName": "n1", "containers": [
      {"name": "byrnie-proxy", "command": ["/usr/local/bin/byrnie-proxy"]}, {"name": "c"}]},
  "status": {"phase": "Running", "podIP": "10.0.0.5",
    "podIPs": [{"ip": "10.0.0.5"}, {"ip": "fd00::5"}], "hostIP": "10.9.0.1",
    "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}]}
})";

absl::StatusOr<Pod> PodWith(absl::string_view from, absl::string_view to) {
  return ParsePod(Json(absl::StrReplaceAll(kPod, {{from, to}})));
}

TEST(ParsePodTest, ReadsWhatTheMeshNeeds) {
  ASSERT_OK_AND_ASSIGN(Pod pod, ParsePod(Json(kPod)));
  EXPECT_EQ(pod.name.ns, "demo");
  EXPECT_EQ(pod.name.name, "web-7d-x");
  EXPECT_EQ(pod.uid, "u1");
  EXPECT_EQ(pod.service_account, "web");
  EXPECT_EQ(pod.node, "n1");
  EXPECT_THAT(pod.ips, ElementsAre(Ip("10.0.0.5"), Ip("fd00::5")));
  EXPECT_THAT(pod.host_ips, ElementsAre(Ip("10.9.0.1")));
  EXPECT_TRUE(pod.ready);
  EXPECT_TRUE(pod.injected);
  EXPECT_FALSE(pod.terminating || pod.finished || pod.host_network);
  EXPECT_EQ(pod.created, absl::FromUnixSeconds(1893456000));
  EXPECT_THAT(pod.annotations, ElementsAre(Pair("byrnie.io/capacity", "7")));
  EXPECT_EQ(pod.owner_kind, "ReplicaSet");
  EXPECT_EQ(pod.owner_name, "web-7d");
}

// From 1.30 on there is one of each family.
TEST(ParsePodTest, HasAllAddressesOfItsNode) {
  ASSERT_OK_AND_ASSIGN(
      Pod pod,
      PodWith(R"("hostIP": "10.9.0.1",)",
              R"("hostIP": "10.9.0.1", "hostIPs": [{"ip": "10.9.0.1"}, {"ip": "fd09::1"}],)"));
  EXPECT_THAT(pod.host_ips, ElementsAre(Ip("10.9.0.1"), Ip("fd09::1")));
}

TEST(ParsePodTest, ReadsItsStates) {
  EXPECT_TRUE(PodWith("Running", "Succeeded")->finished);
  EXPECT_TRUE(PodWith("Running", "Failed")->finished);
  EXPECT_FALSE(PodWith("Running", "Pending")->finished);
  EXPECT_FALSE(PodWith(R"("Ready", "status": "True")", R"("Ready", "status": "Unknown")")->ready);
  EXPECT_TRUE(
      PodWith(R"("uid")", R"("deletionTimestamp": "2030-01-01T00:00:00Z", "uid")")->terminating);
  EXPECT_TRUE(PodWith(R"("nodeName")", R"("hostNetwork": true, "nodeName")")->host_network);
  EXPECT_FALSE(PodWith("byrnie.io/status", "byrnie.io/other")->injected);
  // The annotation was copied from another pod.
  EXPECT_FALSE(PodWith(R"("name": "byrnie-proxy")", R"("name": "other")")->injected);
  // Somebody has called something of his own so.
  EXPECT_FALSE(PodWith("/usr/local/bin/byrnie-proxy", "/mine")->injected);
  EXPECT_FALSE(PodWith(R"(, "command": ["/usr/local/bin/byrnie-proxy"])", "")->injected);
  // A native sidecar.
  EXPECT_TRUE(PodWith(R"("containers": [
      {"name": "byrnie-proxy", "command": ["/usr/local/bin/byrnie-proxy"]}, )",
                      R"("initContainers": [{"name": "byrnie-proxy",
                         "command": ["/usr/local/bin/byrnie-proxy"]}], "containers": [)")
                  ->injected);
}

TEST(ParsePodTest, TakesWhatIsNullForAbsent) {
  ASSERT_OK_AND_ASSIGN(Pod pod, ParsePod(Json(R"({
    "metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": null,
                 "creationTimestamp": null, "deletionTimestamp": null},
    "spec": {}, "status": {"conditions": null, "podIPs": null}})")));
  EXPECT_EQ(pod.service_account, "default");
  EXPECT_FALSE(pod.terminating);
  EXPECT_THAT(pod.ips, IsEmpty());
}

TEST(ParsePodTest, TakesTheOneAddressOfOldServers) {
  ASSERT_OK_AND_ASSIGN(Pod pod, ParsePod(Json(R"({
    "metadata": {"name": "a", "namespace": "n", "uid": "u"}, "spec": {},
    "status": {"podIP": "10.0.0.9"}})")));
  EXPECT_THAT(pod.ips, ElementsAre(Ip("10.0.0.9")));
}

TEST(ParsePodTest, SaysWhatIsWrong) {
  const auto message = [](absl::string_view from, absl::string_view to,
                          absl::string_view expected) {
    EXPECT_THAT(PodWith(from, to),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(expected))));
  };
  message(R"("uid": "u1",)", "", "uid");
  message(R"("name": "web-7d-x")", R"("name": "")", "name");
  message("10.0.0.5", "10.0.0", "podIPs[0]");
  message(R"("2030-01-01T00:00:00Z")", R"("yesterday")", "creationTimestamp");
  message(R"("spec")", R"("Spec")", "spec");
}

constexpr char kService[] = R"({
  "metadata": {"name": "web", "namespace": "demo"},
  "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00:1::7"],
    "ports": [{"name": "http", "port": 80, "targetPort": "web"},
              {"name": "dns", "port": 53, "protocol": "UDP"}],
    "publishNotReadyAddresses": true, "internalTrafficPolicy": "Local",
    "trafficDistribution": "PreferClose"}})";

TEST(ParseServiceTest, ReadsAddressesAndTcpPorts) {
  ASSERT_OK_AND_ASSIGN(KubeService service, ParseService(Json(kService)));
  EXPECT_THAT(service.cluster_ips, ElementsAre(Ip("10.96.0.7"), Ip("fd00:1::7")));
  EXPECT_THAT(service.ports, ElementsAre(ServicePort{"http", 80}));
  EXPECT_TRUE(service.publish_not_ready);
  EXPECT_TRUE(service.node_local);
  EXPECT_EQ(service.distribution, "PreferClose");
}

TEST(ParseServiceTest, ReadsHeadlessExternalAndOldOnes) {
  ASSERT_OK_AND_ASSIGN(KubeService service, ParseService(Json(R"({
    "metadata": {"name": "a", "namespace": "n"},
    "spec": {"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80}]}})")));
  EXPECT_THAT(service.cluster_ips, IsEmpty());
  ASSERT_OK_AND_ASSIGN(service, ParseService(Json(R"({
    "metadata": {"name": "a", "namespace": "n"},
    "spec": {"type": "ExternalName", "externalName": "x.example"}})")));
  EXPECT_TRUE(service.external_name);
  ASSERT_OK_AND_ASSIGN(service, ParseService(Json(R"({
    "metadata": {"name": "a", "namespace": "n"},
    "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80, "protocol": "TCP"}]}})")));
  EXPECT_THAT(service.cluster_ips, ElementsAre(Ip("10.96.0.9")));
}

constexpr char kSlice[] = R"({
  "metadata": {"name": "web-abc", "namespace": "demo",
               "labels": {"kubernetes.io/service-name": "web"}},
  "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
  "endpoints": [
    {"addresses": ["10.0.0.5"], "conditions": {"ready": true}, "nodeName": "n1",
     "targetRef": {"kind": "Pod", "name": "web-7d-x", "namespace": "demo", "uid": "u1"}},
    {"addresses": ["10.0.0.6"], "conditions": {"ready": false, "serving": true,
     "terminating": true}, "targetRef": {"kind": "Pod", "name": "y", "uid": "u2"}},
    {"addresses": ["192.0.2.1"], "conditions": {}}]})";

TEST(ParseEndpointSliceTest, ReadsEndpoints) {
  ASSERT_OK_AND_ASSIGN(EndpointSlice slice, ParseEndpointSlice(Json(kSlice)));
  EXPECT_EQ(slice.service, "web");
  EXPECT_THAT(slice.ports, ElementsAre(ServicePort{"http", 8080}));
  EXPECT_THAT(slice.endpoints, ElementsAre(SliceEndpoint{{Ip("10.0.0.5")}, true, "u1", "n1"},
                                           SliceEndpoint{{Ip("10.0.0.6")}, false, "u2", ""},
                                           SliceEndpoint{{Ip("192.0.2.1")}, true, "", ""}));
}

TEST(ParseEndpointSliceTest, ReadsTheNodeOfV1beta1) {
  ASSERT_OK_AND_ASSIGN(
      EndpointSlice slice,
      ParseEndpointSlice(Json(absl::StrReplaceAll(
          kSlice, {{R"("nodeName": "n1")", R"("topology": {"kubernetes.io/hostname": "n2"})"}}))));
  EXPECT_EQ(slice.endpoints[0].node, "n2");
}

TEST(ParseEndpointSliceTest, LeavesNamesOut) {
  ASSERT_OK_AND_ASSIGN(EndpointSlice slice,
                       ParseEndpointSlice(Json(absl::StrReplaceAll(
                           kSlice, {{"IPv4", "FQDN"}, {"10.0.0.5", "host.example"}}))));
  EXPECT_THAT(slice.endpoints, IsEmpty());
}

TEST(ParseLabelledObjectTest, KeepsTheLabelsTheMeshLooksAt) {
  ASSERT_OK_AND_ASSIGN(LabelledObject node, ParseLabelledObject(Json(R"({
    "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1",
      "topology.kubernetes.io/zone": "z", "byrnie.io/network": "b"}}})")));
  EXPECT_THAT(node.labels, ElementsAre(Pair("byrnie.io/network", "b"),
                                       Pair("topology.kubernetes.io/zone", "z")));
}

}  // namespace
}  // namespace byrnie
