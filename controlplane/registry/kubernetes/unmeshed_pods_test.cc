#include "controlplane/registry/kubernetes/unmeshed_pods.h"

#include <unistd.h>

#include <string>

#include "controlplane/kubernetes/testing/fake_informer.h"
#include "controlplane/registry/kubernetes/testing/cluster_objects.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

LabelledObject Namespace(const std::string& name, const std::string& inject) {
  return {{"", name}, {{"byrnie.io/inject", inject}}};
}

Pod Bare(const std::string& name) {
  Pod pod = PodOf(name, "10.0.0.1");
  pod.injected = false;
  return pod;
}

class UnmeshedPodsTest : public ::testing::Test {
 protected:
  FakeInformer<Pod> pods_;
  FakeInformer<LabelledObject> namespaces_;
  Logger logger_{STDERR_FILENO, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  UnmeshedPods unmeshed_{&pods_, &namespaces_, false, &logger_, &metrics_};
};

TEST_F(UnmeshedPodsTest, AreThoseOfMeshedNamespacesWithoutASidecar) {
  Pod elsewhere = Bare("x");
  elsewhere.name.ns = "plain";
  pods_.Set({PodOf("good", "10.0.0.2"), Bare("old"), Bare("older"), elsewhere});
  EXPECT_THAT(unmeshed_.names(), IsEmpty()) << "no namespace is known yet";
  namespaces_.Set({Namespace("demo", "true"), Namespace("plain", "false")});
  EXPECT_THAT(unmeshed_.names(), ElementsAre("demo/old", "demo/older"));
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr("unmeshed_pods 2\n"));
}

TEST_F(UnmeshedPodsTest, AreNamedWithWhatTheWebhookHasSaidOfThem) {
  namespaces_.Set({Namespace("demo", "true")});
  Pod refused = Bare("refused");
  refused.annotations["byrnie.io/not-injected"] = "it has hostNetwork";
  Pod talkative = Bare("talkative");
  talkative.annotations["byrnie.io/not-injected"] = std::string(5000, 'x');
  pods_.Set({Bare("old"), refused, talkative});
  EXPECT_THAT(unmeshed_.names(), ElementsAre("demo/old", "demo/refused (it has hostNetwork)",
                                             "demo/talkative (" + std::string(120, 'x') + ")"));
}

TEST_F(UnmeshedPodsTest, AreNotThoseThatOptOutOrEnd) {
  namespaces_.Set({Namespace("demo", "true")});
  Pod label = Bare("label"), annotation = Bare("annotation"), done = Bare("done"),
      ending = Bare("ending");
  label.labels["byrnie.io/inject"] = "false";
  annotation.annotations["byrnie.io/inject"] = "false";
  done.finished = true;
  ending.terminating = true;
  pods_.Set({label, annotation, done, ending});
  EXPECT_THAT(unmeshed_.names(), IsEmpty());
  EXPECT_THAT(unmeshed_.opted_out(), ElementsAre("demo/annotation", "demo/label"));
}

// Whoever makes a pod can write that on it, and so hide it.
TEST_F(UnmeshedPodsTest, AreAmongThoseOptedOutWhereTheySayThatTheyAreIstios) {
  namespaces_.Set({Namespace("demo", "true")});
  Pod ambient = Bare("ambient"), both = Bare("both"), was = Bare("was");
  ambient.annotations["ambient.istio.io/redirection"] = "enabled";
  both.annotations = ambient.annotations;
  both.labels["byrnie.io/inject"] = "false";
  was.annotations["ambient.istio.io/redirection"] = "disabled";
  pods_.Set({ambient, both, was});
  EXPECT_THAT(unmeshed_.names(), ElementsAre("demo/was"));
  EXPECT_THAT(
      unmeshed_.opted_out(),
      ElementsAre("demo/ambient (is in Istio's ambient mesh, by its own annotation)", "demo/both"));
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr("unmeshed_pods 1\n"));
}

// Where the namespace has Istio's label the pod is marked when its sidecar is in it already.
TEST_F(UnmeshedPodsTest, AreThoseThatIstioHasTakenOverBesideTheirSidecar) {
  namespaces_.Set({Namespace("demo", "true")});
  Pod both = PodOf("both", "10.0.0.2"), out = PodOf("out", "10.0.0.3");
  pods_.Set({both});
  EXPECT_THAT(unmeshed_.names(), IsEmpty());
  both.annotations["ambient.istio.io/redirection"] = "enabled";
  out.annotations = both.annotations;
  out.labels["byrnie.io/inject"] = "false";
  pods_.Set({both, out});
  EXPECT_THAT(unmeshed_.names(), ElementsAre(HasSubstr("demo/both (is in Istio's ambient mesh, ")));
  EXPECT_THAT(unmeshed_.opted_out(), ElementsAre(HasSubstr("demo/out")));
  both.annotations.clear();
  pods_.Set({both, out});
  EXPECT_THAT(unmeshed_.names(), IsEmpty());
}

TEST_F(UnmeshedPodsTest, AreNotIstiosWhereThoseArePeers) {
  MetricRegistry metrics;
  const UnmeshedPods with_peers(&pods_, &namespaces_, true, &logger_, &metrics);
  namespaces_.Set({Namespace("demo", "true")});
  Pod ambient = Bare("ambient"), out = Bare("out");
  ambient.annotations["ambient.istio.io/redirection"] = "enabled";
  out.labels["byrnie.io/inject"] = "false";
  pods_.Set({ambient, out});
  EXPECT_THAT(with_peers.names(), IsEmpty());
  EXPECT_THAT(with_peers.opted_out(), ElementsAre("demo/out"));
}

TEST_F(UnmeshedPodsTest, ForgetWhoHadOptedOut) {
  namespaces_.Set({Namespace("demo", "true")});
  Pod out = Bare("out"), meshed = PodOf("meshed", "10.0.0.2");
  out.labels["byrnie.io/inject"] = "false";
  pods_.Set({out, meshed});
  EXPECT_THAT(unmeshed_.opted_out(), ElementsAre("demo/out"));
  out.labels.clear();
  pods_.Set({out, meshed});
  EXPECT_THAT(unmeshed_.opted_out(), IsEmpty());
  EXPECT_THAT(unmeshed_.names(), ElementsAre("demo/out"));
}

TEST_F(UnmeshedPodsTest, FollowPodsAndTheLabelsOfNamespaces) {
  namespaces_.Set({Namespace("demo", "true")});
  pods_.Set({Bare("a")});
  pods_.Put(Bare("b"));
  EXPECT_THAT(unmeshed_.names(), ElementsAre("demo/a", "demo/b"));
  // Made anew, with a sidecar.
  pods_.Put(PodOf("a", "10.0.0.3"));
  EXPECT_THAT(unmeshed_.names(), ElementsAre("demo/b"));
  namespaces_.Put(Namespace("demo", "false"));
  EXPECT_THAT(unmeshed_.names(), IsEmpty());
  namespaces_.Put(Namespace("demo", "true"));
  EXPECT_THAT(unmeshed_.names(), ElementsAre("demo/b"));
  pods_.Remove({"demo", "b"});
  EXPECT_THAT(unmeshed_.names(), IsEmpty());
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr("unmeshed_pods 0\n"));
}

// The webhook is not asked about it, and whoever makes a pod can call a container like ours.
TEST_F(UnmeshedPodsTest, OptOutWhateverTheirContainersAreCalled) {
  namespaces_.Set({Namespace("demo", "true")});
  Pod pretender = PodOf("pretender", "10.0.0.2");
  pretender.labels["byrnie.io/inject"] = "false";
  pods_.Set({pretender});
  EXPECT_THAT(unmeshed_.names(), IsEmpty());
  EXPECT_THAT(unmeshed_.opted_out(),
              ElementsAre("demo/pretender (and has a container called byrnie-proxy all the same)"));
}

// As the labels of other meshes are written.
TEST_F(UnmeshedPodsTest, AreThoseOfNamespacesWhoseLabelSaysNothingThatIsKnown) {
  namespaces_.Set({Namespace("demo", "enabled")});
  pods_.Set({Bare("a")});
  EXPECT_THAT(unmeshed_.names(), ElementsAre(AllOf(HasSubstr("demo/a"), HasSubstr("\"enabled\""))));
  namespaces_.Put(Namespace("demo", "true"));
  EXPECT_THAT(unmeshed_.names(), ElementsAre("demo/a"));
  namespaces_.Put(Namespace("demo", "false"));
  EXPECT_THAT(unmeshed_.names(), IsEmpty());
}

}  // namespace
}  // namespace byrnie
