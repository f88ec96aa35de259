#include "controlplane/registry/kubernetes/pod_directory.h"

#include "controlplane/kubernetes/testing/fake_informer.h"
#include "controlplane/registry/kubernetes/testing/cluster_objects.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using State = PodDirectory::State;

TEST(PodDirectoryTest, TellsAPodThatIsGoneFromOneNobodyKnows) {
  PodDirectory directory;
  FakeInformer<Pod> pods;
  pods.AddListener([&](const Informer<Pod>::Changes& changes) { directory.OnPods(changes); });
  Pod a = PodOf("a", "10.0.0.1");
  pods.Set({a});
  EXPECT_EQ(directory.Find("a-uid"), State::kHere);
  EXPECT_EQ(directory.Find("b-uid"), State::kUnknown);
  a.uid = "other";
  pods.Put(a);
  EXPECT_EQ(directory.Find("a-uid"), State::kGone);
  EXPECT_EQ(directory.Find("other"), State::kHere);
  a.finished = true;
  pods.Put(a);
  EXPECT_EQ(directory.Find("other"), State::kGone);
  pods.Remove(a.name);
  EXPECT_EQ(directory.Find("other"), State::kGone);
}

}  // namespace
}  // namespace byrnie
