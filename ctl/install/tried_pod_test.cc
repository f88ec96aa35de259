#include "ctl/install/tried_pod.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/status_matchers.h"
#include "ctl/install/testing/fake_cluster.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kTrial[] = "dry-run POST /api/v1/namespaces/shop/pods";

std::string PodWith(const std::string& image, const std::string& revision) {
  return absl::StrCat(R"({"metadata": {"labels": {"byrnie.io/rev": ")", revision,
                      R"("}}, "spec": {"initContainers": [{"name": "byrnie-proxy", "image": ")",
                      image, R"("}], "containers": [{"name": "check", "image": "none"}]}})");
}

class TriedPodTest : public ::testing::Test {
 protected:
  TriedPodTest() {
    PutNamespace("shop", "true");
    config_.image = "mine:2";
  }
  void PutNamespace(const std::string& name, const std::string& inject) {
    Json ns = Json::object();
    ns["metadata"]["name"] = name;
    ns["metadata"]["labels"]["byrnie.io/inject"] = inject;
    cluster_.objects["/api/v1/namespaces/" + name] = ns;
  }
  absl::StatusOr<std::string> Awaited() {
    ASSIGN_OR_RETURN(NewPods pods, LookAtNewPods(&cluster_, config_));
    settled_ = pods.settled;
    return pods.awaited;
  }

  FakeCluster cluster_;
  InjectorConfig config_;
  bool settled_ = false;
};

TEST_F(TriedPodTest, WaitsUntilNewPodsGetTheNewSidecar) {
  cluster_.answers[kTrial] = {201, PodWith("mine:1", "default")};
  EXPECT_THAT(Awaited(), IsOkAndHolds(AllOf(HasSubstr("shop"), HasSubstr("mine:1"))));
  EXPECT_FALSE(settled_);
  cluster_.answers[kTrial] = {201, PodWith("mine:2", "default")};
  EXPECT_THAT(Awaited(), IsOkAndHolds(""));
  EXPECT_TRUE(settled_);
  config_.revision = "0-2";
  EXPECT_THAT(Awaited(), IsOkAndHolds(HasSubstr("mine:2")));
  EXPECT_EQ(cluster_.Changes(), 0u);
}

TEST_F(TriedPodTest, ADefaultOfTheAnnotationIsThePodsImage) {
  config_.defaults["image"] = "other:3";
  cluster_.answers[kTrial] = {201, PodWith("other:3", "default")};
  EXPECT_THAT(Awaited(), IsOkAndHolds(""));
}

// It has the new configuration at once, and the control plane a minute or two later.
TEST_F(TriedPodTest, WaitsWhileThePolicyForPrivilegesRefusesPods) {
  cluster_.answers[kTrial] = {
      422, R"({"message": "pods \"byrnie-check-a\" is forbidden: ValidatingAdmissionPolicy )"
           R"('byrnie-privileges' with binding 'byrnie-privileges' denied request: no"})"};
  EXPECT_THAT(Awaited(),
              IsOkAndHolds(AllOf(HasSubstr("a new pod of shop is refused by the policy "
                                           "byrnie-privileges"),
                                 HasSubstr("minute or two"), HasSubstr("denied request: no"))));
  EXPECT_FALSE(settled_);
}

TEST_F(TriedPodTest, WaitsForNothingThatItCannotSee) {
  cluster_.answers[kTrial] = {403, R"({"message": "quota"})"};
  EXPECT_THAT(Awaited(), IsOkAndHolds(""));
  EXPECT_FALSE(settled_);
  // One that is not meshed for another reason.
  cluster_.answers[kTrial] = {201, R"({"metadata": {"labels": {}}, "spec": {"containers": []}})"};
  EXPECT_THAT(Awaited(), IsOkAndHolds(""));
  cluster_.answers[kTrial] = {500, R"({"message": "failed calling webhook"})"};
  EXPECT_THAT(Awaited(), StatusIs(absl::StatusCode::kUnavailable));
  cluster_.objects["/api/v1/namespaces/shop"]["metadata"]["deletionTimestamp"] = "now";
  PutNamespace("kube-system", "true");
  PutNamespace("other", "false");
  EXPECT_THAT(Awaited(), IsOkAndHolds(""));
  // There are no new pods.
  EXPECT_TRUE(settled_);
  cluster_.answers["GET /api/v1/namespaces"] = {403, R"({"message": "no"})"};
  EXPECT_THAT(Awaited(), IsOkAndHolds(""));
  EXPECT_FALSE(settled_);
}

}  // namespace
}  // namespace byrnie
