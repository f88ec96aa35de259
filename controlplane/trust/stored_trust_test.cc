#include "controlplane/trust/stored_trust.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "controlplane/store/sqlite_store.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);

class StoredTrustTest : public ::testing::Test {
 protected:
  int64_t Put(const char* key, const char* value) {
    return *store_.Commit(StoreTransaction().Put(key, value));
  }

  MemoryStore store_;
  StoredTrust trust_{&store_};
};

TEST_F(StoredTrustTest, KeepsATimeBesideTheRecord) {
  EXPECT_EQ(trust_.LoadTime()->revision, 0);
  const int64_t record = Put(StoredTrust::kKey, "a record");
  ASSERT_THAT(trust_.KeepTime(kNow, 0, record), IsOk());
  const TrustStore::KeptTime kept = *trust_.LoadTime();
  EXPECT_EQ(kept.time, kNow);
  ASSERT_THAT(trust_.KeepTime(kNow + absl::Minutes(1), kept.revision, record), IsOk());
  EXPECT_EQ(trust_.LoadTime()->time, kNow + absl::Minutes(1));
  EXPECT_EQ((*store_.Get(StoredTrust::kKey))->revision, record);
}

TEST_F(StoredTrustTest, OfTwoWhoKeepATimeOneWins) {
  const int64_t record = Put(StoredTrust::kKey, "a record");
  ASSERT_THAT(trust_.KeepTime(kNow, 0, record), IsOk());
  EXPECT_THAT(trust_.KeepTime(kNow + absl::Hours(1), 0, record),
              StatusIs(absl::StatusCode::kAborted));
  // Nor may one who does not follow the record.
  const int64_t revision = trust_.LoadTime()->revision;
  Put(StoredTrust::kKey, "another one");
  EXPECT_THAT(trust_.KeepTime(kNow + absl::Hours(1), revision, record),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(trust_.LoadTime()->time, kNow);
}

// Over the engine that has a file: the key of a root that is gone from the record.
TEST(StoredTrustFileTest, AKeyThatIsTakenOutIsInNoFile) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/keys.db");
  auto store = SqliteStore::Open(path);
  ASSERT_THAT(store, IsOk());
  StoredTrust trust(store->get());
  TrustRecord record;
  record.trust_domain = "cluster.local";
  record.current = {"aa", "one root", "the first root's key"};
  ASSERT_OK_AND_ASSIGN(int64_t revision, trust.Commit(record, 0));
  record.current = {"bb", "another root", "another key"};
  ASSERT_THAT(trust.Commit(record, revision), IsOk());
  for (const char* suffix : {"", "-wal"}) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(absl::StrCat(path, suffix), 1 << 24));
    EXPECT_EQ(bytes.find("the first root's key"), std::string::npos) << suffix;
  }
}

// To erase holds up whoever else writes.
TEST(StoredTrustFileTest, ErasesOnlyWhereAKeyIsTakenOut) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/moves.db");
  auto store = SqliteStore::Open(path);
  ASSERT_THAT(store, IsOk());
  StoredTrust trust(store->get());
  // The log is cut off by what erases, and only by that while it is short.
  const auto erased = [&path] { return ReadFile(absl::StrCat(path, "-wal"), 1 << 24)->empty(); };
  TrustRecord record;
  record.trust_domain = "cluster.local";
  record.current = {"aa", "one root", "the first root's key"};
  ASSERT_OK_AND_ASSIGN(int64_t revision, trust.Commit(record, 0));
  EXPECT_TRUE(erased());
  const auto commit = [&] { ASSERT_OK_AND_ASSIGN(revision, trust.Commit(record, revision)); };
  record.rotation.emplace();
  record.rotation->since = kNow;
  record.rotation->next = {"bb", "another root", "another key"};
  commit();
  EXPECT_FALSE(erased());
  record.rotation->step = RotationStep::kDistributed;
  record.rotation->distributed_at = kNow;
  record.rotation->automatic = true;
  commit();
  EXPECT_FALSE(erased());
  record.current.stored_key = "the first root's key, sealed";
  commit();
  EXPECT_TRUE(erased());
  record.root_count = 2;
  commit();
  EXPECT_FALSE(erased());
  const RotationRecord rotation = *record.rotation;
  record.rotation.reset();
  commit();
  EXPECT_TRUE(erased());
  record.rotation = rotation;
  commit();
  record.current = record.rotation->next;
  record.rotation.reset();
  commit();
  EXPECT_TRUE(erased());
}

TEST_F(StoredTrustTest, ATimeThatCannotBeReadIsNoneAndIsReplaced) {
  const int64_t record = Put(StoredTrust::kKey, "a record");
  for (const char* damaged : {"\xff\xff", ""}) {
    const int64_t revision = Put(StoredTrust::kTimeKey, damaged);
    EXPECT_EQ(trust_.LoadTime()->time, absl::nullopt);
    ASSERT_THAT(trust_.KeepTime(kNow, revision, record), IsOk());
    EXPECT_EQ(trust_.LoadTime()->time, kNow);
  }
}

}  // namespace
}  // namespace byrnie
