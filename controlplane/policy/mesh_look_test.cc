#include "controlplane/policy/mesh_look.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "controlplane/registry/static_parser.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class MeshLookTest : public ::testing::Test {
 protected:
  MeshLookTest() { SetWorkloads(1); }
  void SetWorkloads(int count) {
    std::string text = "{\"workloads\":[";
    for (int i = 1; i <= count; ++i) {
      absl::StrAppend(&text, i == 1 ? "" : ",", "{\"name\":\"w", i,
                      "\",\"namespace\":\"demo\",\"service_account\":\"w\",\"addresses\":[\"10.0.",
                      i / 250, ".", i % 250, "\"]}");
    }
    snapshot_ = *RegistrySnapshot::Create(*ParseRegistryFile(text + "]}", "cluster.local"));
  }

  RegistrySnapshotPtr snapshot_;
  int looks_ = 0;
  MeshLook look_{[this] { return snapshot_; },
                 [this](const RegistrySnapshot& registry) {
                   ++looks_;
                   return LookAround(registry);
                 }};
};

TEST_F(MeshLookTest, OneLookIsForAllWhoAreThereWhileNothingChanges) {
  MeshLook::Visit one(&look_);
  const auto known = one.Known();
  EXPECT_EQ(known->whole.workloads, 1u);
  MeshLook::Visit other(&look_);
  EXPECT_EQ(other.Known(), known);
  EXPECT_EQ(looks_, 1);
}

TEST_F(MeshLookTest, OneLookIsForAllWhoWereWaitingThoughMuchChanges) {
  MeshLook::Visit one(&look_), other(&look_);
  const auto known = one.Known();
  SetWorkloads(2);
  EXPECT_EQ(other.Known(), known);
  // Who comes later is told of what is there then.
  MeshLook::Visit late(&look_), later(&look_);
  EXPECT_EQ(late.Known()->whole.workloads, 2u);
  SetWorkloads(3);
  EXPECT_EQ(later.Known()->whole.workloads, 2u);
  EXPECT_EQ(looks_, 2);
}

TEST_F(MeshLookTest, WhereNobodyIsThereNothingIsKept) {
  std::weak_ptr<const KnownMesh> known;
  std::weak_ptr<const RegistrySnapshot> snapshot = snapshot_;
  {
    MeshLook::Visit one(&look_);
    known = one.Known();
    MeshLook::Visit other(&look_);
    EXPECT_FALSE(known.expired());
  }
  EXPECT_TRUE(known.expired());
  snapshot_ = nullptr;
  EXPECT_TRUE(snapshot.expired());
  SetWorkloads(2);
  EXPECT_EQ(MeshLook::Visit(&look_).Known()->whole.workloads, 2u);
}

TEST_F(MeshLookTest, ALookIsLetGoBeforeTheNext) {
  std::weak_ptr<const KnownMesh> known;
  MeshLook look([this] { return snapshot_; },
                [&known](const RegistrySnapshot& registry) {
                  EXPECT_TRUE(known.expired());
                  return LookAround(registry);
                });
  MeshLook::Visit first(&look);
  known = first.Known();
  SetWorkloads(2);
  MeshLook::Visit second(&look);
  EXPECT_EQ(second.Known()->whole.workloads, 2u);
}

}  // namespace
}  // namespace byrnie
