#include "controlplane/store/guarded_store.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A store that can become another one under the same address.
class ReplacedStore final : public Store {
 public:
  void Become(Store* store) { store_ = store; }
  absl::StatusOr<absl::optional<StoreEntry>> Get(absl::string_view key) override {
    return store_->Get(key);
  }
  absl::StatusOr<Page> List(absl::string_view prefix, absl::string_view after_key,
                            int limit) override {
    return store_->List(prefix, after_key, limit);
  }
  absl::StatusOr<int64_t> Count(absl::string_view prefix) override { return store_->Count(prefix); }
  absl::StatusOr<int64_t> Commit(const StoreTransaction& transaction) override {
    return store_->Commit(transaction);
  }
  // The test tells the listener itself.
  std::unique_ptr<StoreWatch> Watch(absl::string_view, StoreListener* listener) override {
    listener_ = listener;
    return nullptr;
  }
  std::unique_ptr<StoreElection> Campaign(absl::string_view name) override {
    return store_->Campaign(name);
  }
  StoreListener* listener() { return listener_; }

 private:
  Store* store_ = nullptr;
  StoreListener* listener_ = nullptr;
};

class Heard final : public StoreListener {
 public:
  absl::Status OnReset() override {
    ++resets;
    return absl::OkStatus();
  }
  void OnChanges(const std::vector<StoreChange>& changes) override {
    all.insert(all.end(), changes.begin(), changes.end());
  }
  std::vector<StoreChange> all;
  int resets = 0;
};

class GuardedStoreTest : public ::testing::Test {
 protected:
  GuardedStoreTest() {
    engine_.Become(&good_);
    const auto revision = good_.Commit(StoreTransaction().Put("mesh", "ours"));
    guarded_ = std::make_unique<GuardedStore>(
        &engine_, "mesh", *revision,
        [](const StoreEntry& entry) {
          if (entry.value == "damaged") return absl::UnavailableError("the record is damaged");
          return entry.value == "ours" ? absl::OkStatus()
                                       : absl::FailedPreconditionError("it is another mesh's");
        },
        [this](const absl::Status& why) { lost_.emplace_back(why.message()); });
    EXPECT_THAT(guarded_->Commit(StoreTransaction().Put("policies/p", "1")), IsOk());
    EXPECT_THAT(guarded_->Commit(StoreTransaction().Put("policies/q", "1")), IsOk());
    EXPECT_THAT(guarded_->List("policies/", "", 10)->entries, SizeIs(2));
  }
  // Whatever is asked, nothing is answered.
  void ExpectLost(const std::string& why) {
    const auto lost = StatusIs(absl::StatusCode::kUnavailable,
                               AllOf(HasSubstr(why), HasSubstr("restore the store")));
    EXPECT_THAT(guarded_->List("policies/", "", 10).status(), lost);
    EXPECT_THAT(guarded_->Get("policies/p").status(), lost);
    EXPECT_THAT(guarded_->Count("").status(), lost);
    EXPECT_THAT(guarded_->Commit(StoreTransaction().Put("policies/r", "1")).status(), lost);
    EXPECT_THAT(guarded_->lost(), lost);
    EXPECT_THAT(lost_, SizeIs(1));
  }

  MemoryStore good_, other_;
  ReplacedStore engine_;
  std::vector<std::string> lost_;
  std::unique_ptr<GuardedStore> guarded_;
};

TEST_F(GuardedStoreTest, SingleDeletionsAreNoLoss) {
  EXPECT_THAT(guarded_->Commit(StoreTransaction().Delete("policies/p")), IsOk());
  EXPECT_FALSE(guarded_->Get("policies/p")->has_value());
  EXPECT_THAT(guarded_->Commit(StoreTransaction().Delete("policies/q")), IsOk());
  EXPECT_THAT(guarded_->List("policies/", "", 10)->entries, IsEmpty());
  EXPECT_THAT(guarded_->Commit(StoreTransaction().RequireAbsent("mesh").Put("x", "1")),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(guarded_->lost(), IsOk());
  EXPECT_THAT(lost_, IsEmpty());
}

TEST_F(GuardedStoreTest, AnEmptyStoreIsNotBelieved) {
  engine_.Become(&other_);
  ExpectLost("its revision has gone back from 3 to 0");
  // Not any more, whatever comes.
  engine_.Become(&good_);
  ExpectLost("its revision has gone back from 3 to 0");
}

TEST_F(GuardedStoreTest, AStoreWhoseKeysAreDeletedIsNotBelieved) {
  StoreTransaction all;
  all.Delete("mesh").Delete("policies/p").Delete("policies/q");
  ASSERT_THAT(good_.Commit(all), IsOk());
  EXPECT_THAT(guarded_->Get("policies/p").status(), StatusIs(absl::StatusCode::kUnavailable));
  ExpectLost("its record \"mesh\" is gone");
}

TEST_F(GuardedStoreTest, NothingIsWrittenIntoAnotherStore) {
  for (int i = 0; i < 9; ++i) {
    ASSERT_THAT(other_.Commit(StoreTransaction().Put("mesh", "theirs")), IsOk());
  }
  engine_.Become(&other_);
  EXPECT_THAT(guarded_->Commit(StoreTransaction().Put("x", "1")),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(other_.Count(""), IsOkAndHolds(1));
  ExpectLost("it is another mesh's");
}

// Nor by a transaction that has as many conditions as there may be.
TEST_F(GuardedStoreTest, TheLargestTransactionIsGuardedToo) {
  StoreTransaction most;
  for (size_t i = 0; i < StoreTransaction::kMaxOperations; ++i) most.RequireAbsent(absl::StrCat(i));
  ASSERT_THAT(guarded_->Commit(most.Put("x", "1")), IsOk());
  for (int i = 0; i < 9; ++i) {
    ASSERT_THAT(other_.Commit(StoreTransaction().Put("mesh", "theirs")), IsOk());
  }
  engine_.Become(&other_);
  EXPECT_THAT(guarded_->Commit(most), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(other_.Count(""), IsOkAndHolds(1));
}

TEST_F(GuardedStoreTest, OneThatLeavesNoRoomForTheGuardIsRefused) {
  StoreTransaction more;
  for (size_t i = 0; i <= StoreTransaction::kMaxOperations; ++i)
    more.RequireAbsent(absl::StrCat(i));
  EXPECT_THAT(guarded_->Commit(more.Put("x", "1")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("101 conditions")));
  EXPECT_FALSE(guarded_->Get("x")->has_value());
}

TEST_F(GuardedStoreTest, TheSameRecordWrittenAnewIsAllRight) {
  ASSERT_THAT(good_.Commit(StoreTransaction().Put("mesh", "ours")), IsOk());
  EXPECT_THAT(guarded_->List("policies/", "", 10)->entries, SizeIs(2));
  EXPECT_THAT(guarded_->Commit(StoreTransaction().Put("x", "1")), IsOk());
}

TEST_F(GuardedStoreTest, OneThatDoesNotTellWhatItIsOfIsBelievedAgainOnceItDoes) {
  ASSERT_THAT(good_.Commit(StoreTransaction().Put("mesh", "damaged")), IsOk());
  const auto doubted = StatusIs(absl::StatusCode::kUnavailable,
                                AllOf(HasSubstr("damaged"), HasSubstr("nothing is taken from")));
  EXPECT_THAT(guarded_->List("policies/", "", 10).status(), doubted);
  EXPECT_THAT(guarded_->Get("x").status(), doubted);
  EXPECT_THAT(guarded_->Count("").status(), doubted);
  EXPECT_THAT(guarded_->Commit(StoreTransaction().Put("x", "1")).status(), doubted);
  EXPECT_FALSE((*good_.Get("x")).has_value());
  EXPECT_THAT(guarded_->lost(), IsOk());
  ASSERT_THAT(good_.Commit(StoreTransaction().Put("mesh", "ours")), IsOk());
  EXPECT_THAT(guarded_->List("policies/", "", 10)->entries, SizeIs(2));
  EXPECT_THAT(guarded_->Commit(StoreTransaction().Put("x", "1")), IsOk());
  EXPECT_THAT(lost_, IsEmpty());
}

TEST_F(GuardedStoreTest, AStoreThatIsAwayIsNotLost) {
  good_.FailWith(absl::UnavailableError("away"));
  EXPECT_THAT(guarded_->Get("x").status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("away")));
  good_.FailWith(absl::OkStatus());
  EXPECT_THAT(guarded_->Get("x").status(), IsOk());
  EXPECT_THAT(lost_, IsEmpty());
}

TEST_F(GuardedStoreTest, AWatchTellsOfDeletionsAndNotOfALoss) {
  Heard heard;
  const auto watch = guarded_->Watch("policies/", &heard);
  StoreListener* const engine = engine_.listener();
  EXPECT_THAT(engine->OnReset(), IsOk());
  EXPECT_EQ(heard.resets, 1);
  engine->OnChanges({{"policies/p", absl::nullopt, 4}});
  EXPECT_THAT(heard.all, SizeIs(1));
  ASSERT_THAT(good_.Commit(StoreTransaction().Delete("mesh").Delete("policies/q")), IsOk());
  engine->OnChanges({{"policies/q", absl::nullopt, 5}});
  engine->OnChanges({{"policies/q", "2", 6}});
  EXPECT_THAT(heard.all, SizeIs(1));
  EXPECT_THAT(engine->OnReset(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(heard.resets, 1);
  ExpectLost("its record \"mesh\" is gone");
}

}  // namespace
}  // namespace byrnie
