// What every engine of Store promises.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/base/status_matchers.h"
#include "controlplane/store/etcd/etcd_store.h"
#include "controlplane/store/etcd/testing/etcd_server.h"
#include "controlplane/store/sqlite_store.h"
#include "controlplane/store/store.h"
#include "controlplane/store/testing/memory_store.h"
#include "controlplane/store/testing/recording_listener.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

struct Engine {
  std::string name;
  // `unique` tells the stores of different tests apart.
  std::function<absl::StatusOr<std::unique_ptr<Store>>(const std::string& unique)> open;
};

std::vector<Engine> Engines() {
  return {{"Sqlite",
           [](const std::string& unique) {
             return SqliteStore::Open(absl::StrCat(::testing::TempDir(), "/", unique, ".db"));
           }},
          {"Etcd",
           [](const std::string& unique) -> absl::StatusOr<std::unique_ptr<Store>> {
             // One server, and a prefix for each test.
             static const SystemClock clock;
             static const auto* const server =
                 new absl::StatusOr<std::unique_ptr<EtcdServer>>(EtcdServer::Start());
             if (!server->ok()) return server->status();
             ASSIGN_OR_RETURN(
                 const EtcdOptions options,
                 ParseEtcdUrls(absl::StrCat("http://", (**server)->endpoint(), "/", unique)));
             return EtcdStore::Open(options, &clock);
           }},
          {"Memory", [](const std::string&) -> absl::StatusOr<std::unique_ptr<Store>> {
             return std::make_unique<MemoryStore>();
           }}};
}

class StoreConformanceTest : public ::testing::TestWithParam<Engine> {
 protected:
  void SetUp() override {
    std::string unique = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    for (char& c : unique) c = c == '/' ? '_' : c;
    absl::StatusOr<std::unique_ptr<Store>> store = GetParam().open(unique);
    ASSERT_THAT(store, IsOk());
    store_ = *std::move(store);
  }

  int64_t Put(absl::string_view key, std::string value) {
    const absl::StatusOr<int64_t> revision =
        store_->Commit(StoreTransaction().Put(key, std::move(value)));
    EXPECT_THAT(revision, IsOk());
    return revision.value_or(-1);
  }
  std::string Value(absl::string_view key) {
    const absl::StatusOr<absl::optional<StoreEntry>> entry = store_->Get(key);
    EXPECT_THAT(entry, IsOk());
    return entry.ok() && entry->has_value() ? (*entry)->value : "(none)";
  }
  // The keys of a page, with a trailing "+" where there are more.
  std::string Keys(absl::string_view prefix, absl::string_view after, int limit) {
    const absl::StatusOr<Store::Page> page = store_->List(prefix, after, limit);
    EXPECT_THAT(page, IsOk());
    if (!page.ok()) return "";
    const auto name = [](std::string* out, const StoreEntry& entry) { out->append(entry.key); };
    return absl::StrCat(absl::StrJoin(page->entries, " ", name), page->more ? " +" : "");
  }

  std::unique_ptr<Store> store_;
};

TEST_P(StoreConformanceTest, IsEmptyAtFirst) {
  EXPECT_EQ(Value("a"), "(none)");
  EXPECT_EQ(Keys("", "", 10), "");
  EXPECT_THAT(store_->Count(""), IsOkAndHolds(0));
}

TEST_P(StoreConformanceTest, KeepsValuesByteForByte) {
  const std::string bytes("\0\xff value\n\0", 10);
  Put("some/key", bytes);
  Put("empty", "");
  EXPECT_EQ(Value("some/key"), bytes);
  EXPECT_EQ(Value("empty"), "");
}

TEST_P(StoreConformanceTest, RevisionsGrowAndAreThoseOfTheCommits) {
  const int64_t first = Put("a", "1");
  const int64_t second = Put("b", "1");
  const int64_t third = Put("a", "2");
  EXPECT_GT(first, 0);
  EXPECT_GT(second, first);
  EXPECT_GT(third, second);
  EXPECT_EQ((*store_->Get("a"))->revision, third);
  EXPECT_EQ((*store_->Get("b"))->revision, second);
  EXPECT_GE(store_->List("", "", 1)->revision, third);
}

TEST_P(StoreConformanceTest, DeletesAndDoesNotMindWhatIsNotThere) {
  Put("a", "1");
  EXPECT_THAT(store_->Commit(StoreTransaction().Delete("a").Delete("b")), IsOk());
  EXPECT_EQ(Value("a"), "(none)");
  EXPECT_THAT(store_->Commit(StoreTransaction().Delete("a")), IsOk());
}

TEST_P(StoreConformanceTest, CarriesOutAllOrNothing) {
  const int64_t revision = Put("a", "1");
  StoreTransaction stale;
  stale.RequireRevision("a", revision - 1).Put("a", "2").Put("b", "2");
  EXPECT_THAT(store_->Commit(stale), StatusIs(absl::StatusCode::kAborted));
  StoreTransaction partly;
  partly.RequireRevision("a", revision).RequireAbsent("a").Delete("a").Put("b", "2");
  EXPECT_THAT(store_->Commit(partly), StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(Value("a"), "1");
  EXPECT_EQ(Value("b"), "(none)");
  EXPECT_EQ((*store_->Get("a"))->revision, revision);
  StoreTransaction good;
  good.RequireRevision("a", revision).RequireAbsent("b").Put("a", "3").Put("b", "3");
  const absl::StatusOr<int64_t> done = store_->Commit(good);
  ASSERT_THAT(done, IsOk());
  EXPECT_EQ((*store_->Get("a"))->revision, *done);
  EXPECT_EQ((*store_->Get("b"))->revision, *done);
}

TEST_P(StoreConformanceTest, ConditionsAloneChangeNothing) {
  const int64_t revision = Put("a", "1");
  EXPECT_THAT(store_->Commit(StoreTransaction().RequireRevision("a", revision)), IsOk());
  EXPECT_THAT(store_->Commit(StoreTransaction().RequireAbsent("a")),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ((*store_->Get("a"))->revision, revision);
}

TEST_P(StoreConformanceTest, ListsByPrefixInOrderAndInPages) {
  for (const char* key : {"b/2", "a", "b/1", "b", "c", "b/10", "b0"}) Put(key, "x");
  EXPECT_EQ(Keys("b/", "", 10), "b/1 b/10 b/2");
  EXPECT_EQ(Keys("b/", "", 3), "b/1 b/10 b/2");
  EXPECT_EQ(Keys("b/", "", 2), "b/1 b/10 +");
  EXPECT_EQ(Keys("b/", "b/10", 2), "b/2");
  EXPECT_EQ(Keys("b/", "b/1", 1), "b/10 +");
  EXPECT_EQ(Keys("b/", "b/2", 1), "");
  EXPECT_EQ(Keys("b/", "a", 1), "b/1 +");
  EXPECT_EQ(Keys("b", "", 10), "b b/1 b/10 b/2 b0");
  EXPECT_EQ(Keys("", "", 10), "a b b/1 b/10 b/2 b0 c");
  EXPECT_EQ(Keys("", "b0", 10), "c");
  EXPECT_EQ(Keys("d", "", 10), "");
  EXPECT_THAT(store_->Count("b/"), IsOkAndHolds(3));
  EXPECT_THAT(store_->Count("b"), IsOkAndHolds(5));
  EXPECT_THAT(store_->Count(""), IsOkAndHolds(7));
}

TEST_P(StoreConformanceTest, ListsMoreThanAPage) {
  StoreTransaction batch;
  for (int i = 0; i < 2 * Store::kMaxPage + 1; ++i) {
    batch.Put(absl::StrFormat("many/%05d", i), absl::StrCat(i));
    if (batch.writes().size() < StoreTransaction::kMaxOperations && i < 2 * Store::kMaxPage) {
      continue;
    }
    ASSERT_THAT(store_->Commit(batch), IsOk());
    batch = {};
  }
  Put("more", "x");
  const absl::StatusOr<std::vector<StoreEntry>> all = ListAll(store_.get(), "many/");
  ASSERT_THAT(all, IsOk());
  ASSERT_EQ(all->size(), 2u * Store::kMaxPage + 1);
  for (size_t i = 0; i < all->size(); ++i) EXPECT_EQ((*all)[i].value, absl::StrCat(i));
}

TEST_P(StoreConformanceTest, RefusesWhatIsNoTransaction) {
  const auto refused = [this](const StoreTransaction& transaction) {
    return absl::IsInvalidArgument(store_->Commit(transaction).status());
  };
  EXPECT_TRUE(refused(StoreTransaction().Put("", "x")));
  EXPECT_TRUE(refused(StoreTransaction().Put("with space", "x")));
  EXPECT_TRUE(refused(StoreTransaction().Put("\xc3\xa4", "x")));
  EXPECT_TRUE(refused(StoreTransaction().Put(std::string(1025, 'k'), "x")));
  EXPECT_TRUE(refused(StoreTransaction().RequireAbsent("")));
  EXPECT_TRUE(refused(StoreTransaction().Put("a", "x").Delete("a")));
  EXPECT_TRUE(refused(StoreTransaction().Put("a", std::string(1 << 20, 'x'))));
  StoreTransaction many;
  for (size_t i = 0; i <= StoreTransaction::kMaxOperations; ++i) many.Put(absl::StrCat(i), "x");
  EXPECT_TRUE(refused(many));
  EXPECT_EQ(Keys("", "", 10), "");
}

TEST_P(StoreConformanceTest, TakesTheLargestTransaction) {
  StoreTransaction most;
  for (size_t i = 0; i < StoreTransaction::kMaxOperations; ++i) {
    most.RequireAbsent(absl::StrFormat("%03d", i)).Put(absl::StrFormat("%03d", i), "x");
  }
  while (most.conditions().size() < StoreTransaction::kMaxConditions) most.RequireAbsent("more");
  EXPECT_THAT(store_->Commit(most), IsOk());
  const std::string large(StoreTransaction::kMaxBytes - StoreTransaction::kMaxKeyBytes, 'x');
  Put(std::string(StoreTransaction::kMaxKeyBytes, 'k'), large);
  EXPECT_EQ(Value(std::string(StoreTransaction::kMaxKeyBytes, 'k')), large);
}

TEST_P(StoreConformanceTest, OfManyThatCountUpNoneIsLost) {
  Put("counter", "0");
  std::atomic<int> acknowledged{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this, &acknowledged] {
      for (int done = 0; done < 5;) {
        const StoreEntry entry = **store_->Get("counter");
        const absl::Status status =
            store_
                ->Commit(StoreTransaction()
                             .RequireRevision("counter", entry.revision)
                             .Put("counter", absl::StrCat(std::stoi(entry.value) + 1)))
                .status();
        if (!status.ok()) {
          EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted));
          continue;
        }
        ++done;
        ++acknowledged;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(acknowledged, 40);
  EXPECT_EQ(Value("counter"), "40");
}

TEST_P(StoreConformanceTest, OfManyThatMakeOneKeyOneDoes) {
  std::atomic<int> made{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 32; ++i) {
    threads.emplace_back([this, i, &made] {
      made += store_->Commit(StoreTransaction().RequireAbsent("a").Put("a", absl::StrCat(i))).ok();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
}

TEST_P(StoreConformanceTest, AWatchTellsWhatChangesInOrder) {
  Put("w/old", "0");
  RecordingListener listener;
  const std::unique_ptr<StoreWatch> watch = store_->Watch("w/", &listener);
  ASSERT_TRUE(listener.AwaitResets(1));
  EXPECT_EQ(listener.text(), "");
  Put("w/a", "1");
  Put("v", "not watched");
  Put("w", "not watched");
  ASSERT_THAT(store_->Commit(StoreTransaction().Put("w/b", "2").Put("x", "2").Delete("w/old")),
              IsOk());
  Put("w/a", "3");
  ASSERT_THAT(store_->Commit(StoreTransaction().Delete("w/a")), IsOk());
  EXPECT_TRUE(listener.Await("w/a=1 ; w/b=2 w/old=(deleted) ; w/a=3 ; w/a=(deleted) ; "))
      << listener.text();
  EXPECT_TRUE(listener.ordered());
  EXPECT_EQ(listener.resets(), 1);
}

TEST_P(StoreConformanceTest, NothingIsMissedBetweenTheReadingAndTheWatch) {
  RecordingListener listener;
  // Changes of the time in which it reads.
  listener.ReadWith([this] {
    EXPECT_EQ(Keys("w/", "", 10), "");
    Put("w/during", "1");
    return absl::OkStatus();
  });
  const std::unique_ptr<StoreWatch> watch = store_->Watch("w/", &listener);
  EXPECT_TRUE(listener.Await("w/during=1 ; ")) << listener.text();
}

TEST_P(StoreConformanceTest, AWatchOfEverythingAndAWatchOfOneKey) {
  RecordingListener all;
  RecordingListener one;
  const std::unique_ptr<StoreWatch> watch_all = store_->Watch("", &all);
  const std::unique_ptr<StoreWatch> watch_one = store_->Watch("key", &one);
  ASSERT_TRUE(all.AwaitResets(1) && one.AwaitResets(1));
  Put("key", "1");
  Put("another", "2");
  EXPECT_TRUE(all.Await("key=1 ; another=2 ; ")) << all.text();
  EXPECT_TRUE(one.Await("key=1 ; ")) << one.text();
}

TEST_P(StoreConformanceTest, AListenerThatCouldNotReadIsAskedAgain) {
  RecordingListener listener;
  std::atomic<int> calls{0};
  listener.ReadWith([&calls]() -> absl::Status {
    return ++calls == 1 ? absl::UnavailableError("not now") : absl::OkStatus();
  });
  const std::unique_ptr<StoreWatch> watch = store_->Watch("w/", &listener);
  ASSERT_TRUE(listener.AwaitResets(2));
  Put("w/a", "1");
  EXPECT_TRUE(listener.Await("w/a=1 ; ")) << listener.text();
}

TEST_P(StoreConformanceTest, NothingIsToldOnceAWatchIsGone) {
  RecordingListener listener;
  std::unique_ptr<StoreWatch> watch = store_->Watch("w/", &listener);
  ASSERT_TRUE(listener.AwaitResets(1));
  watch = nullptr;
  RecordingListener other;
  watch = store_->Watch("w/", &other);
  ASSERT_TRUE(other.AwaitResets(1));
  Put("w/a", "1");
  ASSERT_TRUE(other.Await("w/a=1 ; "));
  EXPECT_EQ(listener.text(), "");
}

TEST_P(StoreConformanceTest, WhoStandsAloneLeads) {
  const std::unique_ptr<StoreElection> election = store_->Campaign("keeper");
  const absl::Time deadline = absl::Now() + RecordingListener::kPatience;
  while (!election->Leading().has_value() && absl::Now() < deadline) {
    std::this_thread::yield();
  }
  const absl::optional<StoreCondition> leading = election->Leading();
  ASSERT_TRUE(leading.has_value());
  EXPECT_THAT(store_->Commit(StoreTransaction().Require(*leading).Put("a", "1")), IsOk());
  EXPECT_EQ(Value("a"), "1");
}

INSTANTIATE_TEST_SUITE_P(Engines, StoreConformanceTest, ::testing::ValuesIn(Engines()),
                         [](const ::testing::TestParamInfo<Engine>& info) {
                           return info.param.name;
                         });

}  // namespace
}  // namespace byrnie
