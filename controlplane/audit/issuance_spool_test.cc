#include <sqlite3.h>
#include <sys/stat.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/audit/issuance_codec.h"
#include "controlplane/audit/memory_spool.h"
#include "controlplane/audit/spool_file.h"
#include "controlplane/audit/testing/some_issuance.h"
#include "controlplane/store/sqlite_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);
constexpr char kOwner[] = "cluster.local in etcd:byrnie/";

std::string Path() {
  std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
  for (char& c : name) c = c == '/' ? '-' : c;
  return absl::StrCat(::testing::TempDir(), "/", name, ".db");
}

Logger* SilentLogger() {
  static auto* const logger = new Logger(2, Logger::Format::kText, LogLevel::kError);
  return logger;
}

std::unique_ptr<SpoolFile> OpenFile() {
  bool created = false;
  auto file = SpoolFile::Open(Path(), kOwner, SilentLogger(), &created);
  EXPECT_THAT(file, IsOk());
  return *std::move(file);
}

std::vector<IssuanceRecord> Records(int from, int to) {
  std::vector<IssuanceRecord> records;
  for (int i = from; i <= to; ++i) {
    records.push_back(SomeIssuance(kNow + absl::Seconds(i), absl::StrCat(i)));
  }
  return records;
}

std::vector<std::string> Serials(const IssuanceSpool::Batch& batch) {
  std::vector<std::string> serials;
  for (const IssuanceRecord& record : batch.records) serials.push_back(record.serial);
  return serials;
}

struct Kind {
  const char* name;
  std::function<std::unique_ptr<IssuanceSpool>(MetricRegistry*)> make;
};

class IssuanceSpoolTest : public ::testing::TestWithParam<Kind> {
 protected:
  void TearDown() override {
    spool_ = nullptr;
    SqliteStore::Discard(Path());
  }
  MetricRegistry metrics_;
  std::unique_ptr<IssuanceSpool> spool_ = GetParam().make(&metrics_);
};

TEST_P(IssuanceSpoolTest, GivesTheOldestUntilTheyAreRemoved) {
  ASSERT_THAT(spool_->Append(Records(4, 6)), IsOk());
  ASSERT_THAT(spool_->Append(Records(1, 3)), IsOk());
  auto oldest = spool_->Oldest();
  ASSERT_THAT(oldest, IsOk());
  EXPECT_THAT(Serials(*oldest), ElementsAre("1", "2", "3", "4", "5", "6"));
  EXPECT_EQ(oldest->records[0].issued_at, kNow + absl::Seconds(1));
  EXPECT_THAT(oldest->records[0].audience, ElementsAre("billing", "stock"));
  // One that comes meanwhile stays, also an older one.
  ASSERT_THAT(spool_->Append(Records(0, 0)), IsOk());
  ASSERT_THAT(spool_->Remove(*oldest), IsOk());
  ASSERT_THAT(spool_->Remove(*oldest), IsOk());
  EXPECT_THAT(Serials(*spool_->Oldest()), ElementsAre("0"));
}

TEST_P(IssuanceSpoolTest, AppendingAgainChangesNothing) {
  ASSERT_THAT(spool_->Append(Records(1, 2)), IsOk());
  ASSERT_THAT(spool_->Append(Records(1, 2)), IsOk());
  EXPECT_THAT(Serials(*spool_->Oldest()), ElementsAre("1", "2"));
}

TEST_P(IssuanceSpoolTest, GivesABatchAtATime) {
  constexpr int kBatch = static_cast<int>(IssuanceStore::kMaxBatch);
  ASSERT_THAT(spool_->Append(Records(1, kBatch)), IsOk());
  ASSERT_THAT(spool_->Append(Records(kBatch + 1, kBatch + 5)), IsOk());
  const IssuanceSpool::Batch first = *spool_->Oldest();
  EXPECT_THAT(first.records, SizeIs(kBatch));
  ASSERT_THAT(spool_->Remove(first), IsOk());
  const IssuanceSpool::Batch second = *spool_->Oldest();
  EXPECT_THAT(second.records, SizeIs(5));
  ASSERT_THAT(spool_->Remove(second), IsOk());
  EXPECT_THAT(spool_->Oldest()->keys, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(All, IssuanceSpoolTest,
                         ::testing::Values(Kind{"Memory",
                                                [](MetricRegistry* metrics) {
                                                  return std::make_unique<MemorySpool>(
                                                      metrics->AddCounter("dropped", ""));
                                                }},
                                           Kind{"File",
                                                [](MetricRegistry*) { return OpenFile(); }}),
                         [](const auto& info) { return info.param.name; });

TEST(MemorySpoolTest, DropsTheOldestAndCountsThem) {
  MetricRegistry metrics;
  Counter* const dropped = metrics.AddCounter("dropped", "");
  MemorySpool spool(dropped);
  constexpr int kBatch = static_cast<int>(IssuanceStore::kMaxBatch);
  for (int i = 0; i < static_cast<int>(MemorySpool::kMost); i += kBatch) {
    ASSERT_THAT(spool.Append(Records(i, i + kBatch - 1)), IsOk());
  }
  EXPECT_EQ(dropped->value(), 0u);
  const int next = static_cast<int>(MemorySpool::kMost);
  ASSERT_THAT(spool.Append(Records(next, next + 2)), IsOk());
  EXPECT_EQ(dropped->value(), 3u);
  EXPECT_EQ(spool.Oldest()->records[0].serial, "3");
}

TEST(SpoolFileTest, KeepsThemForTheNextProcessAndFromOthers) {
  ASSERT_THAT(OpenFile()->Append(Records(1, 3)), IsOk());
  struct stat info;
  ASSERT_EQ(::stat(Path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_THAT(Serials(*OpenFile()->Oldest()), ElementsAre("1", "2", "3"));
}

// Puts garbage in the place of some that wait.
void Damage(int from, int to) {
  auto store = *SqliteStore::Open(Path());
  for (const IssuanceRecord& record : Records(from, to)) {
    ASSERT_THAT(store->Commit(StoreTransaction().Put(IssuanceKey(record), "garbage")), IsOk());
  }
}

TEST(SpoolFileTest, KeepsTheBytesOfWhatIsDamaged) {
  ASSERT_THAT(OpenFile()->Append(Records(1, 3)), IsOk());
  Damage(2, 2);
  {
    auto spool = OpenFile();
    const IssuanceSpool::Batch oldest = *spool->Oldest();
    EXPECT_THAT(Serials(oldest), ElementsAre("1", "2", "3"));
    EXPECT_EQ(oldest.records[1].proof, kUnreadableProof);
    ASSERT_THAT(spool->Remove(oldest), IsOk());
    ASSERT_THAT(spool->Remove(oldest), IsOk());
    EXPECT_THAT(spool->Oldest()->keys, IsEmpty());
  }
  auto store = *SqliteStore::Open(Path());
  const std::string key = IssuanceKey(Records(2, 2)[0]);
  EXPECT_EQ((*store->Get(absl::StrCat("damaged/", key)))->value, "garbage");
  EXPECT_THAT(store->Count("damaged/"), IsOkAndHolds(1));
  EXPECT_THAT(store->Count("issuances/"), IsOkAndHolds(0));
}

// As a tool would.
void Change(const char* sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(Path().c_str(), &db), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
}

TEST(SpoolFileTest, ADamagedOneThatCannotBeSetAsideHoldsUpNoOther) {
  constexpr int kBatch = static_cast<int>(IssuanceStore::kMaxBatch);
  ASSERT_THAT(OpenFile()->Append(Records(1, kBatch)), IsOk());
  ASSERT_THAT(OpenFile()->Append(Records(kBatch + 1, kBatch + 3)), IsOk());
  Damage(2, kBatch);
  Change(
      "CREATE TRIGGER full BEFORE INSERT ON entries WHEN CAST(NEW.key AS TEXT) LIKE 'damaged/%' "
      "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END");
  {
    auto spool = OpenFile();
    const IssuanceSpool::Batch oldest = *spool->Oldest();
    EXPECT_THAT(oldest.keys, SizeIs(kBatch));
    ASSERT_THAT(spool->Remove(oldest), IsOk());
    const IssuanceSpool::Batch next = *spool->Oldest();
    EXPECT_THAT(Serials(next), ElementsAre("101", "102", "103"));
    ASSERT_THAT(spool->Remove(next), IsOk());
    EXPECT_THAT(spool->Oldest()->keys, IsEmpty());
  }
  Change("DROP TRIGGER full");
  // They are there for the next process.
  auto spool = OpenFile();
  const IssuanceSpool::Batch oldest = *spool->Oldest();
  EXPECT_THAT(oldest.keys, SizeIs(kBatch - 1));
  ASSERT_THAT(spool->Remove(oldest), IsOk());
  EXPECT_THAT(spool->Oldest()->keys, IsEmpty());
}

TEST(SpoolFileTest, KeepsNoMoreOfTheDamagedThanItSays) {
  constexpr int kMost = static_cast<int>(SpoolFile::kMostDamaged);
  Damage(1, kMost + 5);
  {
    auto store = *SqliteStore::Open(Path());
    ASSERT_THAT(store->Commit(StoreTransaction().Put("spool/owner", kOwner)), IsOk());
  }
  {
    auto spool = OpenFile();
    for (IssuanceSpool::Batch oldest = *spool->Oldest(); !oldest.keys.empty();
         oldest = *spool->Oldest()) {
      ASSERT_THAT(spool->Remove(oldest), IsOk());
    }
  }
  auto store = *SqliteStore::Open(Path());
  EXPECT_THAT(store->Count("damaged/"), IsOkAndHolds(kMost));
}

TEST(SpoolFileTest, RefusesAnothersFile) {
  ASSERT_THAT(OpenFile()->Append(Records(1, 3)), IsOk());
  bool created = true;
  EXPECT_THAT(SpoolFile::Open(Path(), "other.example in etcd:byrnie/", SilentLogger(), &created),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr(Path()), HasSubstr(kOwner), HasSubstr("other.example"))));
  EXPECT_FALSE(created);
}

TEST(SpoolFileTest, RefusesAStore) {
  {
    auto store = SqliteStore::Open(Path());
    ASSERT_THAT(store, IsOk());
    ASSERT_THAT((*store)->Commit(StoreTransaction().Put("authority", "a key")), IsOk());
  }
  bool created = true;
  EXPECT_THAT(
      SpoolFile::Open(Path(), kOwner, SilentLogger(), &created),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a store of another kind")));
}

}  // namespace
}  // namespace byrnie
