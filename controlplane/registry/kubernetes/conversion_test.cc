#include "controlplane/registry/kubernetes/conversion.h"

#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "controlplane/registry/content_checker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using istio::workload::LoadBalancing;
using istio::workload::Workload;

IpAddress Ip(absl::string_view text) { return *IpAddress::Parse(text); }

KubernetesMesh Mesh() {
  KubernetesMesh mesh;
  mesh.trust_domain = "td";
  mesh.cluster_id = "c1";
  return mesh;
}

Pod MakePod() {
  Pod pod;
  pod.name = {"demo", "web-7d-x"};
  pod.uid = "u1";
  pod.service_account = "web";
  pod.node = "n1";
  pod.ips = {Ip("10.0.0.5")};
  pod.ready = true;
  return pod;
}

KubeService MakeService() {
  KubeService service;
  service.name = {"demo", "web"};
  service.cluster_ips = {Ip("10.96.0.7")};
  service.ports = {{"http", 80}, {"admin", 90}};
  return service;
}

EndpointSlice MakeSlice() {
  EndpointSlice slice;
  slice.name = {"demo", "web-abc"};
  slice.service = "web";
  slice.ports = {{"http", 8080}};
  return slice;
}

Workload Convert(const Pod& pod, const LabelledObject* node = nullptr,
                 const LabelledObject* ns = nullptr, const std::vector<EndpointOf>& of = {},
                 const KubernetesMesh& mesh = Mesh()) {
  const absl::optional<Workload> workload =
      ToWorkload(pod, pod.ips, node, ns, of, /*last=*/false, {"demo/a"}, mesh);
  EXPECT_TRUE(workload.has_value());
  if (!workload.has_value()) return Workload();
  EXPECT_THAT(CheckEntry(*workload), IsOk());
  return *workload;
}

TEST(ToWorkloadTest, HasTheIdentityOfTheServiceAccount) {
  const Workload workload = Convert(MakePod());
  EXPECT_EQ(workload.uid(), "c1//Pod/demo/web-7d-x");
  EXPECT_EQ(workload.trust_domain(), "td");
  EXPECT_EQ(workload.namespace_(), "demo");
  EXPECT_EQ(workload.service_account(), "web");
  EXPECT_EQ(workload.node(), "n1");
  EXPECT_EQ(workload.cluster_id(), "c1");
  ASSERT_EQ(workload.addresses_size(), 1);
  EXPECT_EQ(workload.addresses(0), Ip("10.0.0.5").ToBytes());
}

TEST(ToWorkloadTest, IsHealthyWhileItIsReadyAndNotToldToEnd) {
  Pod pod = MakePod();
  EXPECT_EQ(Convert(pod).status(), istio::workload::HEALTHY);
  pod.terminating = true;
  EXPECT_EQ(Convert(pod).status(), istio::workload::UNHEALTHY);
  pod.terminating = false;
  pod.ready = false;
  EXPECT_EQ(Convert(pod).status(), istio::workload::UNHEALTHY);
}

TEST(ToWorkloadTest, IsReachedByWhatWasPutIntoIt) {
  Pod pod = MakePod();
  EXPECT_EQ(Convert(pod).tunnel_protocol(), istio::workload::NONE);
  pod.injected = true;
  EXPECT_EQ(Convert(pod).tunnel_protocol(), istio::workload::HBONE);
}

// Whose CA is another one, both ends would refuse all but plaintext.
TEST(ToWorkloadTest, APodOfIstiosIsReachedAsItsMeshDoesOnlyWhereRootsAreShared) {
  KubernetesMesh sharing = Mesh();
  sharing.istio_peers = true;
  const auto expect = [&sharing](const Pod& pod, istio::workload::TunnelProtocol shared,
                                 istio::workload::TunnelProtocol otherwise) {
    EXPECT_EQ(Convert(pod, nullptr, nullptr, {}, sharing).tunnel_protocol(), shared);
    EXPECT_EQ(Convert(pod).tunnel_protocol(), otherwise);
  };
  Pod pod = MakePod();
  expect(pod, istio::workload::NONE, istio::workload::NONE);
  pod.annotations = {{"ambient.istio.io/redirection", "enabled"}};
  expect(pod, istio::workload::HBONE, istio::workload::NONE);
  pod.annotations = {{"ambient.istio.io/redirection", "disabled"}};
  expect(pod, istio::workload::NONE, istio::workload::NONE);
  pod.labels = {{"security.istio.io/tlsMode", "istio"}};
  expect(pod, istio::workload::LEGACY_ISTIO_MTLS, istio::workload::NONE);
  // A label that was left in the template of a pod that is ours.
  pod.injected = true;
  expect(pod, istio::workload::HBONE, istio::workload::HBONE);
}

TEST(ToWorkloadTest, IsWhereItsNodeIs) {
  const LabelledObject node{{"", "n1"},
                            {{"topology.kubernetes.io/region", "r"},
                             {"topology.kubernetes.io/zone", "z"},
                             {"topology.byrnie.io/subzone", "s"}}};
  const Workload workload = Convert(MakePod(), &node);
  EXPECT_EQ(workload.locality().region(), "r");
  EXPECT_EQ(workload.locality().zone(), "z");
  EXPECT_EQ(workload.locality().subzone(), "s");
  const LabelledObject old{{"", "n1"}, {{"failure-domain.beta.kubernetes.io/zone", "old"}}};
  EXPECT_EQ(Convert(MakePod(), &old).locality().zone(), "old");
  EXPECT_FALSE(Convert(MakePod()).has_locality());
}

TEST(ToWorkloadTest, IsInTheNetworkOfItsLabelThenOfItsNamespace) {
  Pod pod = MakePod();
  const LabelledObject ns{{"", "demo"}, {{"byrnie.io/network", "of-ns"}}};
  EXPECT_EQ(Convert(pod).network(), "");
  EXPECT_EQ(Convert(pod, nullptr, &ns).network(), "of-ns");
  pod.labels = {{"byrnie.io/network", "own"}};
  EXPECT_EQ(Convert(pod, nullptr, &ns).network(), "own");
}

TEST(ToWorkloadTest, HasACapacityWhereOneIsGiven) {
  const struct {
    const char* annotation;
    uint32_t capacity;
  } kCases[] = {{"7", 7}, {"0", 1}, {"-1", 1}, {"many", 1}, {"", 1}, {"2000000", 1}};
  for (const auto& test : kCases) {
    Pod pod = MakePod();
    pod.annotations = {{"byrnie.io/capacity", test.annotation}};
    EXPECT_EQ(Convert(pod).capacity().value(), test.capacity) << test.annotation;
  }
}

TEST(ToWorkloadTest, KnowsWhoMadeIt) {
  const struct {
    const char* kind;
    const char* name;
    istio::workload::WorkloadType type;
    const char* workload;
  } kCases[] = {
      {"", "", istio::workload::POD, "web-7d-x"},
      {"ReplicaSet", "web-7d", istio::workload::DEPLOYMENT, "web"},
      {"ReplicaSet", "bare", istio::workload::DEPLOYMENT, "bare"},
      {"StatefulSet", "db", istio::workload::DEPLOYMENT, "db"},
      {"Job", "import", istio::workload::JOB, "import"},
      {"Job", "import-3", istio::workload::JOB, "import-3"},
      {"Job", "nightly-28394820", istio::workload::CRONJOB, "nightly"},
  };
  for (const auto& test : kCases) {
    Pod pod = MakePod();
    pod.labels = {{"pod-template-hash", "7d"}};
    pod.owner_kind = test.kind;
    pod.owner_name = test.name;
    const Workload workload = Convert(pod);
    EXPECT_EQ(workload.workload_type(), test.type) << test.name;
    EXPECT_EQ(workload.workload_name(), test.workload) << test.name;
  }
}

TEST(ToWorkloadTest, ServesThePortsThatItsSlicesHave) {
  const KubeService service = MakeService();
  const EndpointSlice slice = MakeSlice();
  EndpointSlice v6 = slice;
  v6.name.name = "web-v6";
  const Workload workload =
      Convert(MakePod(), nullptr, nullptr, {{&service, &slice}, {&service, &v6}});
  ASSERT_EQ(workload.services().size(), 1u);
  const auto& ports = workload.services().at("demo/web.demo.svc.cluster.local").ports();
  ASSERT_EQ(ports.size(), 1);
  EXPECT_EQ(ports[0].service_port(), 80u);
  EXPECT_EQ(ports[0].target_port(), 8080u);
}

TEST(ToWorkloadTest, NamesThePoliciesThatSelectIt) {
  EXPECT_EQ(Convert(MakePod()).authorization_policies_size(), 1);
  EXPECT_EQ(Convert(MakePod()).authorization_policies(0), "demo/a");
}

TEST(SelectsTest, TakesPodsOfItsNamespaceWithAllOfItsLabels) {
  Pod pod = MakePod();
  pod.labels = {{"app", "web"}, {"tier", ""}};
  const auto selects = [&pod](const std::string& ns, Labels labels) {
    return Selects({{ns, "p"}, std::move(labels)}, pod);
  };
  EXPECT_TRUE(selects(pod.name.ns, {{"app", "web"}}));
  EXPECT_TRUE(selects(pod.name.ns, {{"app", "web"}, {"tier", ""}}));
  EXPECT_FALSE(selects(pod.name.ns, {{"app", "web"}, {"tier", "front"}}));
  EXPECT_FALSE(selects(pod.name.ns, {{"app", "web"}, {"zone", ""}}));
  EXPECT_FALSE(selects("other", {{"app", "web"}}));
}

TEST(ToWorkloadTest, IsNothingWithoutAnAddressOfItsOwn) {
  Pod pod = MakePod();
  EXPECT_FALSE(ToWorkload(pod, {}, nullptr, nullptr, {}, false, {}, Mesh()).has_value());
  pod.finished = true;
  EXPECT_FALSE(ToWorkload(pod, pod.ips, nullptr, nullptr, {}, false, {}, Mesh()).has_value());
  pod = MakePod();
  pod.host_network = true;
  EXPECT_FALSE(ToWorkload(pod, pod.ips, nullptr, nullptr, {}, false, {}, Mesh()).has_value());
}

TEST(ToAddressWorkloadTest, IsPlainTcp) {
  const KubeService service = MakeService();
  const EndpointSlice slice = MakeSlice();
  for (const char* address : {"192.0.2.1", "2001:db8::1"}) {
    const Workload workload =
        ToAddressWorkload(Ip(address), "n1", nullptr, {{&service, &slice}}, Mesh());
    EXPECT_THAT(CheckEntry(workload), IsOk());
    EXPECT_EQ(workload.tunnel_protocol(), istio::workload::NONE);
    EXPECT_EQ(workload.services().size(), 1u);
  }
}

TEST(ToServiceTest, HasItsNameAddressesAndPorts) {
  KubeService from = MakeService();
  from.cluster_ips.push_back(Ip("fd00:1::7"));
  const auto service = ToService(from, Mesh());
  ASSERT_TRUE(service.has_value());
  EXPECT_THAT(CheckEntry(*service), IsOk());
  EXPECT_EQ(ServiceKey(*service), ServiceKeyOf(from.name, Mesh()));
  EXPECT_EQ(service->hostname(), "web.demo.svc.cluster.local");
  EXPECT_EQ(service->addresses_size(), 2);
  EXPECT_EQ(service->ports_size(), 2);
  EXPECT_FALSE(service->has_load_balancing());
}

TEST(ToServiceTest, IsNothingWithoutATcpPortOrForANameElsewhere) {
  KubeService service = MakeService();
  service.ports.clear();
  EXPECT_FALSE(ToService(service, Mesh()).has_value());
  service = MakeService();
  service.external_name = true;
  EXPECT_FALSE(ToService(service, Mesh()).has_value());
}

TEST(ToServiceTest, PrefersTheEndpointsThatKubernetesWould) {
  KubeService from = MakeService();
  from.distribution = "PreferClose";
  from.publish_not_ready = true;
  auto service = ToService(from, Mesh());
  EXPECT_THAT(CheckEntry(*service), IsOk());
  EXPECT_EQ(service->load_balancing().mode(), LoadBalancing::FAILOVER);
  EXPECT_EQ(service->load_balancing().health_policy(), LoadBalancing::ALLOW_ALL);
  from.node_local = true;
  service = ToService(from, Mesh());
  EXPECT_THAT(CheckEntry(*service), IsOk());
  EXPECT_EQ(service->load_balancing().mode(), LoadBalancing::STRICT);
  ASSERT_EQ(service->load_balancing().routing_preference_size(), 1);
  EXPECT_EQ(service->load_balancing().routing_preference(0), LoadBalancing::NODE);
  from = MakeService();
  from.distribution = "SomethingNew";
  EXPECT_FALSE(ToService(from, Mesh())->has_load_balancing());
}

}  // namespace
}  // namespace byrnie
