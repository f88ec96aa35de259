#include "deploy/injector/pull_secrets.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status_matchers.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"
#include "deploy/injector/pod_injection.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = PodOutcome::Kind;

// A pod of one container, with more in its spec.
Json Pod(absl::string_view spec = "") {
  const std::string text =
      absl::StrCat(R"({"spec":{)", spec, R"("containers":[{"name":"app","image":"x"}]}})");
  absl::StatusOr<Json> pod = ParseJson(text, text.size());
  EXPECT_THAT(pod, IsOk());
  return pod.value_or(Json(nullptr));
}

std::vector<std::string> Names(const Json& pod) {
  std::vector<std::string> names;
  for (const Json& secret : ItemsOf(pod["spec"], kPullSecrets)) {
    names.push_back(TextOf(secret, "name"));
  }
  return names;
}

TEST(PullSecretsTest, AreAddedToThePodsOwnAndTakenOutAgain) {
  InjectorConfig config;
  config.image_pull_secrets = {"mesh", "shared"};
  const Json before = Pod(R"("imagePullSecrets":[{"name":"own"},{"name":"shared"}],)");
  Json pod = before;
  ASSERT_OK_AND_ASSIGN(PodOutcome outcome, InjectPod(config, &pod));
  EXPECT_FALSE(outcome.first_pull_secrets);
  EXPECT_THAT(Names(pod), ElementsAre("own", "shared", "mesh"));
  ASSERT_OK_AND_ASSIGN(outcome, InjectPod(config, &pod));
  EXPECT_EQ(outcome.kind, Kind::kUnchanged);
  // Of another configuration, others.
  InjectorConfig other;
  other.image_pull_secrets = {"new"};
  ASSERT_OK_AND_ASSIGN(outcome, InjectPod(other, &pod));
  EXPECT_EQ(outcome.kind, Kind::kUpdated);
  EXPECT_THAT(Names(pod), ElementsAre("own", "shared", "new"));
  EXPECT_TRUE(UninjectPod(&pod));
  EXPECT_TRUE(SameJson(pod["spec"], before["spec"])) << ToText(pod);
}

TEST(PullSecretsTest, GoWithTheSidecarOfAPodThatHadNone) {
  InjectorConfig config;
  config.image_pull_secrets = {"mesh"};
  Json pod = Pod();
  ASSERT_OK_AND_ASSIGN(PodOutcome outcome, InjectPod(config, &pod));
  EXPECT_TRUE(outcome.first_pull_secrets);
  EXPECT_THAT(Names(pod), ElementsAre("mesh"));
  // Another webhook has put it on the node's network by the second look.
  pod["spec"]["hostNetwork"] = true;
  ASSERT_OK_AND_ASSIGN(outcome, InjectPod(config, &pod));
  EXPECT_TRUE(outcome.taken_out);
  EXPECT_EQ(Find(pod["spec"], "imagePullSecrets"), nullptr);
}

TEST(PullSecretsTest, AreRefusedWhereTheyAreNoList) {
  Json pod = Pod(R"("imagePullSecrets":{"name":"own"},)");
  EXPECT_THAT(InjectPod(InjectorConfig(), &pod),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("imagePullSecrets")));
}

}  // namespace
}  // namespace byrnie
