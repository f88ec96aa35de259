#include "controlplane/registry/kubernetes/pod_directory.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
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
  EXPECT_EQ(directory.Find("a-uid").state, State::kHere);
  ASSERT_NE(directory.Find("a-uid").pod, nullptr);
  EXPECT_EQ(directory.Find("a-uid").pod->ips, a.ips);
  EXPECT_EQ(directory.Find("b-uid").state, State::kUnknown);
  a.ips = {IpOf("10.0.0.9")};
  pods.Put(a);
  EXPECT_EQ(directory.Find("a-uid").pod->ips, a.ips);
  a.uid = "other";
  pods.Put(a);
  EXPECT_EQ(directory.Find("a-uid").state, State::kGone);
  EXPECT_EQ(directory.Find("a-uid").pod, nullptr);
  EXPECT_EQ(directory.Find("other").state, State::kHere);
  a.finished = true;
  pods.Put(a);
  EXPECT_EQ(directory.Find("other").state, State::kGone);
  pods.Remove(a.name);
  EXPECT_EQ(directory.Find("other").state, State::kGone);
}

// Whoever looks begins with a list: a restart must not bring back what has ended.
TEST(PodDirectoryTest, APodThatIsListedAsFinishedIsGone) {
  PodDirectory directory;
  FakeInformer<Pod> pods;
  pods.AddListener([&](const Informer<Pod>::Changes& changes) { directory.OnPods(changes); });
  Pod done = PodOf("done", "10.0.0.1");
  done.finished = true;
  pods.Set({done, PodOf("runs", "10.0.0.2")});
  EXPECT_EQ(directory.Find("done-uid").state, State::kGone);
  EXPECT_EQ(directory.Find("runs-uid").state, State::kHere);
  pods.Remove(done.name);
  EXPECT_EQ(directory.Find("done-uid").state, State::kGone);
}

TEST(PodDirectoryTest, APodThatIsThereAfterAllIsHere) {
  PodDirectory directory;
  FakeInformer<Pod> pods;
  pods.AddListener([&](const Informer<Pod>::Changes& changes) { directory.OnPods(changes); });
  pods.Set({PodOf("a", "10.0.0.1")});
  pods.Set({});
  EXPECT_EQ(directory.Find("a-uid").state, State::kGone);
  // The API server had lost it for a while.
  pods.Set({PodOf("a", "10.0.0.1")});
  EXPECT_EQ(directory.Find("a-uid").state, State::kHere);
}

// Those that have gone are forgotten one day, those that are there are not.
TEST(PodDirectoryTest, RemembersAFinishedPodForAsLongAsItIsListed) {
  PodDirectory directory;
  Informer<Pod>::Changes changes;
  const auto pod = [](absl::string_view name, bool finished) {
    Pod made = PodOf(std::string(name), "10.0.0.1");
    made.finished = finished;
    return std::make_shared<const Pod>(std::move(made));
  };
  directory.OnPods({{ObjectName{"demo", "done"}, nullptr, pod("done", true)}});
  for (size_t i = 0; i <= PodDirectory::kMaxGone; ++i) {
    changes.push_back({ObjectName{"demo", "x"}, pod(absl::StrCat("x", i), false), nullptr});
  }
  directory.OnPods(changes);
  EXPECT_EQ(directory.Find("x0-uid").state, State::kUnknown);
  EXPECT_EQ(directory.Find("x1-uid").state, State::kGone);
  EXPECT_EQ(directory.Find("done-uid").state, State::kGone);
}

}  // namespace
}  // namespace byrnie
