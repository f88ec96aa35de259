#include "controlplane/store/sqlite_store.h"

#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/records/authority_record.h"
#include "controlplane/records/join_token_record.h"
#include "controlplane/records/jwt_key_record.h"
#include "controlplane/records/operator_token_record.h"
#include "controlplane/store/testing/recording_listener.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

absl::Status Create(Store* store, const std::string& key) {
  return store->Commit(StoreTransaction().RequireAbsent(key).Put(key, "value")).status();
}

TEST(SqliteStoreTest, KeepsEverythingAcrossAReopen) {
  int64_t revision = 0;
  {
    auto store = SqliteStore::Open(Path());
    ASSERT_THAT(store, IsOk());
    ASSERT_THAT(Create(store->get(), "a"), IsOk());
    revision = (*(*store)->Get("a"))->revision;
  }
  auto store = SqliteStore::Open(Path());
  ASSERT_THAT(store, IsOk());
  EXPECT_EQ((*(*store)->Get("a"))->value, "value");
  EXPECT_EQ((*(*store)->Get("a"))->revision, revision);
  EXPECT_GT(*(*store)->Commit(StoreTransaction().Put("b", "")), revision);
}

TEST(SqliteStoreTest, AllFilesAreForTheOwnerAlone) {
  { std::ofstream(Path()).flush(); }
  ::chmod(Path().c_str(), 0644);
  auto store = SqliteStore::Open(Path());
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_THAT(Create(store->get(), "a"), IsOk());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat info;
    ASSERT_EQ(::stat(absl::StrCat(Path(), suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << suffix;
  }
}

// The tables of earlier versions, as they made them.
constexpr char kFirstSchema[] = R"sql(
PRAGMA journal_mode = WAL;
PRAGMA application_id = 1115255406;
CREATE TABLE authority (
  id INTEGER PRIMARY KEY CHECK (id = 1), trust_domain TEXT NOT NULL, root_der BLOB NOT NULL,
  key_pkcs8 BLOB NOT NULL) STRICT;
CREATE TABLE join_tokens (
  hash BLOB PRIMARY KEY, spiffe_id TEXT NOT NULL, expires_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX join_tokens_by_expiry ON join_tokens (expires_at_us);
CREATE TABLE operator_token (id INTEGER PRIMARY KEY CHECK (id = 1), hash BLOB NOT NULL) STRICT;
INSERT INTO authority VALUES (1, 'cluster.local', x'00ff01', x'00736563726574');
INSERT INTO join_tokens VALUES (x'aa00', 'spiffe://cluster.local/a', 1800000060000001);
INSERT INTO join_tokens VALUES (x'bb00', 'spiffe://cluster.local/b', 1800000120000000);
INSERT INTO operator_token VALUES (1, x'6f6f');
PRAGMA user_version = 1;
)sql";
constexpr char kSecondSchema[] = R"sql(
CREATE TABLE jwt_keys (
  id TEXT PRIMARY KEY, key_pkcs8 BLOB NOT NULL, signs_from_us INTEGER NOT NULL,
  not_after_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO jwt_keys VALUES ('z', x'01', 1800000000000000, 1800003600000000);
INSERT INTO jwt_keys VALUES ('a', x'02', 1800001800000000, 1800005400000000);
PRAGMA user_version = 2;
)sql";

void ExpectRecordsOfTheFirstSchema(Store* store) {
  auto authority = LoadAuthority(store);
  ASSERT_THAT(authority, IsOk());
  ASSERT_TRUE(authority->has_value());
  EXPECT_EQ((*authority)->trust_domain, "cluster.local");
  EXPECT_EQ((*authority)->root_der, std::string("\0\xff\x01", 3));
  EXPECT_EQ((*authority)->key_pkcs8.view(), absl::string_view("\0secret", 7));
  EXPECT_THAT(LoadOperatorTokenHash(store), IsOkAndHolds(absl::optional<std::string>("oo")));
  const std::string hash("\xaa\0", 2);
  auto token = FindJoinToken(store, hash, kNow);
  ASSERT_THAT(token, IsOk());
  EXPECT_EQ(token->spiffe_id, "spiffe://cluster.local/a");
  EXPECT_EQ(token->expires_at, kNow + absl::Minutes(1) + absl::Microseconds(1));
  EXPECT_THAT(ConsumeJoinToken(store, hash, kNow), IsOk());
  EXPECT_THAT(ConsumeJoinToken(store, hash, kNow), StatusIs(absl::StatusCode::kNotFound));
  // Those that expire are found by their ends.
  EXPECT_THAT(AddJoinToken(store, {"c", "spiffe://cluster.local/c", kNow + absl::Hours(1)},
                           kNow + absl::Minutes(3)),
              IsOk());
  EXPECT_THAT(store->Count("join_token"), IsOkAndHolds(2));
}

TEST(SqliteStoreTest, TakesAFileOfTheFirstSchema) {
  Sql(Path(), kFirstSchema);
  auto store = SqliteStore::Open(Path());
  ASSERT_THAT(store, IsOk());
  ExpectRecordsOfTheFirstSchema(store->get());
  std::vector<std::string> damaged;
  EXPECT_TRUE(LoadJwtKeys(store->get(), kNow, &damaged)->empty());
  EXPECT_THAT(SqliteStore::Open(Path()), IsOk());
}

TEST(SqliteStoreTest, TakesAFileOfTheSecondSchema) {
  Sql(Path(), kFirstSchema);
  Sql(Path(), kSecondSchema);
  auto store = SqliteStore::Open(Path());
  ASSERT_THAT(store, IsOk());
  ExpectRecordsOfTheFirstSchema(store->get());
  std::vector<std::string> damaged;
  auto keys = LoadJwtKeys(store->get(), kNow, &damaged);
  ASSERT_THAT(keys, IsOk());
  ASSERT_EQ(keys->size(), 2u);
  EXPECT_EQ((*keys)[0].id, "z");
  EXPECT_EQ((*keys)[0].key_pkcs8.view(), "\x01");
  EXPECT_EQ((*keys)[1].id, "a");
  EXPECT_EQ((*keys)[1].signs_from, kNow + absl::Minutes(30));
  EXPECT_EQ((*keys)[1].not_after, kNow + absl::Minutes(90));
}

TEST(SqliteStoreTest, AnOlderFileThatCannotBeTakenOverStaysAsItIs) {
  Sql(Path(), kFirstSchema);
  Sql(Path(), kSecondSchema);
  // No key of an entry is as long.
  Sql(Path(), "UPDATE join_tokens SET hash = zeroblob(2000) WHERE hash = x'bb00'");
  EXPECT_THAT(SqliteStore::Open(Path()), StatusIs(absl::StatusCode::kInvalidArgument));
  Sql(Path(), "UPDATE join_tokens SET hash = x'bb00' WHERE hash = zeroblob(2000)");
  auto store = SqliteStore::Open(Path());
  ASSERT_THAT(store, IsOk());
  ExpectRecordsOfTheFirstSchema(store->get());
}

TEST(SqliteStoreTest, NoKeyOfAnOlderSchemaIsLeftInTheFile) {
  Sql(Path(), kFirstSchema);
  Sql(Path(), "UPDATE authority SET key_pkcs8 = CAST('plain old secret' AS BLOB)");
  {
    auto store = SqliteStore::Open(Path());
    ASSERT_THAT(store, IsOk());
    ASSERT_THAT((*store)->Commit(StoreTransaction().Delete("authority")), IsOk());
  }
  std::ifstream file(Path(), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  EXPECT_EQ(bytes.find("plain old secret"), std::string::npos);
}

// Those of a store that are there, whole.
std::string BytesOnDisk(const std::string& path) {
  std::string bytes;
  for (const char* suffix : {"", "-wal", "-journal"}) {
    std::ifstream file(absl::StrCat(path, suffix), std::ios::binary);
    bytes.append(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return bytes;
}

// Of several sizes, among other entries that come and go, so that it has been on several pages.
TEST(SqliteStoreTest, WhatIsErasedIsInNoFileWhileTheStoreIsOpen) {
  auto opened = SqliteStore::Open(Path());
  ASSERT_THAT(opened, IsOk());
  Store* const store = opened->get();
  for (const size_t size : {100, 700, 3000, 20000}) {
    const auto value = [&](absl::string_view secret) {
      return absl::StrCat(std::string(size, 'a'), secret, std::string(size, 'b'));
    };
    for (int i = 0; i < 60; ++i) {
      ASSERT_THAT(store->Commit(StoreTransaction()
                                    .Put("trust", value(absl::StrCat("secret", i % 2)))
                                    .Put("jwt", value("secret3"))
                                    .Put(absl::StrCat("trus", i * 7 % 50, "x"),
                                         std::string(20 + i * 37 % 900, 'c'))
                                    .Delete(absl::StrCat("trus", (i * 7 + 21) % 50, "x"))),
                  IsOk());
    }
    EXPECT_THAT(BytesOnDisk(Path()), HasSubstr("secret1"));
    ASSERT_THAT(store->Commit(
                    StoreTransaction().Put("trust", value("public")).Delete("jwt").EraseReplaced()),
                IsOk());
    for (const char* secret : {"secret0", "secret1", "secret3"}) {
      EXPECT_EQ(BytesOnDisk(Path()).find(secret), std::string::npos) << secret << " of " << size;
    }
    EXPECT_EQ((*store->Get("trust"))->value, value("public"));
  }
}

// A backup, say. What it reads stays until it is done.
TEST(SqliteStoreTest, WhatSomebodyReadsIsErasedWithALaterCommit) {
  FakeClock clock;
  auto store = SqliteStore::Open(Path(), nullptr, &clock);
  ASSERT_THAT(store, IsOk());
  ASSERT_THAT((*store)->Commit(StoreTransaction().Put("a", "secret1")), IsOk());
  sqlite3* reader = nullptr;
  ASSERT_EQ(sqlite3_open(Path().c_str(), &reader), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM entries", nullptr, nullptr, nullptr),
            SQLITE_OK);
  ASSERT_THAT((*store)->Commit(StoreTransaction().Delete("a").EraseReplaced()), IsOk());
  EXPECT_THAT(BytesOnDisk(Path()), HasSubstr("secret1"));
  ASSERT_EQ(sqlite3_exec(reader, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(reader);
  // Not at each one, which would slow all down where somebody reads for good.
  ASSERT_THAT((*store)->Commit(StoreTransaction().Put("b", "value")), IsOk());
  EXPECT_THAT(BytesOnDisk(Path()), HasSubstr("secret1"));
  clock.Advance(SqliteStore::kEraseInterval);
  ASSERT_THAT((*store)->Commit(StoreTransaction().Put("b", "value")), IsOk());
  EXPECT_EQ(BytesOnDisk(Path()).find("secret1"), std::string::npos);
}

TEST(SqliteStoreTest, CutsTheLogAtTheStartWhereOneWasLeft) {
  const std::string log = absl::StrCat(Path(), "-wal");
  const auto log_size = [&log] {
    struct stat info;
    return ::stat(log.c_str(), &info) == 0 ? info.st_size : 0;
  };
  {
    // Of a new file there is nothing to erase.
    auto store = SqliteStore::Open(Path());
    ASSERT_THAT(store, IsOk());
    EXPECT_GT(log_size(), 0);
    ASSERT_THAT((*store)->Commit(StoreTransaction().Put("a", "value")), IsOk());
    EXPECT_GT(log_size(), 0);
    // As a process leaves it that is killed.
    for (const char* suffix : {"", "-wal"}) {
      std::ifstream from(absl::StrCat(Path(), suffix), std::ios::binary);
      std::ofstream(absl::StrCat(Path(), ".killed", suffix), std::ios::binary) << from.rdbuf();
    }
  }
  for (const char* suffix : {"", "-wal"}) {
    ASSERT_EQ(::rename(absl::StrCat(Path(), ".killed", suffix).c_str(),
                       absl::StrCat(Path(), suffix).c_str()),
              0);
  }
  ASSERT_GT(log_size(), 0);
  auto store = SqliteStore::Open(Path());
  ASSERT_THAT(store, IsOk());
  EXPECT_EQ(log_size(), 0);
  EXPECT_EQ((*(*store)->Get("a"))->value, "value");
}

TEST(SqliteStoreTest, TwoStoresOfOneFileAreOne) {
  auto first = SqliteStore::Open(Path());
  auto second = SqliteStore::Open(Path());
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_THAT(Create(first->get(), "a"), IsOk());
  EXPECT_THAT(Create(second->get(), "a"), StatusIs(absl::StatusCode::kAborted));
}

TEST(SqliteStoreTest, AWatchBeginsAnewOnceAnotherProcessHasWritten) {
  auto ours = SqliteStore::Open(Path());
  auto others = SqliteStore::Open(Path());
  ASSERT_TRUE(ours.ok() && others.ok());
  RecordingListener listener;
  const std::unique_ptr<StoreWatch> watch = (*ours)->Watch("", &listener);
  ASSERT_TRUE(listener.AwaitResets(1));
  ASSERT_THAT(Create(others->get(), "a"), IsOk());
  ASSERT_THAT(Create(ours->get(), "b"), IsOk());
  EXPECT_TRUE(listener.AwaitResets(2));
}

// One that waits for the disk, or for a tool that has the file, as here.
TEST(SqliteStoreTest, WhoReadsWaitsForNobodyWhoWrites) {
  auto store = SqliteStore::Open(Path());
  ASSERT_THAT(store, IsOk());
  ASSERT_THAT(Create(store->get(), "a"), IsOk());
  sqlite3* tool = nullptr;
  ASSERT_EQ(sqlite3_open(Path().c_str(), &tool), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(tool, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  std::atomic<bool> started{false}, written{false};
  std::thread writer([&] {
    started = true;
    EXPECT_THAT(Create(store->get(), "b"), IsOk());
    written = true;
  });
  while (!started) std::this_thread::yield();
  for (int i = 0; i < 300; ++i) {
    EXPECT_TRUE((*store)->Get("a")->has_value());
    EXPECT_EQ((*store)->List("", "", 10)->entries.size(), 1u);
    EXPECT_EQ(*(*store)->Count(""), 1);
    EXPECT_FALSE(written);
  }
  ASSERT_EQ(sqlite3_exec(tool, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(tool);
  writer.join();
  EXPECT_TRUE((*store)->Get("b")->has_value());
}

TEST(SqliteStoreTest, AWriteThatFailsIsUnavailableAndChangesNothing) {
  auto store = SqliteStore::Open(Path());
  ASSERT_THAT(store, IsOk());
  ASSERT_THAT(Create(store->get(), "a"), IsOk());
  const int64_t revision = (*store)->List("", "", 1)->revision;
  Sql(Path(),
      "CREATE TRIGGER broken BEFORE INSERT ON entries WHEN NEW.key = CAST('b' AS BLOB) "
      "BEGIN SELECT RAISE(ABORT, 'disk on fire'); END;");
  EXPECT_THAT((*store)->Commit(StoreTransaction().Delete("a").Put("b", "")),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("disk on fire")));
  EXPECT_EQ((*(*store)->Get("a"))->value, "value");
  EXPECT_EQ((*store)->List("", "", 1)->revision, revision);
}

TEST(SqliteStoreTest, DoesNothingWhileItsFileIsNotInItsPlace) {
  auto store = SqliteStore::Open(Path());
  ASSERT_THAT(store, IsOk());
  ASSERT_THAT(Create(store->get(), "a"), IsOk());
  const std::string moved = absl::StrCat(Path(), ".moved");
  const auto expect_nothing = [&] {
    const auto gone = StatusIs(absl::StatusCode::kUnavailable,
                               AllOf(HasSubstr(Path()), HasSubstr("put it back")));
    EXPECT_THAT(Create(store->get(), "b"), gone);
    EXPECT_THAT((*store)->Get("a"), gone);
    EXPECT_THAT((*store)->List("", "", 1), gone);
    EXPECT_THAT((*store)->Count(""), gone);
  };
  ASSERT_EQ(::rename(Path().c_str(), moved.c_str()), 0);
  expect_nothing();
  std::ofstream(Path()) << "another";
  expect_nothing();
  ASSERT_EQ(::rename(moved.c_str(), Path().c_str()), 0);
  EXPECT_THAT(Create(store->get(), "b"), IsOk());
  ASSERT_EQ(::unlink(Path().c_str()), 0);
  expect_nothing();
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
  EXPECT_NE(::access(absl::StrCat(Path(), ".lock").c_str(), F_OK), 0);
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

TEST(SqliteStoreTest, SaysWhatIsLeftOfALostFile) {
  EXPECT_THAT(SqliteStore::TracesOfLostFile(Path()), IsEmpty());
  {
    auto store = SqliteStore::Open(Path());
    ASSERT_TRUE(store.ok());
    ASSERT_THAT(Create(store->get(), "a"), IsOk());
    EXPECT_THAT(SqliteStore::TracesOfLostFile(Path()), IsEmpty());
    // As a volume has it of a machine that was gone.
    const std::string log = absl::StrCat(Path(), "-wal");
    ASSERT_EQ(::link(log.c_str(), absl::StrCat(Path(), ".kept").c_str()), 0);
  }
  EXPECT_THAT(SqliteStore::TracesOfLostFile(Path()), IsEmpty());
  ASSERT_EQ(::unlink(Path().c_str()), 0);
  EXPECT_THAT(SqliteStore::TracesOfLostFile(Path()), ElementsAre(HasSubstr(".db.lock")));
  ASSERT_EQ(::rename(absl::StrCat(Path(), ".kept").c_str(), absl::StrCat(Path(), "-wal").c_str()),
            0);
  EXPECT_THAT(SqliteStore::TracesOfLostFile(Path()),
              ElementsAre(HasSubstr(".db-wal"), HasSubstr(".db.lock")));
  std::ofstream(Path()).close();
  EXPECT_THAT(SqliteStore::TracesOfLostFile(Path()), ElementsAre(HasSubstr(".db-wal")));
}

TEST(SqliteStoreTest, DiscardsEveryFileOfAStore) {
  {
    auto store = SqliteStore::Open(Path());
    ASSERT_TRUE(store.ok());
    ASSERT_THAT(Create(store->get(), "a"), IsOk());
  }
  SqliteStore::Discard(Path());
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    EXPECT_NE(::access(absl::StrCat(Path(), suffix).c_str(), F_OK), 0) << suffix;
  }
}

// Another process that has the store of Path() open.
class OtherProcess {
 public:
  OtherProcess() {
    int ready[2];
    if (::pipe(ready) != 0 || ::pipe(done_) != 0) return;
    child_ = ::fork();
    if (child_ == 0) {
      ::close(done_[1]);
      auto store = SqliteStore::Open(Path());
      char byte = store.ok() ? 'y' : 'n';
      if (::write(ready[1], &byte, 1) == 1) (void)!::read(done_[0], &byte, 1);
      ::_exit(0);
    }
    char byte = 'n';
    opened_ = ::read(ready[0], &byte, 1) == 1 && byte == 'y';
  }
  ~OtherProcess() {
    ::close(done_[1]);
    ::waitpid(child_, nullptr, 0);
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  bool opened() const { return opened_; }

 private:
  int done_[2] = {-1, -1};
  pid_t child_ = -1;
  bool opened_ = false;
};

TEST(SqliteStoreTest, DiscardsNothingThatAnotherProcessHasOpen) {
  const OtherProcess other;
  ASSERT_TRUE(other.opened());
  SqliteStore::Discard(Path());
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    EXPECT_EQ(::access(absl::StrCat(Path(), suffix).c_str(), F_OK), 0) << suffix;
  }
}

TEST(SqliteStoreTest, RefusesAFileThatAnotherProcessHasOpen) {
  {
    const OtherProcess other;
    ASSERT_TRUE(other.opened());
    const auto refused =
        StatusIs(absl::StatusCode::kFailedPrecondition,
                 AllOf(HasSubstr(Path()), HasSubstr("another process"), HasSubstr("etcd")));
    EXPECT_THAT(SqliteStore::Open(Path()), refused);
    // Nor is a new one made where the other's was.
    ASSERT_EQ(::unlink(Path().c_str()), 0);
    EXPECT_THAT(SqliteStore::Open(Path()), refused);
    EXPECT_NE(::access(Path().c_str(), F_OK), 0);
  }
  EXPECT_THAT(SqliteStore::Open(Path()), IsOk());
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
  int entries = 0;
  for (; status.ok() && entries < 10000; ++entries) {
    status = Create(store->get(), absl::StrCat(1000 + entries));
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(path), HasSubstr("disk is full"), HasSubstr("make room")));
  // What is known can still be read, and nothing was half done.
  const std::string last = absl::StrCat(1000 + entries - 1);
  EXPECT_FALSE((*store)->Get(last)->has_value());
  EXPECT_TRUE((*store)->Get("1000")->has_value());
  ASSERT_EQ(::mount("none", disk.c_str(), "tmpfs", MS_REMOUNT, "size=1m"), 0);
  EXPECT_THAT(Create(store->get(), last), IsOk());
  EXPECT_THAT((*store)->Commit(StoreTransaction().Delete(last)), IsOk());
}

// To write the file anew takes as much room again.
TEST(SqliteStoreTest, WhatCannotBeWrittenAnewForWantOfRoomIsLater) {
  const std::string disk = absl::StrCat(Path(), ".disk");
  if (!MountDisk(disk, "size=16m")) GTEST_SKIP() << "no disk can be mounted here";
  const std::string path = absl::StrCat(disk, "/cp.db");
  FakeClock clock;
  auto store = SqliteStore::Open(path, nullptr, &clock);
  ASSERT_THAT(store, IsOk());
  for (int i = 0; i < 200; ++i) {
    ASSERT_THAT(
        (*store)->Commit(StoreTransaction().Put(absl::StrCat(1000 + i), std::string(3000, 'v'))),
        IsOk());
  }
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT((*store)->Commit(StoreTransaction().Delete(absl::StrCat(1000 + i))), IsOk());
  }
  Sql(path, "PRAGMA wal_checkpoint(TRUNCATE)");
  const auto size_of = [](const std::string& name) {
    struct stat info;
    return ::stat(name.c_str(), &info) == 0 ? info.st_size : -1;
  };
  const auto size = size_of(path);
  ASSERT_EQ(size_of(absl::StrCat(path, "-wal")), 0);
  struct statvfs left;
  ASSERT_EQ(::statvfs(disk.c_str(), &left), 0);
  constexpr size_t kRoom = 128 * 1024;
  const size_t all = left.f_bavail * left.f_frsize;
  ASSERT_GT(all, kRoom);
  std::ofstream(absl::StrCat(disk, "/others")) << std::string(all - kRoom, 'x');
  ASSERT_THAT((*store)->Commit(StoreTransaction().Delete("1100").EraseReplaced()), IsOk());
  EXPECT_EQ(size_of(path), size);
  ASSERT_EQ(::unlink(absl::StrCat(disk, "/others").c_str()), 0);
  ASSERT_THAT((*store)->Commit(StoreTransaction().Put("a", "value")), IsOk());
  EXPECT_EQ(size_of(path), size) << "it is not tried at each commit";
  clock.Advance(absl::Minutes(1));
  ASSERT_THAT((*store)->Commit(StoreTransaction().Put("a", "value")), IsOk());
  EXPECT_LT(size_of(path), size);
  EXPECT_TRUE((*(*store)->Get("1199")).has_value());
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
