#include "controlplane/records/record_table.h"

#include "common/base/status_matchers.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

// A table of a store in which there is more beside.
class RecordTableTest : public ::testing::Test {
 protected:
  RecordTableTest() {
    StoreTransaction others;
    others.Put("a", "1").Put("b/x", "2").Put("t", "3").Put("u/x", "4");
    EXPECT_THAT(store_.Commit(others), IsOk());
  }
  MemoryStore store_;
  RecordTable table_{&store_, "t/"};
};

TEST_F(RecordTableTest, ListsWhatWasWrittenByKey) {
  ASSERT_THAT(table_.Put("demo/b", "2", absl::nullopt), IsOk());
  const auto version = table_.Put("demo/a", "1", absl::nullopt);
  const auto records = table_.List();
  ASSERT_THAT(records, IsOk());
  ASSERT_EQ(records->size(), 2u);
  EXPECT_EQ((*records)[0].key, "demo/a");
  EXPECT_EQ((*records)[0].value, "1");
  EXPECT_EQ((*records)[0].version, *version);
  EXPECT_NE(*version, RecordTable::kNone);
}

TEST_F(RecordTableTest, WritesOnlyWhereWhatIsThereIsAsExpected) {
  const auto first = table_.Put("a", "1", RecordTable::kNone);
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(table_.Put("a", "2", RecordTable::kNone), StatusIs(absl::StatusCode::kAborted));
  const auto second = table_.Put("a", "2", *first);
  ASSERT_THAT(second, IsOk());
  EXPECT_NE(*first, *second);
  EXPECT_THAT(table_.Put("a", "3", *first), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(table_.Put("b", "3", *first), StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ((*table_.List())[0].value, "2");
}

TEST_F(RecordTableTest, DeletesOnlyWhereWhatIsThereIsAsExpected) {
  const auto first = table_.Put("a", "1", absl::nullopt);
  const auto second = table_.Put("a", "2", absl::nullopt);
  EXPECT_THAT(table_.Delete("a", *first), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(table_.Delete("a", *second), IsOk());
  EXPECT_THAT(table_.Delete("a", absl::nullopt), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(table_.List()->empty());
}

TEST_F(RecordTableTest, AnAnswerThatIsLostIsNoReasonToDoItTwice) {
  store_.LoseNextAnswer(absl::UnknownError("gone away"));
  EXPECT_THAT(table_.Put("a", "1", RecordTable::kNone),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("look whether it was done")));
  EXPECT_THAT(table_.Put("a", "1", RecordTable::kNone), StatusIs(absl::StatusCode::kAborted));
}

}  // namespace
}  // namespace byrnie
