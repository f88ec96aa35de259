#include "controlplane/store/sqlite_store.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

std::string Path() {
  return absl::StrCat(::testing::TempDir(), "/",
                      ::testing::UnitTest::GetInstance()->current_test_info()->name(), ".db");
}

void Sql(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(db);
  sqlite3_close(db);
}

TEST(SqliteStoreTest, KeepsEverythingAcrossAReopen) {
  std::string key = "key";
  {
    auto store = SqliteStore::Open(Path());
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE(
        (*store)->CreateAuthority({"cluster.local", "root", SecretBytes::TakeFrom(&key)}).ok());
    ASSERT_TRUE((*store)->SetOperatorTokenHash(std::string(32, 'o')).ok());
    ASSERT_TRUE(
        (*store)
            ->AddJoinToken(
                {std::string(32, 't'), "spiffe://cluster.local/x", kNow + absl::Minutes(1)}, kNow)
            .ok());
  }
  auto store = SqliteStore::Open(Path());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*(*store)->LoadAuthority())->root_der, "root");
  EXPECT_EQ(**(*store)->LoadOperatorTokenHash(), std::string(32, 'o'));
  EXPECT_TRUE((*store)->ConsumeJoinToken(std::string(32, 't'), kNow).ok());
}

TEST(SqliteStoreTest, AllFilesAreForTheOwnerAlone) {
  { std::ofstream(Path()).flush(); }
  ::chmod(Path().c_str(), 0644);
  auto store = SqliteStore::Open(Path());
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE((*store)->SetOperatorTokenHash("x").ok());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat info;
    ASSERT_EQ(::stat(absl::StrCat(Path(), suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << suffix;
  }
}

TEST(SqliteStoreTest, TwoStoresOfOneFileUseATokenOnce) {
  auto first = SqliteStore::Open(Path());
  auto second = SqliteStore::Open(Path());
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(
      (*first)
          ->AddJoinToken({std::string(32, 't'), "spiffe://x/y", kNow + absl::Minutes(1)}, kNow)
          .ok());
  EXPECT_TRUE((*second)->ConsumeJoinToken(std::string(32, 't'), kNow).ok());
  EXPECT_EQ((*first)->ConsumeJoinToken(std::string(32, 't'), kNow).code(),
            absl::StatusCode::kNotFound);
}

TEST(SqliteStoreTest, AWriteThatFailsIsUnavailableAndChangesNothing) {
  auto store = SqliteStore::Open(Path());
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE(
      (*store)
          ->AddJoinToken({std::string(32, 'a'), "spiffe://x/y", kNow + absl::Minutes(1)}, kNow)
          .ok());
  Sql(Path(),
      "CREATE TRIGGER broken BEFORE INSERT ON join_tokens "
      "BEGIN SELECT RAISE(ABORT, 'disk on fire'); END;");
  const absl::Status status = (*store)->AddJoinToken(
      {std::string(32, 'b'), "spiffe://x/y", kNow + absl::Hours(1)}, kNow + absl::Minutes(2));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("disk on fire"));
  // The expired token was to be forgotten in the same transaction: it is still there.
  EXPECT_TRUE((*store)->FindJoinToken(std::string(32, 'a'), kNow).ok());
}

TEST(SqliteStoreTest, RefusesAFileThatIsNoDatabase) {
  std::ofstream(Path()) << std::string(4096, 'x');
  ::chmod(Path().c_str(), 0644);
  const absl::Status status = SqliteStore::Open(Path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not a SQLite database"));
  struct stat info;
  ASSERT_EQ(::stat(Path().c_str(), &info), 0);
  EXPECT_NE(info.st_mode & 0777, 0600u) << "the file of somebody else was changed";
}

TEST(SqliteStoreTest, RefusesTheDatabaseOfAnotherProgram) {
  Sql(Path(), "CREATE TABLE bookmarks (url TEXT)");
  const absl::Status status = SqliteStore::Open(Path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("another program"));
}

TEST(SqliteStoreTest, RefusesTheSchemaOfANewerVersion) {
  ASSERT_TRUE(SqliteStore::Open(Path()).ok());
  Sql(Path(), "PRAGMA user_version = 99");
  const absl::Status status = SqliteStore::Open(Path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("schema version 99"));
}

TEST(SqliteStoreTest, NamesAMissingDirectory) {
  const absl::Status status = SqliteStore::Open("/nonexistent/dir/cp.db").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/dir/cp.db"));
}

}  // namespace
}  // namespace byrnie
