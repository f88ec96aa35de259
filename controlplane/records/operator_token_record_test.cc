#include "controlplane/records/operator_token_record.h"

#include <string>

#include "common/base/status_matchers.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(OperatorTokenRecordTest, IsReplaced) {
  MemoryStore store;
  EXPECT_FALSE(LoadOperatorTokenHash(&store)->has_value());
  for (char fill : {'x', 'y'}) {
    ASSERT_THAT(SetOperatorTokenHash(&store, std::string(32, fill)), IsOk());
    EXPECT_EQ(**LoadOperatorTokenHash(&store), std::string(32, fill));
  }
}

TEST(OperatorTokenRecordTest, OneThatCannotBeRightLetsNobodyIn) {
  MemoryStore store;
  ASSERT_THAT(store.Commit(StoreTransaction().Put(kOperatorTokenKey, "\xff\xff")), IsOk());
  EXPECT_THAT(LoadOperatorTokenHash(&store), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace byrnie
