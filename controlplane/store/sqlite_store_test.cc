#include "controlplane/store/sqlite_store.h"

#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

std::string Path() {
  // As SQLite spells it.
  return absl::StrCat(absl::StripSuffix(::testing::TempDir(), "/"), "/",
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

TEST(SqliteStoreTest, TakesAFileOfTheFirstSchema) {
  {
    auto store = SqliteStore::Open(Path());
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->SetOperatorTokenHash(std::string(32, 'o')).ok());
  }
  Sql(Path(), "DROP TABLE jwt_keys; PRAGMA user_version = 1;");
  auto store = SqliteStore::Open(Path());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(**(*store)->LoadOperatorTokenHash(), std::string(32, 'o'));
  EXPECT_TRUE((*store)->LoadJwtKeys(kNow)->empty());
  EXPECT_TRUE(SqliteStore::Open(Path()).ok());
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

TEST(SqliteStoreTest, SaysWhatItFound) {
  SqliteStore::Found found;
  ASSERT_TRUE(SqliteStore::Open(Path(), &found).ok());
  EXPECT_TRUE(found.created);
  EXPECT_EQ(found.loose_mode, absl::nullopt);
  ::chmod(Path().c_str(), 0640);
  ASSERT_TRUE(SqliteStore::Open(Path(), &found).ok());
  EXPECT_FALSE(found.created);
  EXPECT_EQ(found.loose_mode, mode_t{0640});
}

TEST(SqliteStoreTest, NamesADamagedFileAndTheRemedy) {
  ASSERT_TRUE(SqliteStore::Open(Path()).ok());
  {
    std::fstream file(Path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(0, std::ios::end);
    const auto size = static_cast<size_t>(file.tellp());
    ASSERT_GT(size, 4096u);
    file.seekp(4096);
    file << std::string(size - 4096, '\xff');
  }
  const absl::Status status = SqliteStore::Open(Path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(Path()), HasSubstr("damaged"), HasSubstr("backup")));
  EXPECT_EQ(::access(Path().c_str(), F_OK), 0) << "it was not made by this start";
}

TEST(SqliteStoreTest, DiscardsEveryFileOfAStore) {
  {
    auto store = SqliteStore::Open(Path());
    ASSERT_TRUE(store.ok());
    ASSERT_TRUE((*store)->SetOperatorTokenHash("x").ok());
  }
  SqliteStore::Discard(Path());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    EXPECT_NE(::access(absl::StrCat(Path(), suffix).c_str(), F_OK), 0) << suffix;
  }
}

TEST(SqliteStoreTest, DiscardsNothingThatAnotherProcessHasOpen) {
  int ready[2];
  int done[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(done), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(done[1]);
    auto store = SqliteStore::Open(Path());
    char byte = store.ok() ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) == 1) (void)!::read(done[0], &byte, 1);
    ::_exit(0);
  }
  char opened = 'n';
  ASSERT_EQ(::read(ready[0], &opened, 1), 1);
  ASSERT_EQ(opened, 'y');
  SqliteStore::Discard(Path());
  EXPECT_EQ(::access(Path().c_str(), F_OK), 0);
  ::close(done[1]);
  ::waitpid(child, nullptr, 0);
}

// A disk of its own for this process, or false where that is not allowed.
bool MountDisk(const std::string& directory, const char* size) {
  return ::mkdir(directory.c_str(), 0700) == 0 && ::unshare(CLONE_NEWNS) == 0 &&
         ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("none", directory.c_str(), "tmpfs", 0, size) == 0;
}

TEST(SqliteStoreTest, OnAFullDiskItSaysSoAndGoesOnWhenThereIsRoom) {
  const std::string disk = absl::StrCat(Path(), ".disk");
  if (!MountDisk(disk, "size=256k")) GTEST_SKIP() << "no disk can be mounted here";
  const std::string path = absl::StrCat(disk, "/cp.db");
  auto store = SqliteStore::Open(path);
  ASSERT_TRUE(store.ok()) << store.status();
  absl::Status status;
  int tokens = 0;
  for (; status.ok() && tokens < 10000; ++tokens) {
    const std::string hash = absl::StrCat(std::string(28, 't'), 1000 + tokens);
    status = (*store)->AddJoinToken({hash, "spiffe://x/y", kNow + absl::Minutes(1)}, kNow);
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(path), HasSubstr("disk is full"), HasSubstr("make room")));
  // What is known can still be read, and nothing was half done.
  const std::string last = absl::StrCat(std::string(28, 't'), 1000 + tokens - 1);
  EXPECT_EQ((*store)->FindJoinToken(last, kNow).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE((*store)->FindJoinToken(absl::StrCat(std::string(28, 't'), 1000), kNow).ok());
  ASSERT_EQ(::mount("none", disk.c_str(), "tmpfs", MS_REMOUNT, "size=1m"), 0);
  EXPECT_TRUE((*store)->AddJoinToken({last, "spiffe://x/y", kNow + absl::Minutes(1)}, kNow).ok());
  EXPECT_TRUE((*store)->ConsumeJoinToken(last, kNow).ok());
}

TEST(SqliteStoreTest, AFileThatCouldNotBeMadeWholeIsRemoved) {
  const std::string disk = absl::StrCat(Path(), ".disk");
  if (!MountDisk(disk, "size=16k")) GTEST_SKIP() << "no disk can be mounted here";
  const absl::Status status = SqliteStore::Open(absl::StrCat(disk, "/cp.db")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("make room"));
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    EXPECT_NE(::access(absl::StrCat(disk, "/cp.db", suffix).c_str(), F_OK), 0) << suffix;
  }
}

TEST(SqliteStoreTest, NamesAMissingDirectory) {
  const absl::Status status = SqliteStore::Open("/nonexistent/dir/cp.db").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/dir/cp.db"));
}

}  // namespace
}  // namespace byrnie
