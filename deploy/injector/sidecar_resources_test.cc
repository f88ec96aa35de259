#include "deploy/injector/sidecar_resources.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_matchers.h"
#include "deploy/injector/annotations.h"
#include "deploy/injector/json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

// Every container of it has what it asks for; the sidecar's do not count.
constexpr char kGuaranteed[] = R"({"initContainers":[{"name":"byrnie-agent"}],"containers":[
    {"name":"app","resources":{"limits":{"cpu":0.3,"memory":"1Gi"},
                               "requests":{"cpu":"300m","memory":"1024Mi"}}},
    {"name":"other","resources":{"limits":{"cpu":"1","memory":"64Mi"}}}]})";

Json Read(absl::string_view text) {
  absl::StatusOr<Json> json = ParseJson(text, 100000);
  EXPECT_THAT(json, IsOk()) << text;
  return json.value_or(Json::object());
}

// Of one annotation, or none.
PodSettings Settings(const std::string& name = "", const std::string& value = "") {
  Json annotations = Json::object();
  if (!name.empty()) annotations[absl::StrCat(kAnnotationPrefix, name)] = value;
  absl::StatusOr<PodSettings> settings = PodSettings::Create(annotations, {});
  EXPECT_THAT(settings, IsOk());
  return settings.value_or(PodSettings());
}

// Of a pod with this spec.
class Made {
 public:
  explicit Made(PodSettings settings, absl::string_view spec = kGuaranteed)
      : settings_(std::move(settings)), resources_(&settings_, Read(spec), {"byrnie-agent"}) {}
  std::string proxy() const { return ToText(resources_.Proxy()); }
  std::string agent() const { return ToText(resources_.Agent()); }
  std::string small() const { return ToText(resources_.Small()); }
  std::string warning() const { return resources_.Warning(); }
  std::string growth() const { return resources_.GrowthWarning(); }

 private:
  const PodSettings settings_;
  const SidecarResources resources_;
};

// What a container has that asks for all that it may use.
std::string Fixed(absl::string_view cpu, absl::string_view memory) {
  const std::string amounts = absl::StrCat(R"({"cpu":")", cpu, R"(","memory":")", memory, R"("})");
  return absl::StrCat(R"({"requests":)", amounts, R"(,"limits":)", amounts, "}");
}

TEST(SidecarResourcesTest, APodThatIsGuaranteedStaysSo) {
  const Made made(Settings());
  EXPECT_EQ(made.proxy(), Fixed("500m", "256Mi"));
  EXPECT_EQ(made.agent(), Fixed("100m", "128Mi"));
  EXPECT_EQ(made.small(), Fixed("100m", "64Mi"));
  EXPECT_EQ(made.warning(), "");
}

// Sixty times what other pods pay, and bytes that wait: nobody is to find that out by a Pending
// pod.
TEST(SidecarResourcesTest, SaysWhatAGuaranteedPodCostsUnlessSomebodyHasSaidHowMuch) {
  EXPECT_THAT(Made(Settings()).growth(),
              ::testing::AllOf(HasSubstr("500m of CPU and 256Mi of memory"),
                               HasSubstr("byrnie.io/proxy-cpu-limit")));
  EXPECT_EQ(Made(Settings("proxy-cpu-limit", "2")).growth(), "");
  EXPECT_EQ(Made(Settings("proxy-cpu-limit", "none")).growth(), "");
  EXPECT_EQ(Made(Settings("proxy-cpu-request", "50m")).growth(), "");
  EXPECT_EQ(Made(Settings(), R"({"containers":[{"name":"a"}]})").growth(), "");
}

TEST(SidecarResourcesTest, ALimitIsAskedForWhereThePodIsGuaranteed) {
  const Made made(Settings("proxy-cpu-limit", "2"));
  EXPECT_EQ(made.proxy(), Fixed("2", "256Mi"));
  EXPECT_EQ(made.small(), Fixed("100m", "64Mi"));
  EXPECT_EQ(made.warning(), "");
}

TEST(SidecarResourcesTest, SaysWhatMakesAGuaranteedPodBurstable) {
  // It is not throttled to what it asks for.
  const Made small(Settings("proxy-cpu-request", "10m"));
  EXPECT_EQ(small.proxy(),
            R"({"requests":{"cpu":"10m","memory":"256Mi"},"limits":{"memory":"256Mi"}})");
  EXPECT_THAT(small.warning(), HasSubstr("with byrnie-proxy the pod is Burstable"));
  const Made none(Settings("agent-cpu-limit", "none"));
  EXPECT_EQ(none.agent(),
            R"({"requests":{"cpu":"5m","memory":"128Mi"},"limits":{"memory":"128Mi"}})");
  EXPECT_THAT(none.warning(), HasSubstr("byrnie.io/agent-cpu-limit"));
}

TEST(SidecarResourcesTest, APodThatIsNotGuaranteedIsNotMadeSo) {
  const std::pair<const char*, const char*> kChanges[] = {
      {"\"300m\"", "\"200m\""},
      {"\"1\",", "0,"},
      {"\"cpu\":\"1\",", ""},
      {"\"64Mi\"", "\"much\""},
      {R"({"name":"other",)", R"({"name":"bare"},{"name":"other",)"},
      {R"({"name":"byrnie-agent"})", R"({"name":"init"})"},
      {"\"containers\"", R"("resources":{"limits":{"pods":"4"}},"containers")"},
  };
  for (const auto& [from, to] : kChanges) {
    const std::string spec = absl::StrReplaceAll(kGuaranteed, {{from, to}});
    ASSERT_NE(spec, kGuaranteed) << from;
    const Made made(Settings(), spec);
    EXPECT_EQ(made.proxy(),
              R"({"requests":{"cpu":"10m","memory":"32Mi"},"limits":{"memory":"256Mi"}})")
        << spec;
    EXPECT_EQ(made.warning(), "");
  }
  EXPECT_EQ(Made(Settings(), "{}").warning(), "");
}

}  // namespace
}  // namespace byrnie
