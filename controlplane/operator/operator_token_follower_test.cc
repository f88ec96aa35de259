#include "controlplane/operator/operator_token_follower.h"

#include <string>

#include "absl/synchronization/mutex.h"
#include "common/base/status_matchers.h"
#include "controlplane/records/operator_token_record.h"
#include "controlplane/store/testing/memory_store.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class OperatorTokenFollowerTest : public ::testing::Test {
 protected:
  void OnHash(std::string hash) {
    absl::MutexLock lock(&mu_);
    hash_ = std::move(hash);
  }
  bool Await(const std::string& hash) {
    absl::MutexLock lock(&mu_);
    const auto there = [this, &hash]() { return hash_ == hash; };
    return mu_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(30));
  }

  absl::Mutex mu_;
  std::string hash_ = "unset";  // Guarded by mu_.
  MemoryStore store_;
};

TEST_F(OperatorTokenFollowerTest, TellsWhatIsThereAndWhatTakesItsPlace) {
  ASSERT_THAT(SetOperatorTokenHash(&store_, "first"), IsOk());
  OperatorTokenFollower follower(&store_, [this](std::string hash) { OnHash(std::move(hash)); });
  EXPECT_TRUE(Await("first"));
  ASSERT_THAT(SetOperatorTokenHash(&store_, "second"), IsOk());
  EXPECT_TRUE(Await("second"));
}

TEST_F(OperatorTokenFollowerTest, WithoutOneThatIsRightNobodyIsLetIn) {
  OperatorTokenFollower follower(&store_, [this](std::string hash) { OnHash(std::move(hash)); });
  EXPECT_TRUE(Await(""));
  ASSERT_THAT(SetOperatorTokenHash(&store_, "first"), IsOk());
  EXPECT_TRUE(Await("first"));
  ASSERT_THAT(store_.Commit(StoreTransaction().Put(kOperatorTokenKey, "\xff\xff")), IsOk());
  EXPECT_TRUE(Await(""));
  ASSERT_THAT(SetOperatorTokenHash(&store_, "second"), IsOk());
  EXPECT_TRUE(Await("second"));
  ASSERT_THAT(store_.Commit(StoreTransaction().Delete(kOperatorTokenKey)), IsOk());
  EXPECT_TRUE(Await(""));
}

}  // namespace
}  // namespace byrnie
