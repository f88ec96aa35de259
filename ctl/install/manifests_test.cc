#include "ctl/install/manifests.h"

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr char kPods[] = R"(
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      initContainers: [{name: first, image: "other:1"}]
      containers: [{name: web, image: "web:0"}, {name: port, image: "registry:5000/web:2@sha256:aa"}]
---
# Nothing.
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
)";

class RenderTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<Json>> Render(const std::string& overlay) const {
    return RenderOverlay(
        [this](const std::string& path) -> absl::StatusOr<std::string> {
          const auto found = files_.find(path);
          if (found != files_.end()) return found->second;
          return absl::NotFoundError(absl::StrCat("there is no ", path));
        },
        overlay);
  }
  std::map<std::string, std::string> files_ = {
      {"base/kustomization.yaml", "resources: [pods.yaml]\n"},
      {"base/pods.yaml", kPods},
      {"top/kustomization.yaml",
       "resources: [../base, extra.yaml]\nimages: [{name: web, newName: mine/web, newTag: '3'}]\n"},
      {"top/extra.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: extra}}"}};
};

TEST_F(RenderTest, TakesResourcesInTheirOrderAndFoldersOfThem) {
  ASSERT_OK_AND_ASSIGN(const std::vector<Json> objects, Render("top"));
  ASSERT_EQ(objects.size(), 3u);
  EXPECT_EQ(TextOf(objects[0], "kind"), "Deployment");
  EXPECT_EQ(TextOf(objects[1], "kind"), "ConfigMap");
  EXPECT_EQ(TextOf(objects[2], "kind"), "Namespace");
}

TEST_F(RenderTest, TakesFoldersUnderTheirOlderName) {
  files_["top/kustomization.yaml"] = "resources: [extra.yaml]\nbases: [../base]\n";
  ASSERT_OK_AND_ASSIGN(const std::vector<Json> objects, Render("top"));
  ASSERT_EQ(objects.size(), 3u);
  EXPECT_EQ(TextOf(objects[0], "kind"), "Deployment");
  EXPECT_EQ(TextOf(objects[2], "kind"), "Namespace");
}

TEST_F(RenderTest, ChangesImagesByTheirNameAlone) {
  ASSERT_OK_AND_ASSIGN(std::vector<Json> objects, Render("top"));
  std::vector<std::string> images;
  for (const Json* container : ContainersOf(&objects[0])) {
    images.push_back(TextOf(*container, "image"));
  }
  EXPECT_THAT(images,
              ::testing::ElementsAre("other:1", "mine/web:3", "registry:5000/web:2@sha256:aa"));
  files_["top/kustomization.yaml"] =
      "resources: [../base]\nimages: [{name: 'registry:5000/web', digest: 'sha256:bb'}, "
      "{name: web, newName: other}]\n";
  ASSERT_OK_AND_ASSIGN(objects, Render("top"));
  images.clear();
  for (const Json* container : ContainersOf(&objects[0])) {
    images.push_back(TextOf(*container, "image"));
  }
  EXPECT_THAT(images, ::testing::ElementsAre("other:1", "other:0", "registry:5000/web@sha256:bb"));
}

TEST_F(RenderTest, RefusesWhatItWouldHaveToIgnore) {
  const struct {
    const char* path;
    const char* text;
    const char* message;
  } kCases[] = {
      {"top/kustomization.yaml", "namePrefix: a-\n", "namePrefix"},
      {"top/kustomization.yaml", "resources: [../../etc/passwd.yaml]\n", "outside"},
      {"top/kustomization.yaml", "resources: [/etc/passwd.yaml]\n", "outside"},
      {"top/kustomization.yaml", "resources: [../top]\n", "without end"},
      {"top/kustomization.yaml", "resources: [1]\n", "no name"},
      {"top/kustomization.yaml", "images: [{name: web, newTag: 3}]\n", "without quotes"},
      {"top/kustomization.yaml", "a: 1\n---\nb: 1\n", "exactly one"},
      {"top/extra.yaml", "kind: X\n", "top/extra.yaml"},
      {"top/extra.yaml", "a: b: c\n", "top/extra.yaml"},
  };
  for (const auto& test : kCases) {
    const std::string before = files_[test.path];
    files_[test.path] = test.text;
    EXPECT_THAT(Render("top"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(test.message)))
        << test.text;
    files_[test.path] = before;
  }
  EXPECT_THAT(Render("nowhere"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(EmbeddedManifestsTest, AreTheOverlaysOfThisRelease) {
  for (const char* overlay : {"sqlite", "etcd"}) {
    ASSERT_OK_AND_ASSIGN(std::vector<Json> objects, RenderOverlay(ReadEmbeddedManifest, overlay));
    size_t containers = 0;
    for (Json& object : objects) containers += ContainersOf(&object).size();
    EXPECT_EQ(containers, 1u);
  }
  EXPECT_THAT(RenderOverlay(ReadEmbeddedManifest, "other"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace byrnie
