#include "ctl/install/privileges_policy.h"

#include <string>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/status_matchers.h"
#include "ctl/install/testing/fake_cluster.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kConfigMap[] = "/api/v1/namespaces/byrnie-system/configmaps/byrnie-injector";

class PrivilegesPolicyTest : public ::testing::Test {
 protected:
  void Serve(const std::string& version) {
    cluster_.Serve(
        "/apis/admissionregistration.k8s.io/" + version,
        {{"ValidatingAdmissionPolicy", "validatingadmissionpolicies", false},
         {"ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", false}});
  }
  static std::string Path(const std::string& version, const std::string& plural) {
    return "/apis/admissionregistration.k8s.io/" + version + "/" + plural + "/byrnie-privileges";
  }
  void Put(const std::string& version) {
    Json policy = Json::object();
    policy["metadata"]["name"] = "byrnie-privileges";
    cluster_.objects[Path(version, "validatingadmissionpolicies")] = policy;
    Json* const parameter = ObjectIn(ObjectIn(&policy, "spec"), "paramRef");
    (*parameter)["name"] = "byrnie-injector";
    (*parameter)["namespace"] = "byrnie-system";
    (*parameter)["parameterNotFoundAction"] = "Deny";
    cluster_.objects[Path(version, "validatingadmissionpolicybindings")] = policy;
  }
  absl::StatusOr<std::vector<std::string>> Find() {
    ResourceTypes types(&cluster_);
    ASSIGN_OR_RETURN(const std::vector<PolicyObject> found,
                     FindPrivilegesPolicy(&cluster_, &types));
    std::vector<std::string> said;
    for (const PolicyObject& one : found) {
      said.push_back(one.type.root + " " + DescribeObject(one.object));
    }
    return said;
  }
  absl::StatusOr<std::string> Missing() {
    ResourceTypes types(&cluster_);
    ASSIGN_OR_RETURN(const PrivilegesPolicyState state, LookAtPrivilegesPolicy(&cluster_, &types));
    in_force_ = state.in_force;
    previous_image_ = state.previous_image;
    return state.missing_parameter;
  }

  FakeCluster cluster_;
  bool in_force_ = false;
  std::string previous_image_;
};

TEST_F(PrivilegesPolicyTest, IsNotThereWhereTheServerKnowsNoSuchPolicies) {
  EXPECT_THAT(Find(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(Missing(), IsOkAndHolds(""));
  EXPECT_FALSE(in_force_);
}

TEST_F(PrivilegesPolicyTest, IsFoundInTheNewestVersionTheBindingFirst) {
  for (const char* const version : {"v1alpha1", "v1beta1", "v1"}) {
    Serve(version);
    EXPECT_THAT(Find(), IsOkAndHolds(IsEmpty()));
    Put(version);
    const std::string root = std::string("/apis/admissionregistration.k8s.io/") + version;
    EXPECT_THAT(Find(), IsOkAndHolds(ElementsAre(
                            root + " ValidatingAdmissionPolicyBinding byrnie-privileges",
                            root + " ValidatingAdmissionPolicy byrnie-privileges")));
  }
}

TEST_F(PrivilegesPolicyTest, MissesItsParameter) {
  Serve("v1");
  Put("v1");
  EXPECT_THAT(Missing(), IsOkAndHolds("byrnie-system/byrnie-injector"));
  EXPECT_TRUE(in_force_);
  cluster_.objects[kConfigMap] = Json::object();
  EXPECT_THAT(Missing(), IsOkAndHolds(""));
  EXPECT_EQ(previous_image_, "");
  cluster_.objects[kConfigMap]["data"]["previous-image"] = "byrnie:0.1.0";
  EXPECT_THAT(Missing(), IsOkAndHolds(""));
  EXPECT_EQ(previous_image_, "byrnie:0.1.0");
  EXPECT_TRUE(in_force_);
  cluster_.objects.erase(kConfigMap);
  const std::string binding = Path("v1", "validatingadmissionpolicybindings");
  cluster_.objects[binding]["spec"]["paramRef"]["parameterNotFoundAction"] = "Allow";
  EXPECT_THAT(Missing(), IsOkAndHolds(""));
  cluster_.objects.erase(binding);
  EXPECT_THAT(Missing(), IsOkAndHolds(""));
  EXPECT_FALSE(in_force_);
}

TEST_F(PrivilegesPolicyTest, SaysWhatItMayNotLookAt) {
  Serve("v1");
  cluster_.answers["GET " + Path("v1", "validatingadmissionpolicies")] = {403,
                                                                          R"({"message": "no"})"};
  EXPECT_THAT(Find(), StatusIs(absl::StatusCode::kPermissionDenied,
                               HasSubstr("ValidatingAdmissionPolicy byrnie-privileges")));
}

}  // namespace
}  // namespace byrnie
