#include "controlplane/registry/kubernetes/kubernetes_source.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "controlplane/kubernetes/testing/fake_informer.h"
#include "controlplane/registry/kubernetes/testing/cluster_objects.h"
#include "controlplane/registry/resource.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class KubernetesSourceTest : public ::testing::Test {
 protected:
  KubernetesSourceTest()
      : source_(Mesh(), {&pods_, &services_, &slices_, &nodes_, &namespaces_, &policies_}, &loop_,
                &sources_, &logger_, &metrics_) {}
  static KubernetesMesh Mesh() {
    KubernetesMesh mesh;
    mesh.trust_domain = "td";
    return mesh;
  }
  void SyncWith(std::vector<Pod> pods) {
    slices_.Set({SliceOf("web", pods)});
    pods_.Set(std::move(pods));
    services_.Set({ServiceOf("web", "10.96.0.1")});
    namespaces_.Set({});
    nodes_.Set({});
    Settle();
    // A pod without the policies that select it would let in whom they keep out.
    EXPECT_FALSE(source_.ready());
    policies_.Set({});
    Settle();
  }
  void Settle() { loop_.AdvanceTime(KubernetesSource::kGather); }
  const Resource* At(absl::string_view alias) { return sources_.snapshot()->AtAddress(alias); }
  std::string NameAt(absl::string_view alias) {
    const Resource* const found = At(alias);
    return found == nullptr ? "" : found->name;
  }
  // As an operator would apply it.
  void ApplyVirtualMachine(const std::string& ip, const std::string& service = "") {
    istio::workload::Workload workload;
    workload.set_uid("vm");
    workload.set_name("vm");
    workload.set_namespace_("vms");
    workload.set_service_account("vm");
    workload.set_trust_domain("td");
    workload.add_addresses(IpOf(ip).ToBytes());
    if (!service.empty()) {
      istio::workload::Port* port = (*workload.mutable_services())[service].add_ports();
      port->set_service_port(80);
      port->set_target_port(8080);
    }
    RegistryContent content;
    content.workloads.push_back(workload);
    ASSERT_THAT(sources_.Set(RegistrySource::kApiEntries, content), IsOk());
  }

  ManualEventLoop loop_;
  Logger logger_{STDERR_FILENO, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  Registry registry_;
  RegistrySources sources_{&registry_};
  FakeInformer<Pod> pods_;
  FakeInformer<KubeService> services_;
  FakeInformer<EndpointSlice> slices_;
  FakeInformer<LabelledObject> nodes_, namespaces_;
  FakeInformer<PolicySelector> policies_;
  KubernetesSource source_;
};

TEST_F(KubernetesSourceTest, PublishesNothingOfHalfACluster) {
  pods_.Set({PodOf("a", "10.0.0.1")});
  services_.Set({});
  Settle();
  EXPECT_EQ(sources_.snapshot()->workload_count(), 0u);
  EXPECT_FALSE(source_.ready());
}

TEST_F(KubernetesSourceTest, PublishesTheClusterAndFollowsIt) {
  SyncWith({PodOf("a", "10.0.0.1")});
  EXPECT_TRUE(source_.ready());
  EXPECT_EQ(NameAt("/10.0.0.1"), "//Pod/demo/a");
  EXPECT_EQ(NameAt("/10.96.0.1"), "demo/web.demo.svc.cluster.local");
  pods_.Set({PodOf("b", "10.0.0.1")});
  EXPECT_EQ(NameAt("/10.0.0.1"), "//Pod/demo/a");
  Settle();
  EXPECT_EQ(NameAt("/10.0.0.1"), "//Pod/demo/b");
  services_.Set({});
  Settle();
  EXPECT_EQ(NameAt("/10.96.0.1"), "");
}

TEST_F(KubernetesSourceTest, PublishesOnceForManyChanges) {
  SyncWith({});
  int published = 0;
  registry_.SetListener([&published] { ++published; });
  for (int i = 1; i < 50; ++i) {
    pods_.Put(PodOf(absl::StrCat("p", i), absl::StrCat("10.0.0.", i)));
  }
  Settle();
  EXPECT_EQ(published, 1);
  EXPECT_EQ(sources_.snapshot()->workload_count(), 49u);
  registry_.SetListener(nullptr);
}

TEST_F(KubernetesSourceTest, LeavesOutAloneWhatIsAnotherSources) {
  ApplyVirtualMachine("10.0.0.2");
  SyncWith({PodOf("a", "10.0.0.1"), PodOf("b", "10.0.0.2")});
  EXPECT_EQ(NameAt("/10.0.0.1"), "//Pod/demo/a");
  EXPECT_EQ(NameAt("/10.0.0.2"), "vm");
  EXPECT_EQ(sources_.snapshot()->Find(ResourceType::kAddress, "//Pod/demo/b"), nullptr);
  // The operator takes it away.
  ASSERT_THAT(sources_.Set(RegistrySource::kApiEntries, RegistryContent()), IsOk());
  loop_.AdvanceTime(KubernetesSource::kTryAgain);
  EXPECT_EQ(NameAt("/10.0.0.2"), "//Pod/demo/b");
}

TEST_F(KubernetesSourceTest, DoesNotKeepAnAddressThatAPodHasNoMore) {
  SyncWith({PodOf("a", "10.0.0.1")});
  ApplyVirtualMachine("10.0.0.2");
  // It moves to where it cannot be; where it was it is not either.
  Pod moved = PodOf("a", "10.0.0.2");
  moved.uid = "other";
  pods_.Put(moved);
  Settle();
  EXPECT_EQ(NameAt("/10.0.0.1"), "");
  EXPECT_EQ(NameAt("/10.0.0.2"), "vm");
}

TEST_F(KubernetesSourceTest, FollowsTheClusterWhereWhatIsStoredDoesNotGoWithIt) {
  SyncWith({});
  ApplyVirtualMachine("10.0.0.2", "demo/web.demo.svc.cluster.local");
  services_.Set({});
  Settle();
  EXPECT_EQ(NameAt("/10.96.0.1"), "");
  EXPECT_EQ(NameAt("/10.0.0.2"), "vm");
  EXPECT_EQ(sources_.troubles().size(), 1u);
  services_.Set({ServiceOf("web", "10.96.0.1")});
  Settle();
  EXPECT_TRUE(sources_.troubles().empty());
}

TEST_F(KubernetesSourceTest, LeavesOutAServiceWithoutTheWorkloadsBehindIt) {
  ApplyVirtualMachine("10.96.0.1");
  SyncWith({PodOf("a", "10.0.0.1")});
  ASSERT_EQ(NameAt("/10.0.0.1"), "//Pod/demo/a");
  EXPECT_EQ(WorkloadOf(*At("/10.0.0.1")).services_size(), 0);
  ASSERT_THAT(sources_.Set(RegistrySource::kApiEntries, RegistryContent()), IsOk());
  loop_.AdvanceTime(KubernetesSource::kTryAgain);
  EXPECT_EQ(WorkloadOf(*At("/10.0.0.1")).services_size(), 1);
}

}  // namespace
}  // namespace byrnie
