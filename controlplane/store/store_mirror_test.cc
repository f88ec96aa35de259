#include "controlplane/store/store_mirror.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status_matchers.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class StoreMirrorTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<StoreMirror>> Mirror() {
    return StoreMirror::Create(&store_, "p/", [this] {
      absl::MutexLock lock(&mu_);
      changed_ = true;
    });
  }
  void Commit(const StoreTransaction& transaction) {
    EXPECT_THAT(store_.Commit(transaction), IsOk());
  }
  static std::string Text(const StoreMirror& mirror) {
    std::string text;
    for (const auto& entry : *mirror.entries()) {
      absl::StrAppend(&text, entry.first, "=", entry.second.value, " ");
    }
    return text;
  }
  // Waits, change by change, until the mirror holds that.
  bool Await(const StoreMirror& mirror, absl::string_view text) {
    while (Text(mirror) != text) {
      absl::MutexLock lock(&mu_);
      if (!mu_.AwaitWithTimeout(absl::Condition(&changed_), absl::Seconds(30))) return false;
      changed_ = false;
    }
    return true;
  }

  absl::Mutex mu_;
  bool changed_ = false;  // Guarded by mu_.
  MemoryStore store_;
};

TEST_F(StoreMirrorTest, HoldsWhatIsThereAtOnce) {
  Commit(StoreTransaction().Put("p/a", "1").Put("q", "2"));
  auto mirror = Mirror();
  ASSERT_THAT(mirror, IsOk());
  EXPECT_EQ(Text(**mirror), "p/a=1 ");
}

TEST_F(StoreMirrorTest, FollowsChanges) {
  auto mirror = Mirror();
  ASSERT_THAT(mirror, IsOk());
  Commit(StoreTransaction().Put("p/a", "1").Put("p/b", "1"));
  EXPECT_TRUE(Await(**mirror, "p/a=1 p/b=1 "));
  Commit(StoreTransaction().Delete("p/a").Put("p/b", "2").Put("q", "2"));
  EXPECT_TRUE(Await(**mirror, "p/b=2 "));
  EXPECT_EQ((*mirror)->entries()->at("p/b").revision, (*store_.Get("p/b"))->revision);
}

TEST_F(StoreMirrorTest, IsThereWhileTheStoreIsAway) {
  Commit(StoreTransaction().Put("p/a", "1"));
  auto mirror = Mirror();
  ASSERT_THAT(mirror, IsOk());
  store_.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_EQ(Text(**mirror), "p/a=1 ");
  EXPECT_THAT(Mirror(), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace byrnie
