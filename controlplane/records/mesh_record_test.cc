#include "controlplane/records/mesh_record.h"

#include <string>

#include "common/base/status_matchers.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class MeshRecordTest : public ::testing::Test {
 protected:
  absl::StatusOr<MeshFound> Find() { return FindOrMakeMesh(&store_, start_, now_); }
  void Put(const std::string& key) {
    ASSERT_THAT(store_.Commit(StoreTransaction().Put(key, "x")), IsOk());
  }
  absl::Status Judge(const std::string& id) { return JudgeMesh(**store_.Get(kMeshKey), id); }

  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  MemoryStore store_;
  MeshStart start_{"a", "1234", /*own_roots=*/true, /*new_mesh=*/false, {}};
};

TEST_F(MeshRecordTest, AnEmptyStoreBecomesAMesh) {
  const auto first = Find();
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(first->id, "1234");
  EXPECT_TRUE(first->may_make_root);
  start_.new_id = "5678";
  // Another one that starts at the same moment, or after a crash.
  const auto second = Find();
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(second->id, "1234");
  EXPECT_EQ(second->revision, first->revision);
  EXPECT_TRUE(second->may_make_root);
  Put("jwt_keys/1");
  EXPECT_FALSE(Find()->may_make_root);
  EXPECT_THAT(Judge("1234"), IsOk());
  EXPECT_THAT(Judge("5678"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                      HasSubstr("another mesh now, which a began")));
}

TEST_F(MeshRecordTest, TheStoreOfAnOlderReleaseIsTaken) {
  Put("trust");
  Put("policies/n/p");
  const auto found = Find();
  ASSERT_THAT(found, IsOk());
  EXPECT_FALSE(found->may_make_root);
  EXPECT_TRUE(store_.Get(kMeshKey)->has_value());
}

TEST_F(MeshRecordTest, AStoreWithoutItsRootsIsNone) {
  Put("policies/n/p");
  EXPECT_THAT(Find(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               AllOf(HasSubstr("1 records"), HasSubstr("restore"))));
  start_.own_roots = false;
  EXPECT_THAT(Find(), IsOk());
}

TEST_F(MeshRecordTest, AnEmptyStoreIsNoNewMeshWhereThereWasOne) {
  start_.traces = {"the file x is there"};
  EXPECT_THAT(Find(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               AllOf(HasSubstr("the file x is there"), HasSubstr("--new_mesh"))));
  EXPECT_THAT(store_.Count(""), IsOkAndHolds(0));
  start_.new_mesh = true;
  EXPECT_TRUE(Find()->may_make_root);
}

TEST_F(MeshRecordTest, AStoreOfOneProcessHasARootOrMayGetOne) {
  start_.shared = false;
  EXPECT_THAT(MayMakeRoot(&store_, start_), IsOkAndHolds(true));
  Put("trust");
  Put("policies/n/p");
  start_.traces = {"the file x is there"};
  EXPECT_THAT(MayMakeRoot(&store_, start_), IsOkAndHolds(false));
  EXPECT_FALSE(store_.Get(kMeshKey)->has_value());
}

TEST_F(MeshRecordTest, AStoreOfOneProcessThatHasLostItsRootsGetsNone) {
  start_.shared = false;
  start_.traces = {"the file x is there"};
  EXPECT_THAT(MayMakeRoot(&store_, start_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("the file x is there"), HasSubstr("volume is mounted"),
                             HasSubstr("--new_mesh"))));
  start_.new_mesh = true;
  EXPECT_THAT(MayMakeRoot(&store_, start_), IsOkAndHolds(true));
  start_.new_mesh = false;
  start_.traces.clear();
  Put("policies/n/p");
  EXPECT_THAT(MayMakeRoot(&store_, start_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("1 records and not that of"), HasSubstr("backup"))));
  start_.new_mesh = true;
  EXPECT_THAT(MayMakeRoot(&store_, start_), IsOkAndHolds(true));
  // One whose CA is plugged has none.
  start_.new_mesh = false;
  start_.own_roots = false;
  EXPECT_THAT(MayMakeRoot(&store_, start_), IsOk());
}

TEST_F(MeshRecordTest, NobodyStartsOverAStoreThatIsSaidToBeLost) {
  ASSERT_THAT(MarkMeshLost(&store_, "1234", "b", now_), IsOk());
  start_.new_mesh = true;
  EXPECT_THAT(Find(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("control plane b has seen at 2027-01-15T08:00:00Z")));
  EXPECT_THAT(Judge("1234"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(MarkMeshLost(&store_, "1234", "c", now_), StatusIs(absl::StatusCode::kAborted));
}

// Else whoever damages it would switch off that the store is asked whose it is.
TEST_F(MeshRecordTest, OneThatCannotBeReadIsNobodys) {
  Put("trust");
  for (const std::string value : {"\xff", ""}) {
    ASSERT_THAT(store_.Commit(StoreTransaction().Put(kMeshKey, value)), IsOk());
    for (const bool new_mesh : {false, true}) {
      start_.new_mesh = new_mesh;
      EXPECT_THAT(Find(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                   AllOf(HasSubstr("\"mesh\" is damaged"), HasSubstr("backup"),
                                         HasSubstr("delete that record"))));
    }
    EXPECT_THAT(Judge("1234"),
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr("\"mesh\" is damaged")));
    EXPECT_EQ((*store_.Get(kMeshKey))->value, value);
  }
  // What its remedy says.
  ASSERT_THAT(store_.Commit(StoreTransaction().Delete(kMeshKey)), IsOk());
  start_.new_mesh = false;
  EXPECT_EQ(Find()->id, "1234");
  EXPECT_FALSE(Find()->may_make_root);
}

}  // namespace
}  // namespace byrnie
