#include "controlplane/registry/kubernetes/registry_model.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controlplane/kubernetes/testing/fake_informer.h"
#include "controlplane/registry/kubernetes/testing/cluster_objects.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A cluster whose informers feed a model, and what its updates come to, as text.
class Cluster {
 public:
  Cluster() : model_(Mesh()) {
    pods_.AddListener([this](const auto& changes) { model_.OnPods(changes); });
    services_.AddListener([this](const auto& changes) { model_.OnServices(changes); });
    slices_.AddListener([this](const auto& changes) { model_.OnSlices(changes); });
    nodes_.AddListener([this](const auto& changes) { model_.OnNodes(changes); });
    namespaces_.AddListener([this](const auto& changes) { model_.OnNamespaces(changes); });
    policies_.AddListener([this](const auto& changes) { model_.OnPolicies(changes); });
  }
  static KubernetesMesh Mesh() {
    KubernetesMesh mesh;
    mesh.trust_domain = "td";
    return mesh;
  }

  // What is there now: "//Pod/demo/a 10.0.0.1 healthy web:8080".
  std::vector<std::string> Workloads() {
    RegistryModel::Update update = model_.TakeUpdate();
    for (auto& [key, workload] : update.workloads) {
      if (workload == nullptr) {
        there_.erase(key);
        continue;
      }
      std::vector<std::string> parts = {key};
      for (const std::string& address : workload->addresses()) {
        parts.push_back(IpAddress::FromBytes(address)->ToString());
      }
      if (workload->status() != istio::workload::HEALTHY) parts.push_back("unhealthy");
      std::map<std::string, std::string> services;
      for (const auto& [service, ports] : workload->services()) {
        services[service] =
            absl::StrCat(service.substr(0, service.find('.')), ":", ports.ports(0).target_port());
      }
      for (const auto& entry : services) parts.push_back(entry.second);
      if (workload->has_locality()) parts.push_back(workload->locality().zone());
      for (const std::string& policy : workload->authorization_policies()) parts.push_back(policy);
      there_[key] = absl::StrJoin(parts, " ");
    }
    services_touched_ = update.services.size();
    touched_ = update.workloads.size();
    std::vector<std::string> all;
    for (const auto& entry : there_) all.push_back(entry.second);
    return all;
  }

  FakeInformer<Pod> pods_;
  FakeInformer<KubeService> services_;
  FakeInformer<EndpointSlice> slices_;
  FakeInformer<LabelledObject> nodes_, namespaces_;
  FakeInformer<PolicySelector> policies_;
  RegistryModel model_;
  std::map<std::string, std::string> there_;
  size_t touched_ = 0, services_touched_ = 0;
};

TEST(RegistryModelTest, JoinsPodsWithTheirServices) {
  Cluster cluster;
  const Pod a = PodOf("a", "10.0.0.1"), b = PodOf("b", "10.0.0.2");
  cluster.pods_.Set({a, b});
  cluster.services_.Set({ServiceOf("web", "10.96.0.1")});
  cluster.slices_.Set({SliceOf("web", {a})});
  EXPECT_THAT(cluster.Workloads(),
              ElementsAre("//Pod/demo/a 10.0.0.1 demo/web:8080", "//Pod/demo/b 10.0.0.2"));
}

TEST(RegistryModelTest, DoesNotMindTheOrderInWhichThingsCome) {
  const Pod a = PodOf("a", "10.0.0.1");
  std::vector<int> order = {0, 1, 2};
  do {
    Cluster cluster;
    for (const int step : order) {
      if (step == 0) cluster.pods_.Set({a});
      if (step == 1) cluster.services_.Set({ServiceOf("web", "10.96.0.1")});
      if (step == 2) cluster.slices_.Set({SliceOf("web", {a})});
      cluster.Workloads();
    }
    EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1 demo/web:8080"));
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(RegistryModelTest, DoesNotGiveTheServicesOfAPodToTheNextAtItsAddress) {
  Cluster cluster;
  const Pod old = PodOf("old", "10.0.0.1");
  cluster.pods_.Set({old});
  cluster.services_.Set({ServiceOf("payments", "10.96.0.1")});
  cluster.slices_.Set({SliceOf("payments", {old})});
  cluster.Workloads();
  // The slice is late.
  Pod next = PodOf("next", "10.0.0.1");
  cluster.pods_.Set({next});
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/next 10.0.0.1"));
}

TEST(RegistryModelTest, GivesAnAddressToThePodThatHasItNow) {
  Cluster cluster;
  const Pod old = PodOf("old", "10.0.0.1");
  cluster.pods_.Set({old});
  cluster.Workloads();
  // The new one is heard of before the end of the old one: younger wins.
  Pod next = PodOf("a-next", "10.0.0.1");
  next.created = old.created + absl::Seconds(5);
  cluster.pods_.Put(next);
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a-next 10.0.0.1"));
  // A pod on its way out has nothing against one that is not.
  next.terminating = true;
  cluster.pods_.Put(next);
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/old 10.0.0.1"));
  // And one that has ended claims nothing.
  Pod ended = old;
  ended.finished = true;
  cluster.pods_.Put(ended);
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a-next 10.0.0.1 unhealthy"));
}

TEST(RegistryModelTest, KnowsAPodOfTheSameNameForAnother) {
  Cluster cluster;
  Pod db = PodOf("db-0", "10.0.0.1");
  cluster.pods_.Set({db});
  cluster.services_.Set({ServiceOf("db", "10.96.0.1")});
  cluster.slices_.Set({SliceOf("db", {db})});
  cluster.Workloads();
  db.uid = "another";
  db.ips = {IpOf("10.0.0.7")};
  cluster.pods_.Set({db});
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/db-0 10.0.0.7"));
  cluster.slices_.Set({SliceOf("db", {db})});
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/db-0 10.0.0.7 demo/db:8080"));
}

TEST(RegistryModelTest, KeepsAPodThatIsTerminatingUntilItIsGone) {
  Cluster cluster;
  Pod a = PodOf("a", "10.0.0.1");
  cluster.pods_.Set({a});
  a.terminating = true;
  cluster.pods_.Put(a);
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1 unhealthy"));
  cluster.pods_.Remove(a.name);
  EXPECT_THAT(cluster.Workloads(), IsEmpty());
}

// As kube-proxy does: rather one that ends than none.
TEST(RegistryModelTest, APodThatEndsAndServesIsTheLastEndpointOfItsServices) {
  Cluster cluster;
  Pod a = PodOf("a", "10.0.0.1"), b = PodOf("b", "10.0.0.2");
  cluster.services_.Set({ServiceOf("one", "10.96.0.1"), ServiceOf("two", "10.96.0.2")});
  cluster.slices_.Set({SliceOf("one", {a}), SliceOf("two", {a, b})});
  a.terminating = true;
  cluster.pods_.Set({a, b});
  // It is not drawn for the service that has another one.
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1 demo/one:8080",
                                               "//Pod/demo/b 10.0.0.2 demo/two:8080"));
  // None is ready any more, and nothing has been said of a.
  b.ready = false;
  cluster.pods_.Put(b);
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1 demo/one:8080 demo/two:8080",
                                               "//Pod/demo/b 10.0.0.2 unhealthy demo/two:8080"));
  b.ready = true;
  b.terminating = true;
  cluster.pods_.Put(b);
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1 demo/one:8080 demo/two:8080",
                                               "//Pod/demo/b 10.0.0.2 demo/two:8080"));
  // What comes in their place is there alone.
  const Pod c = PodOf("c", "10.0.0.3");
  cluster.pods_.Put(c);
  cluster.slices_.Set({SliceOf("one", {a, c}), SliceOf("two", {a, b, c})});
  EXPECT_THAT(cluster.Workloads(),
              ElementsAre("//Pod/demo/a 10.0.0.1 unhealthy demo/one:8080 demo/two:8080",
                          "//Pod/demo/b 10.0.0.2 unhealthy demo/two:8080",
                          "//Pod/demo/c 10.0.0.3 demo/one:8080 demo/two:8080"));
}

// Whoever may write slices in one namespace says nothing of the pods of another.
TEST(RegistryModelTest, ASliceSpeaksOfPodsOfItsNamespaceAndOfAddressesThatTheyHave) {
  Cluster cluster;
  const Pod a = PodOf("a", "10.0.0.1");
  EndpointSlice stolen = SliceOf("web", {a}), elsewhere = SliceOf("web", {a});
  stolen.name.ns = "evil";
  elsewhere.endpoints[0].ips = {*IpAddress::Parse("9.9.9.9")};
  KubeService evil = ServiceOf("web", "10.96.0.2");
  evil.name.ns = "evil";
  cluster.services_.Set({ServiceOf("web", "10.96.0.1"), evil});
  cluster.pods_.Set({a});
  for (const EndpointSlice& slice : {stolen, elsewhere}) {
    cluster.slices_.Set({slice});
    EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1"));
  }
  cluster.slices_.Set({SliceOf("web", {a})});
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1 demo/web:8080"));
}

TEST(RegistryModelTest, APodThatEndsAndDoesNotServeIsNobodysLast) {
  Cluster cluster;
  Pod a = PodOf("a", "10.0.0.1");
  a.terminating = true;
  a.ready = false;
  cluster.services_.Set({ServiceOf("web", "10.96.0.1")});
  cluster.slices_.Set({SliceOf("web", {a})});
  cluster.pods_.Set({a});
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1 unhealthy demo/web:8080"));
}

// Others are of no use to clients of another node.
TEST(RegistryModelTest, TheLastEndpointOfANodeIsTheLastWhereTheServiceIsKeptThere) {
  Cluster cluster;
  Pod a = PodOf("a", "10.0.0.1"), b = PodOf("b", "10.0.0.2");
  b.node = "n2";
  a.terminating = true;
  cluster.pods_.Set({a, b});
  KubeService service = ServiceOf("web", "10.96.0.1");
  service.node_local = true;
  cluster.services_.Set({service});
  EndpointSlice slice = SliceOf("web", {a, b});
  slice.endpoints[0].node = a.node;
  slice.endpoints[1].node = b.node;
  cluster.slices_.Set({slice});
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1 demo/web:8080",
                                               "//Pod/demo/b 10.0.0.2 demo/web:8080"));
  service.node_local = false;
  cluster.services_.Set({service});
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1 unhealthy demo/web:8080",
                                               "//Pod/demo/b 10.0.0.2 demo/web:8080"));
}

TEST(RegistryModelTest, HasBothFamilies) {
  Cluster cluster;
  Pod a = PodOf("a", "10.0.0.1");
  a.ips.push_back(IpOf("fd00::1"));
  EndpointSlice v6 = SliceOf("web", {a});
  v6.name.name = "web-v6";
  v6.endpoints[0].ips = {IpOf("fd00::1")};
  cluster.pods_.Set({a});
  cluster.services_.Set({ServiceOf("web", "10.96.0.1")});
  cluster.slices_.Set({SliceOf("web", {a}), v6});
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1 fd00::1 demo/web:8080"));
}

TEST(RegistryModelTest, MakesOneWorkloadOfAHostWhosePodsShareItsAddress) {
  Cluster cluster;
  Pod x = PodOf("x", "192.0.2.1"), y = PodOf("y", "192.0.2.1");
  x.host_network = y.host_network = true;
  cluster.pods_.Set({x, y});
  cluster.services_.Set({ServiceOf("sx", "10.96.0.1"), ServiceOf("sy", "10.96.0.2")});
  cluster.slices_.Set({SliceOf("sx", {x}), SliceOf("sy", {y})});
  EXPECT_THAT(cluster.Workloads(),
              ElementsAre("//Address/192.0.2.1 192.0.2.1 demo/sx:8080 demo/sy:8080"));
  // One of them is not ready: its service does not lead there.
  x.ready = false;
  cluster.pods_.Put(x);
  cluster.slices_.Put(SliceOf("sx", {x}));
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Address/192.0.2.1 192.0.2.1 demo/sy:8080"));
  cluster.slices_.Remove({"demo", "sy-slice"});
  EXPECT_THAT(cluster.Workloads(), IsEmpty());
}

TEST(RegistryModelTest, KnowsAddressesOutsideTheCluster) {
  Cluster cluster;
  EndpointSlice slice = SliceOf("db", {});
  slice.endpoints = {{{IpOf("198.51.100.9")}, true, "", ""}};
  cluster.services_.Set({ServiceOf("db", "10.96.0.1")});
  cluster.slices_.Set({slice});
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Address/198.51.100.9 198.51.100.9 demo/db:8080"));
  // A pod gets it: its own from now on, with what leads there by address.
  cluster.pods_.Set({PodOf("a", "198.51.100.9")});
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 198.51.100.9 demo/db:8080"));
}

TEST(RegistryModelTest, TakesAwayWhatAServiceNoLongerHas) {
  Cluster cluster;
  const Pod a = PodOf("a", "10.0.0.1");
  cluster.pods_.Set({a});
  cluster.services_.Set({ServiceOf("web", "10.96.0.1")});
  cluster.slices_.Set({SliceOf("web", {a})});
  cluster.Workloads();
  KubeService service = ServiceOf("web", "10.96.0.1");
  service.ports = {{"other", 81}};
  cluster.services_.Put(service);
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1"));
  cluster.services_.Remove(service.name);
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1"));
  EXPECT_EQ(cluster.services_touched_, 1u);
}

TEST(RegistryModelTest, FollowsTheLabelsOfNodesAndNamespaces) {
  Cluster cluster;
  cluster.pods_.Set({PodOf("a", "10.0.0.1")});
  cluster.Workloads();
  cluster.nodes_.Set({{{"", "n1"}, {{"topology.kubernetes.io/zone", "z1"}}}});
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1 z1"));
  cluster.namespaces_.Set({{{"", "demo"}, {{"byrnie.io/network", "n"}}}});
  cluster.Workloads();
  EXPECT_EQ(cluster.touched_, 1u);
}

TEST(RegistryModelTest, TouchesOnlyWhatDependsOnAChange) {
  Cluster cluster;
  std::vector<Pod> pods;
  for (int i = 0; i < 200; ++i) {
    pods.push_back(PodOf(absl::StrCat("p", i), absl::StrCat("10.0.1.", i + 1)));
  }
  cluster.pods_.Set(pods);
  cluster.Workloads();
  pods[7].ready = false;
  cluster.pods_.Put(pods[7]);
  cluster.Workloads();
  // The pod, and its address.
  EXPECT_EQ(cluster.touched_, 2u);
}

// Whatever happens in whatever order, what is kept up is what would be made of it at once.
TEST(RegistryModelTest, IsWhatTheObjectsSayHoweverTheyCame) {
  std::mt19937 random(11);
  const auto pick = [&random](int n) { return static_cast<int>(random() % n); };
  Cluster cluster;
  for (int step = 0; step < 1500; ++step) {
    const std::string name = absl::StrCat("p", pick(5));
    switch (pick(6)) {
      case 0: {
        Pod pod = PodOf(name, absl::StrCat("10.0.0.", 1 + pick(3)));
        pod.uid = absl::StrCat("u", pick(6));
        for (const auto& entry : cluster.pods_.objects()) {
          if (entry.second->uid == pod.uid) pod.uid = absl::StrCat("u-", step);
        }
        pod.terminating = pick(3) == 0;
        pod.finished = pick(4) == 0;
        pod.host_network = pick(4) == 0;
        pod.created += absl::Seconds(pick(3));
        cluster.pods_.Put(pod);
        break;
      }
      case 1:
        cluster.pods_.Remove({"demo", name});
        break;
      case 2:
        cluster.services_.Put(ServiceOf(absl::StrCat("s", pick(2)), "10.96.0.1"));
        break;
      case 3:
        cluster.services_.Remove({"demo", absl::StrCat("s", pick(2))});
        break;
      default: {
        EndpointSlice slice = SliceOf(absl::StrCat("s", pick(2)), {});
        for (int i = pick(4); i > 0; --i) {
          std::string uid;
          if (pick(3) > 0 && !cluster.pods_.objects().empty()) {
            uid = cluster.pods_.objects().begin()->second->uid;
          }
          slice.endpoints.push_back(
              {{IpOf(absl::StrCat("10.0.0.", 1 + pick(3)))}, pick(3) > 0, uid, "n1"});
        }
        cluster.slices_.Put(slice);
      }
    }
    if (pick(3) > 0) continue;
    Cluster anew;
    const auto copy = [](const auto& from, auto* to) {
      for (const auto& entry : from.objects()) to->Put(*entry.second);
    };
    copy(cluster.slices_, &anew.slices_);
    copy(cluster.services_, &anew.services_);
    copy(cluster.pods_, &anew.pods_);
    ASSERT_EQ(cluster.Workloads(), anew.Workloads()) << "step " << step;
  }
}

TEST(RegistryModelTest, PodsNameThePoliciesThatSelectThem) {
  Cluster cluster;
  Pod a = PodOf("a", "10.0.0.1"), b = PodOf("b", "10.0.0.2");
  a.labels = {{"app", "a"}};
  b.labels = {{"app", "b"}};
  cluster.pods_.Set({a, b});
  cluster.policies_.Set({{{"demo", "p"}, {{"app", "a"}}}, {{"other", "q"}, {{"app", "a"}}}});
  EXPECT_THAT(cluster.Workloads(),
              ElementsAre("//Pod/demo/a 10.0.0.1 demo/p", "//Pod/demo/b 10.0.0.2"));
  // It selects others.
  cluster.policies_.Put({{"demo", "p"}, {{"app", "b"}}});
  EXPECT_THAT(cluster.Workloads(),
              ElementsAre("//Pod/demo/a 10.0.0.1", "//Pod/demo/b 10.0.0.2 demo/p"));
  // A pod gets another label.
  a.labels = {{"app", "b"}};
  cluster.pods_.Put(a);
  EXPECT_THAT(cluster.Workloads(),
              ElementsAre("//Pod/demo/a 10.0.0.1 demo/p", "//Pod/demo/b 10.0.0.2 demo/p"));
  cluster.policies_.Remove({"demo", "p"});
  EXPECT_THAT(cluster.Workloads(), ElementsAre("//Pod/demo/a 10.0.0.1", "//Pod/demo/b 10.0.0.2"));
}

TEST(RegistryModelTest, APolicyTouchesThoseAloneWhomItSelects) {
  Cluster cluster;
  Pod a = PodOf("a", "10.0.0.1");
  a.labels = {{"app", "a"}};
  cluster.pods_.Set({a, PodOf("b", "10.0.0.2")});
  cluster.Workloads();
  cluster.policies_.Set({{{"demo", "p"}, {{"app", "a"}}}});
  cluster.Workloads();
  EXPECT_EQ(cluster.touched_, 1u);
}

}  // namespace
}  // namespace byrnie
