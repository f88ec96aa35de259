#include "controlplane/registry/registry_sources.h"

#include <string>

#include "common/base/status_matchers.h"
#include "controlplane/registry/static_parser.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using Source = RegistrySources::Source;

RegistryContent Policies(const std::string& names) {
  std::string text = "{\"policies\":[";
  for (const char name : names) {
    if (text.back() == '}') text += ",";
    text += std::string("{\"name\":\"") + name +
            "\",\"namespace\":\"demo\",\"scope\":\"WORKLOAD_SELECTOR\",\"action\":\"DENY\"}";
  }
  return *ParseRegistryFile(text + "]}", "cluster.local");
}

RegistryContent WorkloadWithPolicy(const std::string& policy) {
  return *ParseRegistryFile(
      "{\"workloads\":[{\"name\":\"w\",\"namespace\":\"demo\",\"service_account\":\"s\","
      "\"addresses\":[\"10.0.0.1\"],\"authorization_policies\":[\"" +
          policy + "\"]}]}",
      "cluster.local");
}

class RegistrySourcesTest : public ::testing::Test {
 protected:
  bool InForce(const std::string& key) const {
    return registry_.snapshot()->Find(ResourceType::kAuthorization, key) != nullptr;
  }
  Registry registry_;
  RegistrySources sources_{&registry_};
};

TEST_F(RegistrySourcesTest, WhatIsInForceIsAllThatTheSourcesSay) {
  ASSERT_THAT(sources_.Set(Source::kFile, Policies("a")), IsOk());
  ASSERT_THAT(sources_.Set(Source::kApi, Policies("bc")), IsOk());
  EXPECT_TRUE(InForce("demo/a") && InForce("demo/b") && InForce("demo/c"));
  ASSERT_THAT(sources_.Set(Source::kApi, Policies("b")), IsOk());
  EXPECT_TRUE(InForce("demo/a") && InForce("demo/b") && !InForce("demo/c"));
  EXPECT_TRUE(sources_.HasPolicy(Source::kFile, "demo/a"));
  EXPECT_FALSE(sources_.HasPolicy(Source::kApi, "demo/a"));
}

TEST_F(RegistrySourcesTest, APolicyOfTwoSourcesIsNamedAndNothingChanges) {
  ASSERT_THAT(sources_.Set(Source::kApi, Policies("b")), IsOk());
  EXPECT_THAT(sources_.Set(Source::kFile, Policies("ab")),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("\"demo/b\"")));
  EXPECT_FALSE(InForce("demo/a"));
  EXPECT_TRUE(InForce("demo/b"));
}

TEST_F(RegistrySourcesTest, OneSourceMayNameWhatAnotherHasUntilItIsGone) {
  ASSERT_THAT(sources_.Set(Source::kApi, Policies("b")), IsOk());
  ASSERT_THAT(sources_.Set(Source::kFile, WorkloadWithPolicy("demo/b")), IsOk());
  EXPECT_THAT(sources_.Set(Source::kApi, RegistryContent()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("demo/b")));
  EXPECT_TRUE(InForce("demo/b"));
}

TEST_F(RegistrySourcesTest, ACommitThatFailsChangesNothing) {
  EXPECT_THAT(sources_.Set(Source::kApi, Policies("b"),
                           [] { return absl::UnavailableError("disk on fire"); }),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(InForce("demo/b"));
  EXPECT_FALSE(sources_.HasPolicy(Source::kApi, "demo/b"));
}

TEST_F(RegistrySourcesTest, NothingIsCommittedThatIsNotGood) {
  bool committed = false;
  EXPECT_FALSE(sources_
                   .Set(Source::kFile, WorkloadWithPolicy("demo/none"),
                        [&committed] {
                          committed = true;
                          return absl::OkStatus();
                        })
                   .ok());
  EXPECT_FALSE(committed);
}

}  // namespace
}  // namespace byrnie
