#include "controlplane/store/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/base/unique_fd.h"
#include "controlplane/store/single_process_election.h"
#include "controlplane/store/sqlite_schema.h"
#include "controlplane/store/sqlite_statement.h"
#include "controlplane/store/watch_hub.h"

namespace byrnie {
namespace {

constexpr int kBusyTimeoutMs = 5000;

// Creates the file before SQLite would, with our mode. Never opens one that exists: closing it
// again would take away the POSIX locks that a connection of this process may have on it
// (sqlite.org/howtocorrupt.html, section 2.2). Says whether there was none.
absl::StatusOr<bool> CreateFile(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid() && errno != EEXIST) {
    const std::string message =
        absl::StrCat("store: cannot open \"", path, "\": ", std::strerror(errno));
    switch (errno) {
      case ENOENT:
        return absl::NotFoundError(absl::StrCat(message, "; make its directory first"));
      case EACCES:
      case EPERM:
      case EROFS:
        return absl::PermissionDeniedError(
            absl::StrCat(message, "; give a path that this user may write"));
      case ENOSPC:
      case EDQUOT:
        return absl::UnavailableError(absl::StrCat(message, "; make room on that disk"));
      case ENOTDIR:
        return absl::InvalidArgumentError(absl::StrCat(message, "; give the path of a file"));
      default:
        return absl::UnavailableError(message);
    }
  }
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("store: \"", path, "\" is not a regular file; give the path of one"));
  }
  return fd.valid();
}

// SQLite's connections hold a lock on some of these bytes as long as they are open, in WAL mode at
// any time (sqlite.org/src/file/src/os.h, "PENDING_BYTE").
constexpr off_t kLockBytes = 0x40000000;
constexpr off_t kLockBytesSize = 512;

// True when no other process has the database open.
bool IsUnused(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = kLockBytes;
  lock.l_len = kLockBytesSize;
  return fd.valid() && ::fcntl(fd.get(), F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

std::string LockPath(const std::string& path) { return absl::StrCat(path, ".lock"); }

// Keeps other processes away as long as it is open: what they write is not seen here before the
// next write, and each takes itself for the only one. Beside the database, whose own locks say who
// reads and writes, so that tools for backups can. A lock of the process, so another store of this
// process is let in. FailedPrecondition: another process has it.
absl::StatusOr<UniqueFd> TakeLock(const std::string& path) {
  const std::string name = LockPath(path);
  while (true) {
    UniqueFd fd(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (!fd.valid() || ::fcntl(fd.get(), F_SETLK, &lock) != 0) {
      if (fd.valid() && (errno == EACCES || errno == EAGAIN)) {
        return absl::FailedPreconditionError(
            absl::StrCat("store \"", path, "\": another process has it open and the lock \"", name,
                         "\"; end that one first, or give this one a --store of its own (several "
                         "control planes share an etcd)"));
      }
      return absl::UnavailableError(absl::StrCat("store: cannot lock \"", name,
                                                 "\": ", std::strerror(errno),
                                                 "; let this user write it and its directory"));
    }
    struct stat held, there;
    if (::fstat(fd.get(), &held) == 0 && ::stat(name.c_str(), &there) == 0 &&
        held.st_ino == there.st_ino && held.st_dev == there.st_dev) {
      return fd;
    }
    // Discard() has removed it meanwhile.
  }
}

struct Statements {
  SqliteStatement get, list, list_all, count, count_all, revision_of, revision, next_revision, put,
      erase;
};

class SqliteStoreImpl final : public Store {
 public:
  // `revision` is the store's.
  SqliteStoreImpl(UniqueFd lock, SqliteHandle db, Statements statements, int64_t revision)
      : lock_(std::move(lock)),
        db_(std::move(db)),
        s_(std::move(statements)),
        published_(revision) {}

  absl::StatusOr<absl::optional<StoreEntry>> Get(absl::string_view key) override {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(CheckInPlace());
    SqliteResetter reset(&s_.get);
    ASSIGN_OR_RETURN(bool row, s_.get.BindBlob(1, key).Step());
    if (!row) return absl::optional<StoreEntry>();
    return absl::optional<StoreEntry>(StoreEntry{std::string(key), s_.get.Bytes(0), s_.get.Int(1)});
  }

  absl::StatusOr<Page> List(absl::string_view prefix, absl::string_view after_key,
                            int limit) override {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(CheckInPlace());
    Page page;
    ASSIGN_OR_RETURN(page.revision, Revision());
    SqliteStatement* const list = prefix.empty() ? &s_.list_all : &s_.list;
    SqliteResetter reset(list);
    const std::string start = StorePageStart(prefix, after_key);
    const std::string end = StorePrefixEnd(prefix);
    const size_t most = static_cast<size_t>(std::clamp(limit, 1, kMaxPage));
    list->BindBlob(1, start).BindInt(2, static_cast<int64_t>(most) + 1);
    if (!prefix.empty()) list->BindBlob(3, end);
    while (true) {
      ASSIGN_OR_RETURN(bool row, list->Step());
      if (!row) return page;
      if (page.entries.size() == most) {
        page.more = true;
        return page;
      }
      page.entries.push_back({list->Bytes(0), list->Bytes(1), list->Int(2)});
    }
  }

  absl::StatusOr<int64_t> Count(absl::string_view prefix) override {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(CheckInPlace());
    SqliteStatement* const count = prefix.empty() ? &s_.count_all : &s_.count;
    SqliteResetter reset(count);
    const std::string end = StorePrefixEnd(prefix);
    if (!prefix.empty()) count->BindBlob(1, prefix).BindBlob(2, end);
    ASSIGN_OR_RETURN(bool row, count->Step());
    return row ? count->Int(0) : 0;
  }

  absl::StatusOr<int64_t> Commit(const StoreTransaction& wanted) override {
    RETURN_IF_ERROR(wanted.Check());
    absl::MutexLock lock(&mu_);
    SqliteTransaction transaction(db_.get());
    RETURN_IF_ERROR(transaction.Begin());
    RETURN_IF_ERROR(CheckInPlace());
    for (const StoreCondition& condition : wanted.conditions()) {
      SqliteResetter reset(&s_.revision_of);
      ASSIGN_OR_RETURN(bool row, s_.revision_of.BindBlob(1, condition.key).Step());
      if ((row ? s_.revision_of.Int(0) : 0) != condition.revision) {
        return absl::AbortedError(absl::StrCat("store: \"", condition.key, "\" has changed"));
      }
    }
    ASSIGN_OR_RETURN(const int64_t revision, wanted.writes().empty() ? Revision() : NextRevision());
    for (const StoreWrite& write : wanted.writes()) {
      if (write.value.has_value()) {
        SqliteResetter reset(&s_.put);
        RETURN_IF_ERROR(
            s_.put.BindBlob(1, write.key).BindBlob(2, *write.value).BindInt(3, revision).Run());
      } else {
        SqliteResetter reset(&s_.erase);
        RETURN_IF_ERROR(s_.erase.BindBlob(1, write.key).Run());
      }
    }
    RETURN_IF_ERROR(transaction.Commit());
    if (wanted.writes().empty()) return revision;
    // Commits in between are another process's.
    if (revision != published_ + 1) hub_.Reset();
    published_ = revision;
    hub_.Publish(wanted.writes(), revision);
    return revision;
  }

  std::unique_ptr<StoreWatch> Watch(absl::string_view prefix, StoreListener* listener) override {
    return hub_.Watch(prefix, listener);
  }

  std::unique_ptr<StoreElection> Campaign(absl::string_view name) override {
    return std::make_unique<SingleProcessElection>(name);
  }

 private:
  absl::Status CheckInPlace() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    int moved = 0;
    // One stat().
    const int result = sqlite3_file_control(db_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (result == SQLITE_OK && moved == 0) return absl::OkStatus();
    return absl::UnavailableError(
        absl::StrCat("store \"", sqlite3_db_filename(db_.get(), "main"),
                     "\": the file was removed, or another put in its place, while it was in use; "
                     "put it back, with the -wal and -shm beside it, or end this process and "
                     "restore a backup"));
  }
  absl::StatusOr<int64_t> Revision() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return OnlyInt(&s_.revision);
  }
  absl::StatusOr<int64_t> NextRevision() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return OnlyInt(&s_.next_revision);
  }
  absl::StatusOr<int64_t> OnlyInt(SqliteStatement* statement) {
    SqliteResetter reset(statement);
    ASSIGN_OR_RETURN(bool row, statement->Step());
    if (!row) {
      return absl::UnavailableError(
          absl::StrCat("store \"", sqlite3_db_filename(db_.get(), "main"), "\": ", kDamaged));
    }
    const int64_t value = statement->Int(0);
    RETURN_IF_ERROR(statement->Run());
    return value;
  }

  const UniqueFd lock_;  // Before the database, which must be closed first.
  absl::Mutex mu_;
  SqliteHandle db_;  // Before the statements, which must be finalized first.
  Statements s_ ABSL_GUARDED_BY(mu_);
  // The revision that watches know of.
  int64_t published_ ABSL_GUARDED_BY(mu_);
  WatchHub hub_;
};

absl::StatusOr<Statements> PrepareAll(sqlite3* db) {
  auto prepare = [db](absl::string_view sql) { return SqliteStatement::Prepare(db, sql); };
  ASSIGN_OR_RETURN(auto get, prepare("SELECT value, revision FROM entries WHERE key = ?"));
  ASSIGN_OR_RETURN(auto list, prepare("SELECT key, value, revision FROM entries WHERE key >= ?1 "
                                      "AND key < ?3 ORDER BY key LIMIT ?2"));
  ASSIGN_OR_RETURN(auto list_all, prepare("SELECT key, value, revision FROM entries "
                                          "WHERE key >= ?1 ORDER BY key LIMIT ?2"));
  ASSIGN_OR_RETURN(auto count, prepare("SELECT count(*) FROM entries WHERE key >= ? AND key < ?"));
  ASSIGN_OR_RETURN(auto count_all, prepare("SELECT count(*) FROM entries"));
  ASSIGN_OR_RETURN(auto revision_of, prepare("SELECT revision FROM entries WHERE key = ?"));
  ASSIGN_OR_RETURN(auto revision, prepare("SELECT revision FROM store_revision"));
  ASSIGN_OR_RETURN(auto next_revision,
                   prepare("UPDATE store_revision SET revision = revision + 1 RETURNING revision"));
  ASSIGN_OR_RETURN(
      auto put,
      prepare("INSERT INTO entries (key, value, revision) VALUES (?, ?, ?) ON CONFLICT "
              "(key) DO UPDATE SET value = excluded.value, revision = excluded.revision"));
  ASSIGN_OR_RETURN(auto erase, prepare("DELETE FROM entries WHERE key = ?"));
  return Statements{std::move(get),      std::move(list),          std::move(list_all),
                    std::move(count),    std::move(count_all),     std::move(revision_of),
                    std::move(revision), std::move(next_revision), std::move(put),
                    std::move(erase)};
}

absl::StatusOr<std::unique_ptr<Store>> OpenFile(const std::string& path, UniqueFd* lock) {
  sqlite3* raw = nullptr;
  const int result =
      sqlite3_open_v2(path.c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, nullptr);
  SqliteHandle db(raw);
  if (result != SQLITE_OK) return SqliteError(raw, absl::StrCat("cannot open \"", path, "\""));
  sqlite3_busy_timeout(raw, kBusyTimeoutMs);

  RETURN_IF_ERROR(SqliteSchemaOf(raw, path).status());
  // Before the log files are made: they get the mode of the database.
  if (::chmod(path.c_str(), 0600) != 0) {
    return absl::PermissionDeniedError(absl::StrCat("store: cannot set the mode of \"", path,
                                                    "\" to 0600: ", std::strerror(errno),
                                                    "; run as the user who owns it"));
  }
  RETURN_IF_ERROR(SqliteExecute(raw, "PRAGMA journal_mode = WAL"));
  RETURN_IF_ERROR(SqliteExecute(raw,
                                "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; "
                                "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"));
  RETURN_IF_ERROR(MigrateSqliteSchema(raw, path));
  // The whole file once, so that damage is found now and not by the first agent whose call meets
  // it.
  ASSIGN_OR_RETURN(
      int64_t defects,
      SqliteQueryInt(raw, "SELECT count(*) FROM pragma_quick_check WHERE quick_check <> 'ok'"));
  if (defects > 0) {
    return absl::UnavailableError(absl::StrCat("store \"", path, "\": ", kDamaged));
  }
  ASSIGN_OR_RETURN(Statements statements, PrepareAll(raw));
  ASSIGN_OR_RETURN(int64_t revision, SqliteQueryInt(raw, "SELECT revision FROM store_revision"));
  return std::make_unique<SqliteStoreImpl>(std::move(*lock), std::move(db), std::move(statements),
                                           revision);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> SqliteStore::Open(const std::string& path, Found* found) {
  const absl::optional<mode_t> loose_mode = LooseMode(path);
  // First, lest a file is made that another process's is gone from; what else is wrong with the
  // path CreateFile says better.
  absl::StatusOr<UniqueFd> lock = TakeLock(path);
  if (absl::IsFailedPrecondition(lock.status())) return lock.status();
  const absl::StatusOr<bool> made = CreateFile(path);
  const auto open = [&]() -> absl::StatusOr<std::unique_ptr<Store>> {
    RETURN_IF_ERROR(made.status());
    RETURN_IF_ERROR(lock.status());
    return OpenFile(path, &*lock);
  };
  absl::StatusOr<std::unique_ptr<Store>> store = open();
  const bool created = made.value_or(false);
  if (!store.ok() && created) Discard(path);
  // Nothing is left beside what is no store.
  if (!store.ok() && !created && lock.ok()) ::unlink(LockPath(path).c_str());
  if (found != nullptr) *found = {created, loose_mode};
  return store;
}

void SqliteStore::Discard(const std::string& path) {
  const absl::StatusOr<UniqueFd> lock = TakeLock(path);
  if (!lock.ok() || !IsUnused(path)) return;
  for (const char* suffix : {"", "-wal", "-shm", "-journal", ".lock"}) {
    ::unlink(absl::StrCat(path, suffix).c_str());
  }
}

}  // namespace byrnie
