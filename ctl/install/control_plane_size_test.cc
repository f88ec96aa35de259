#include "ctl/install/control_plane_size.h"

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/base/status_matchers.h"
#include "ctl/install/manifests.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

Json StatefulSet(const std::string& overlay = "sqlite") {
  const std::vector<Json> objects = *RenderOverlay(ReadEmbeddedManifest, overlay);
  for (const Json& object : objects) {
    if (TextOf(object, "kind") == "StatefulSet") return object;
  }
  return Json();
}

void ExpectSame(const ControlPlaneSize& a, const ControlPlaneSize& b) {
  EXPECT_EQ(a.memory_limit, b.memory_limit);
  EXPECT_EQ(a.memory_request, b.memory_request);
  EXPECT_EQ(a.cpu_request, b.cpu_request);
  EXPECT_EQ(a.volume_size, b.volume_size);
  EXPECT_EQ(a.storage_class, b.storage_class);
}

TEST(ControlPlaneSizeTest, IsTheManifestsWhereNothingIsSaid) {
  Json set = StatefulSet();
  const Json before = set;
  EXPECT_THAT(SetControlPlaneSize({}, &set), IsOk());
  EXPECT_TRUE(SameJson(set, before));
  ExpectSame(ReadControlPlaneSize(set), {"1Gi", "128Mi", "100m", "1Gi", ""});
  ExpectSame(ReadControlPlaneSize(StatefulSet("etcd")), {"1Gi", "128Mi", "100m", "", ""});
  ExpectSame(ReadControlPlaneSize(Json()), {});
}

TEST(ControlPlaneSizeTest, IsWhatWasAskedForAndReadAgain) {
  Json set = StatefulSet();
  const ControlPlaneSize size = {"4Gi", "2Gi", "500m", "10Gi", "fast"};
  EXPECT_THAT(CheckControlPlaneSize(size), IsOk());
  ASSERT_THAT(SetControlPlaneSize(size, &set), IsOk());
  ExpectSame(ReadControlPlaneSize(set), size);
}

TEST(ControlPlaneSizeTest, TakesALimitAway) {
  Json set = StatefulSet();
  const ControlPlaneSize none = {"none", "none", "none", "", ""};
  EXPECT_THAT(CheckControlPlaneSize(none), IsOk());
  ASSERT_THAT(SetControlPlaneSize(none, &set), IsOk());
  ExpectSame(ReadControlPlaneSize(set), {"none", "none", "none", "1Gi", ""});
  const Json* const pod = FindPath(set, {"spec", "template", "spec"});
  EXPECT_TRUE(Find(ItemsOf(*pod, "containers").front(), "resources")->empty());
}

TEST(ControlPlaneSizeTest, RefusesWhatCannotBe) {
  const auto refused = [](const ControlPlaneSize& size, absl::string_view what) {
    EXPECT_THAT(CheckControlPlaneSize(size),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(what))));
  };
  refused({"much", "", "", "", ""}, "--memory_limit: \"much\"");
  refused({"", "0", "", "", ""}, "--memory_request");
  refused({"", "", "-1", "", ""}, "--cpu_request");
  refused({"", "", "", "none", ""}, "--volume_size");
  refused({"", "", "", "", "Fast One"}, "--storage_class");
  Json set = StatefulSet();
  EXPECT_THAT(
      SetControlPlaneSize({"", "2Gi", "", "", ""}, &set),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("--memory_request: the request of 2Gi is above the limit of 1Gi")));
  set = StatefulSet();
  EXPECT_THAT(SetControlPlaneSize({"64Mi", "", "", "", ""}, &set),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--memory_limit")));
  Json etcd = StatefulSet("etcd");
  EXPECT_THAT(SetControlPlaneSize({"", "", "", "5Gi", ""}, &etcd),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--overlay=sqlite")));
}

TEST(ControlPlaneSizeTest, KnowsOneQuantityByTwoNames) {
  EXPECT_TRUE(SameQuantity("1Gi", "1024Mi"));
  EXPECT_TRUE(SameQuantity("none", "none"));
  EXPECT_FALSE(SameQuantity("none", "1Gi"));
  EXPECT_FALSE(SameQuantity("1G", "1Gi"));
}

}  // namespace
}  // namespace byrnie
