#include "controlplane/registry/snapshot.h"

#include <string>

#include "common/base/status_matchers.h"
#include "controlplane/registry/static_parser.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

RegistrySnapshotPtr Snapshot(const std::string& text) {
  auto content = ParseRegistryFile(text, "cluster.local");
  EXPECT_THAT(content, IsOk());
  auto snapshot = RegistrySnapshot::Create(*content);
  EXPECT_THAT(snapshot, IsOk());
  return *snapshot;
}

std::string Workload(const std::string& name, const std::string& ip, const std::string& more = "") {
  return "{\"name\":\"" + name + "\",\"namespace\":\"n\",\"service_account\":\"s\",\"uid\":\"" +
         name + "\",\"addresses\":[\"" + ip + "\"]" + more + "}";
}

TEST(RegistrySnapshotTest, VersionsDependOnTheContentAlone) {
  const std::string two =
      "{\"services\":[{\"name\":\"a\",\"namespace\":\"n\",\"hostname\":\"a\",\"ports\":[]},"
      "{\"name\":\"b\",\"namespace\":\"n\",\"hostname\":\"b\",\"ports\":[]}],"
      "\"workloads\":[";
  auto first =
      Snapshot(two + Workload("w", "10.0.0.1", ",\"services\":{\"n/a\":[],\"n/b\":[]}") + "]}");
  auto second =
      Snapshot(two + Workload("w", "10.0.0.1", ",\"services\":{\"n/b\":[],\"n/a\":[]}") + "]}");
  EXPECT_EQ(first->Find(ResourceType::kAddress, "w")->version,
            second->Find(ResourceType::kAddress, "w")->version);
  auto moved = Snapshot(two + Workload("w", "10.0.0.2") + "]}");
  EXPECT_NE(first->Find(ResourceType::kAddress, "w")->version,
            moved->Find(ResourceType::kAddress, "w")->version);
}

TEST(RegistrySnapshotTest, TellsWhatChanged) {
  auto before = Snapshot("{\"workloads\":[" + Workload("kept", "10.0.0.1") + "," +
                         Workload("moved", "10.0.0.2") + "," + Workload("gone", "10.0.0.3") + "]}");
  auto after = Snapshot("{\"workloads\":[" + Workload("kept", "10.0.0.1") + "," +
                        Workload("moved", "10.0.0.4") + "," + Workload("new", "10.0.0.3") + "]}");
  const RegistryDiff diff = DiffSnapshots(ResourceType::kAddress, *before, *after);
  EXPECT_THAT(diff.added, ElementsAre("new"));
  EXPECT_THAT(diff.changed, ElementsAre("moved"));
  EXPECT_THAT(diff.removed, ElementsAre("gone"));
  EXPECT_TRUE(DiffSnapshots(ResourceType::kAddress, *after, *after).empty());
}

TEST(RegistrySnapshotTest, ResolvesKeysAndAddresses) {
  auto snapshot = Snapshot("{\"workloads\":[" + Workload("w", "fd77::2") + "]}");
  EXPECT_EQ(snapshot->Resolve(ResourceType::kAddress, "w").size(), 1u);
  EXPECT_EQ(snapshot->Resolve(ResourceType::kAddress, "/fd77::2").size(), 1u);
  EXPECT_THAT(snapshot->Resolve(ResourceType::kAddress, "/10.0.0.1"), IsEmpty());
  EXPECT_THAT(snapshot->Resolve(ResourceType::kAuthorization, "w"), IsEmpty());
}

}  // namespace
}  // namespace byrnie
