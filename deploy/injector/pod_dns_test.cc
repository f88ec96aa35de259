#include "deploy/injector/pod_dns.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"
#include "deploy/injector/pod_injection.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string WarningOf(const std::string& policy, const std::string& control_plane = "") {
  InjectorConfig config;
  if (!control_plane.empty()) config.control_plane = control_plane;
  Json spec = Json::object();
  if (!policy.empty()) spec["dnsPolicy"] = policy;
  return DnsWarning(config, spec);
}

TEST(PodDnsTest, WarnsWhereTheClustersNamesAreNotKnown) {
  EXPECT_THAT(WarningOf("Default"), AllOf(HasSubstr("byrnie-controlplane.byrnie-system.svc"),
                                          HasSubstr("Write ClusterFirst")));
  EXPECT_THAT(WarningOf("None"), HasSubstr("unless its nameservers know"));
  EXPECT_THAT(WarningOf("Default", "cp.mesh.svc.example.org:15012"), HasSubstr("Default"));
}

TEST(PodDnsTest, SaysNothingWhereTheyAreOrNoneIsAskedFor) {
  for (const char* const policy : {"", "ClusterFirst", "ClusterFirstWithHostNet"}) {
    EXPECT_EQ(WarningOf(policy), "") << policy;
  }
  for (const char* const address : {"10.96.0.7:15012", "[fd00::7]:15012", "mesh.example:15012"}) {
    EXPECT_EQ(WarningOf("Default", address), "") << address;
  }
}

TEST(PodDnsTest, IsToldToWhoeverMakesThePod) {
  Json pod = *ParseJson(R"({"spec":{"dnsPolicy":"Default","containers":[{"name":"app"}]}})", 1000);
  const absl::StatusOr<PodOutcome> outcome = InjectPod(InjectorConfig(), &pod);
  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(outcome->kind, PodOutcome::Kind::kInjected);
  EXPECT_THAT(outcome->warnings, ElementsAre(HasSubstr("dnsPolicy")));
}

}  // namespace
}  // namespace byrnie
