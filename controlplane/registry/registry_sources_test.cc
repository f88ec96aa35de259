#include "controlplane/registry/registry_sources.h"

#include <string>
#include <vector>

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

TEST_F(RegistrySourcesTest, AStoredPolicyTakesThePlaceOfOneOfTheCluster) {
  const RegistryContent content = Policies("ab");
  const auto put = [&](const RegistrySnapshot&) -> absl::StatusOr<RegistryChange> {
    RegistryChange change;
    for (const auto& policy : content.policies) {
      change.put.push_back({MakeResource(Source::kKubernetes, policy)});
    }
    return change;
  };
  ASSERT_THAT(sources_.TakeChange(put), IsOk());
  // Whoever wants to apply it is told.
  EXPECT_THAT(sources_.Set(Source::kApi, Policies("b")),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("kubectl")));
  // At another control plane it was.
  ResourceList stored = *ResourceList::Create(Source::kApi, Policies("b"));
  ASSERT_THAT(sources_.Take(std::move(stored)), IsOk());
  EXPECT_TRUE(sources_.HasPolicy(Source::kKubernetes, "demo/a"));
  EXPECT_TRUE(sources_.HasPolicy(Source::kApi, "demo/b"));
  EXPECT_TRUE(sources_.troubles().empty());
  // It comes second, too, and not the other way round.
  ASSERT_THAT(sources_.TakeChange(put), IsOk());
  EXPECT_TRUE(sources_.HasPolicy(Source::kApi, "demo/b"));
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

TEST_F(RegistrySourcesTest, WhatIsStoredIsNeverRefused) {
  const auto list = [](const RegistryContent& content) {
    return *ResourceList::Create(Source::kApi, content);
  };
  std::vector<std::string> told;
  sources_.SetTroubleListener([&told](const StoredTrouble& trouble, bool ended) {
    told.push_back((ended ? "-" : "+") + trouble.resource->name);
  });
  ASSERT_THAT(sources_.Set(Source::kFile, Policies("a")), IsOk());
  ASSERT_THAT(sources_.Take(list(Policies("ab"))), IsOk());
  EXPECT_TRUE(sources_.HasPolicy(Source::kFile, "demo/a"));
  EXPECT_TRUE(InForce("demo/b"));
  ASSERT_EQ(sources_.troubles().size(), 1u);
  EXPECT_TRUE(sources_.troubles()[0].left_out);
  EXPECT_NE(sources_.LeftOut(Source::kApi, ResourceType::kAuthorization, "demo/a"), nullptr);
  // Said again it is nothing new; and it is in force once the file gives way.
  ASSERT_THAT(sources_.Take(list(Policies("abc"))), IsOk());
  ASSERT_THAT(sources_.Set(Source::kFile, WorkloadWithPolicy("demo/b")), IsOk());
  EXPECT_TRUE(sources_.HasPolicy(Source::kApi, "demo/a"));
  // What names something that goes stays, and is told of.
  ASSERT_THAT(sources_.Take(list(Policies("a"))), IsOk());
  ASSERT_EQ(sources_.troubles().size(), 1u);
  EXPECT_FALSE(sources_.troubles()[0].left_out);
  EXPECT_EQ(registry_.snapshot()->workload_count(), 1u);
  ASSERT_THAT(sources_.Take(list(Policies("ab"))), IsOk());
  const std::string uid = "static//pod/demo/w";
  EXPECT_EQ(told, (std::vector<std::string>{"+demo/a", "-demo/a", "+" + uid, "-" + uid}));
}

TEST_F(RegistrySourcesTest, OnlyTheFileCanKeepAStartBack) {
  sources_.Hold();
  ASSERT_THAT(sources_.Set(Source::kFile, Policies("a")), IsOk());
  ASSERT_THAT(
      sources_.Take(*ResourceList::Create(Source::kApiEntries, WorkloadWithPolicy("demo/none"))),
      IsOk());
  ASSERT_THAT(sources_.Release(), IsOk());
  EXPECT_EQ(registry_.snapshot()->workload_count(), 1u);
  EXPECT_EQ(sources_.troubles().size(), 1u);
  Registry registry;
  RegistrySources wrong(&registry);
  wrong.Hold();
  ASSERT_THAT(wrong.Set(Source::kFile, WorkloadWithPolicy("demo/none")), IsOk());
  EXPECT_THAT(wrong.Release(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("workloads[0]")));
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
