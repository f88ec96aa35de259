#include "controlplane/store/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
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
// How long a commit that erases waits for who reads the log, a backup perhaps; a later one tries
// again.
constexpr int kEraseTimeoutMs = 1000;
// To write the file anew is tried less often than to cut the log: it is as dear where it fails.
constexpr int kAnewIntervals = 30;
// A greater file is not written anew to erase something: 64 MiB of pages, about a second.
constexpr int64_t kMostPagesWrittenAnew = 16384;

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

// One connection with its statements. In WAL mode a reader sees what was committed when it began
// and waits for no writer, nor a writer for it; each connection is used by one call at a time.
struct Connection {
  mutable absl::Mutex mu;
  SqliteHandle db;  // Before the statements, which must be finalized first.

  absl::Status Open(const std::string& path) {
    sqlite3* raw = nullptr;
    const int result = sqlite3_open_v2(
        path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
        nullptr);
    db.reset(raw);
    if (result != SQLITE_OK) return SqliteError(raw, absl::StrCat("cannot open \"", path, "\""));
    sqlite3_busy_timeout(raw, kBusyTimeoutMs);
    return absl::OkStatus();
  }

  absl::Status CheckInPlace() const {
    int moved = 0;
    // One stat().
    const int result = sqlite3_file_control(db.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (result == SQLITE_OK && moved == 0) return absl::OkStatus();
    return absl::UnavailableError(
        absl::StrCat("store \"", sqlite3_db_filename(db.get(), "main"),
                     "\": the file was removed, or another put in its place, while it was in use; "
                     "put it back, with the -wal and -shm beside it, or end this process and "
                     "restore a backup"));
  }

  // The number in the only row.
  absl::StatusOr<int64_t> OnlyInt(SqliteStatement* statement) const {
    SqliteResetter reset(statement);
    ASSIGN_OR_RETURN(bool row, statement->Step());
    if (!row) {
      return absl::UnavailableError(
          absl::StrCat("store \"", sqlite3_db_filename(db.get(), "main"), "\": ", kDamaged));
    }
    const int64_t value = statement->Int(0);
    RETURN_IF_ERROR(statement->Run());
    return value;
  }
};

// Prepares the statements of one connection, each into its place.
class Preparing {
 public:
  explicit Preparing(const Connection& connection) : db_(connection.db.get()) {}

  Preparing& Add(absl::optional<SqliteStatement>* place, absl::string_view sql) {
    if (!status_.ok()) return *this;
    absl::StatusOr<SqliteStatement> prepared = SqliteStatement::Prepare(db_, sql);
    if (prepared.ok()) {
      place->emplace(*std::move(prepared));
    } else {
      status_ = prepared.status();
    }
    return *this;
  }
  const absl::Status& status() const { return status_; }

 private:
  sqlite3* const db_;  // Not owned.
  absl::Status status_;
};

// What changes the store.
struct Writer : Connection {
  absl::optional<SqliteStatement> revision_of, revision, next_revision, put, erase;
};
// What looks at one entry: never behind a scan.
struct Getter : Connection {
  absl::optional<SqliteStatement> get;
};
// What looks at many.
struct Scanner : Connection {
  absl::optional<SqliteStatement> begin, end, revision, list, list_all, count, count_all;
};

class SqliteStoreImpl final : public Store {
 public:
  // `log_has_erased`: a log was left there by a process that was killed, say, with what it was to
  // erase.
  SqliteStoreImpl(UniqueFd lock, bool log_has_erased, const Clock* clock)
      : clock_(clock == nullptr ? &system_clock_ : clock),
        lock_(std::move(lock)),
        log_has_erased_(log_has_erased) {}

  // Of a database whose schema is there; `writer_db` is open.
  absl::Status Start(const std::string& path, SqliteHandle writer_db) {
    writer_.db = std::move(writer_db);
    for (Connection* reader : std::initializer_list<Connection*>{&getter_, &scanner_}) {
      RETURN_IF_ERROR(reader->Open(path));
      RETURN_IF_ERROR(SqliteExecute(reader->db.get(), "PRAGMA query_only = ON"));
    }
    RETURN_IF_ERROR(PrepareAll());
    absl::MutexLock lock(&writer_.mu);
    ASSIGN_OR_RETURN(published_, writer_.OnlyInt(&*writer_.revision));
    if (log_has_erased_) EmptyLog(kEraseTimeoutMs);
    return absl::OkStatus();
  }

  absl::StatusOr<absl::optional<StoreEntry>> Get(absl::string_view key) override {
    absl::MutexLock lock(&getter_.mu);
    RETURN_IF_ERROR(getter_.CheckInPlace());
    SqliteStatement& get = *getter_.get;
    SqliteResetter reset(&get);
    ASSIGN_OR_RETURN(bool row, get.BindBlob(1, key).Step());
    if (!row) return absl::optional<StoreEntry>();
    return absl::optional<StoreEntry>(StoreEntry{std::string(key), get.Bytes(0), get.Int(1)});
  }

  absl::StatusOr<Page> List(absl::string_view prefix, absl::string_view after_key,
                            int limit) override {
    absl::MutexLock lock(&scanner_.mu);
    RETURN_IF_ERROR(scanner_.CheckInPlace());
    // The revision is to be that of the entries.
    RETURN_IF_ERROR(scanner_.begin->Run());
    absl::StatusOr<Page> page = ListNow(prefix, after_key, limit);
    scanner_.begin->Reset();
    const absl::Status ended = scanner_.end->Run();
    scanner_.end->Reset();
    if (!page.ok()) return page;
    RETURN_IF_ERROR(ended);
    return page;
  }

  absl::StatusOr<int64_t> Count(absl::string_view prefix) override {
    absl::MutexLock lock(&scanner_.mu);
    RETURN_IF_ERROR(scanner_.CheckInPlace());
    SqliteStatement* const count = prefix.empty() ? &*scanner_.count_all : &*scanner_.count;
    SqliteResetter reset(count);
    const std::string end = StorePrefixEnd(prefix);
    if (!prefix.empty()) count->BindBlob(1, prefix).BindBlob(2, end);
    ASSIGN_OR_RETURN(bool row, count->Step());
    return row ? count->Int(0) : 0;
  }

  absl::StatusOr<int64_t> Commit(const StoreTransaction& wanted) override {
    RETURN_IF_ERROR(wanted.Check());
    absl::MutexLock lock(&writer_.mu);
    Writer& w = writer_;
    SqliteTransaction transaction(w.db.get());
    RETURN_IF_ERROR(transaction.Begin());
    RETURN_IF_ERROR(w.CheckInPlace());
    for (const StoreCondition& condition : wanted.conditions()) {
      SqliteResetter reset(&*w.revision_of);
      ASSIGN_OR_RETURN(bool row, w.revision_of->BindBlob(1, condition.key).Step());
      if ((row ? w.revision_of->Int(0) : 0) != condition.revision) {
        return absl::AbortedError(absl::StrCat("store: \"", condition.key, "\" has changed"));
      }
    }
    ASSIGN_OR_RETURN(const int64_t revision,
                     w.OnlyInt(wanted.writes().empty() ? &*w.revision : &*w.next_revision));
    for (const StoreWrite& write : wanted.writes()) {
      if (write.value.has_value()) {
        SqliteResetter reset(&*w.put);
        RETURN_IF_ERROR(
            w.put->BindBlob(1, write.key).BindBlob(2, *write.value).BindInt(3, revision).Run());
      } else {
        SqliteResetter reset(&*w.erase);
        RETURN_IF_ERROR(w.erase->BindBlob(1, write.key).Run());
      }
    }
    RETURN_IF_ERROR(transaction.Commit());
    if (wanted.writes().empty()) return revision;
    // Commits in between are another process's.
    if (revision != published_ + 1) hub_.Reset();
    published_ = revision;
    hub_.Publish(wanted.writes(), revision);
    if (wanted.erases_replaced()) {
      WriteAnew();
      log_has_erased_ = true;
      EmptyLog(kEraseTimeoutMs);
    } else {
      EraseAgain();
    }
    return revision;
  }

  std::unique_ptr<StoreWatch> Watch(absl::string_view prefix, StoreListener* listener) override {
    return hub_.Watch(prefix, listener);
  }

  std::unique_ptr<StoreElection> Campaign(absl::string_view name) override {
    return std::make_unique<SingleProcessElection>(name);
  }

 private:
  absl::StatusOr<Page> ListNow(absl::string_view prefix, absl::string_view after_key, int limit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(scanner_.mu) {
    Page page;
    ASSIGN_OR_RETURN(page.revision, scanner_.OnlyInt(&*scanner_.revision));
    SqliteStatement* const list = prefix.empty() ? &*scanner_.list_all : &*scanner_.list;
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

  // secure_delete overwrites what is deleted where it is, and not what the engine leaves of it in
  // the free part of a page when it moves rows to another one. Where it fails, for want of room
  // perhaps, the file is as it was, and it is tried again.
  void WriteAnew() ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_.mu) {
    const absl::StatusOr<int64_t> pages = SqliteQueryInt(writer_.db.get(), "PRAGMA page_count");
    if (pages.ok() && *pages > kMostPagesWrittenAnew) {
      file_has_erased_ = false;
      return;
    }
    file_has_erased_ = !pages.ok() || !SqliteExecute(writer_.db.get(), "VACUUM").ok();
    next_anew_ = clock_->MonotonicNow() + kAnewIntervals * SqliteStore::kEraseInterval;
  }

  // What an earlier commit could not: waits for nobody, and not at each commit, which would make
  // all of them slow while somebody reads for good, as a program does that replicates the file.
  void EraseAgain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_.mu) {
    const absl::Duration now = clock_->MonotonicNow();
    if (file_has_erased_ && now >= next_anew_) {
      WriteAnew();
      log_has_erased_ = true;
    }
    if (log_has_erased_ && now >= next_empty_) EmptyLog(0);
  }

  // Into the file with it all, and cuts it off: the log keeps what pages were before, however often
  // they are written, until it is begun anew, and then what is behind its end.
  void EmptyLog(int timeout_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_.mu) {
    sqlite3* const db = writer_.db.get();
    sqlite3_busy_timeout(db, timeout_ms);
    const int result =
        sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
    sqlite3_busy_timeout(db, kBusyTimeoutMs);
    log_has_erased_ = result != SQLITE_OK;
    next_empty_ = clock_->MonotonicNow() + SqliteStore::kEraseInterval;
  }

  absl::Status PrepareAll() {
    constexpr char kRevision[] = "SELECT revision FROM store_revision";
    RETURN_IF_ERROR(
        Preparing(writer_)
            .Add(&writer_.revision_of, "SELECT revision FROM entries WHERE key = ?")
            .Add(&writer_.revision, kRevision)
            .Add(&writer_.next_revision,
                 "UPDATE store_revision SET revision = revision + 1 RETURNING revision")
            .Add(&writer_.put,
                 "INSERT INTO entries (key, value, revision) VALUES (?, ?, ?) ON CONFLICT "
                 "(key) DO UPDATE SET value = excluded.value, revision = excluded.revision")
            .Add(&writer_.erase, "DELETE FROM entries WHERE key = ?")
            .status());
    RETURN_IF_ERROR(Preparing(getter_)
                        .Add(&getter_.get, "SELECT value, revision FROM entries WHERE key = ?")
                        .status());
    return Preparing(scanner_)
        .Add(&scanner_.begin, "BEGIN")
        .Add(&scanner_.end, "COMMIT")
        .Add(&scanner_.revision, kRevision)
        .Add(&scanner_.list,
             "SELECT key, value, revision FROM entries WHERE key >= ?1 AND key < ?3 "
             "ORDER BY key LIMIT ?2")
        .Add(&scanner_.list_all,
             "SELECT key, value, revision FROM entries WHERE key >= ?1 ORDER BY key LIMIT ?2")
        .Add(&scanner_.count, "SELECT count(*) FROM entries WHERE key >= ? AND key < ?")
        .Add(&scanner_.count_all, "SELECT count(*) FROM entries")
        .status();
  }

  const SystemClock system_clock_;
  const Clock* const clock_;  // Not owned.
  const UniqueFd lock_;       // Before the database, which must be closed first.
  // Each with its lock, so that neither a scan nor a write that waits for the disk holds up others.
  Writer writer_;
  Getter getter_;
  Scanner scanner_;
  // The revision that watches know of.
  int64_t published_ ABSL_GUARDED_BY(writer_.mu) = 0;
  // Something that was to be erased may still be in the log, or in the free part of the file's
  // pages; and when to try again, monotonic.
  bool log_has_erased_ ABSL_GUARDED_BY(writer_.mu);
  bool file_has_erased_ ABSL_GUARDED_BY(writer_.mu) = false;
  absl::Duration next_empty_ ABSL_GUARDED_BY(writer_.mu);
  absl::Duration next_anew_ ABSL_GUARDED_BY(writer_.mu);
  WatchHub hub_;
};

// Whether there is a log with something in it.
bool HasLog(const std::string& path) {
  struct stat info;
  return ::stat(absl::StrCat(path, "-wal").c_str(), &info) == 0 && info.st_size > 0;
}

absl::StatusOr<std::unique_ptr<Store>> OpenFile(const std::string& path, UniqueFd* lock,
                                                const Clock* clock) {
  // Before this process writes to one.
  const bool left_log = HasLog(path);
  Connection first;
  RETURN_IF_ERROR(first.Open(path));
  sqlite3* const raw = first.db.get();
  ASSIGN_OR_RETURN(const int64_t found_schema, SqliteSchemaOf(raw, path));
  // Before the log files are made: they get the mode of the database.
  if (::chmod(path.c_str(), 0600) != 0) {
    return absl::PermissionDeniedError(absl::StrCat("store: cannot set the mode of \"", path,
                                                    "\" to 0600: ", std::strerror(errno),
                                                    "; run as the user who owns it"));
  }
  RETURN_IF_ERROR(SqliteExecute(raw, "PRAGMA journal_mode = WAL"));
  RETURN_IF_ERROR(SqliteExecute(raw,
                                "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; "
                                "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; "
                                // Secrets are in no file but this one.
                                "PRAGMA temp_store = MEMORY;"));
  RETURN_IF_ERROR(MigrateSqliteSchema(raw, path));
  ASSIGN_OR_RETURN(const int64_t schema, SqliteSchemaOf(raw, path));
  // The log has what an older schema kept where it was.
  const bool moved = found_schema > 0 && found_schema != schema;
  // The whole file once, so that damage is found now and not by the first agent whose call meets
  // it.
  ASSIGN_OR_RETURN(
      int64_t defects,
      SqliteQueryInt(raw, "SELECT count(*) FROM pragma_quick_check WHERE quick_check <> 'ok'"));
  if (defects > 0) {
    return absl::UnavailableError(absl::StrCat("store \"", path, "\": ", kDamaged));
  }
  auto store = std::make_unique<SqliteStoreImpl>(std::move(*lock), left_log || moved, clock);
  RETURN_IF_ERROR(store->Start(path, std::move(first.db)));
  return absl::StatusOr<std::unique_ptr<Store>>(std::move(store));
}

}  // namespace

constexpr absl::Duration SqliteStore::kEraseInterval;

absl::StatusOr<std::unique_ptr<Store>> SqliteStore::Open(const std::string& path, Found* found,
                                                         const Clock* clock) {
  const absl::optional<mode_t> loose_mode = LooseMode(path);
  // First, lest a file is made that another process's is gone from; what else is wrong with the
  // path CreateFile says better.
  absl::StatusOr<UniqueFd> lock = TakeLock(path);
  if (absl::IsFailedPrecondition(lock.status())) return lock.status();
  const absl::StatusOr<bool> made = CreateFile(path);
  const auto open = [&]() -> absl::StatusOr<std::unique_ptr<Store>> {
    RETURN_IF_ERROR(made.status());
    RETURN_IF_ERROR(lock.status());
    return OpenFile(path, &*lock, clock);
  };
  absl::StatusOr<std::unique_ptr<Store>> store = open();
  const bool created = made.value_or(false);
  if (!store.ok() && created) Discard(path);
  // Nothing is left beside what is no store.
  if (!store.ok() && !created && lock.ok()) ::unlink(LockPath(path).c_str());
  if (found != nullptr) *found = {created, loose_mode};
  return store;
}

std::vector<std::string> SqliteStore::TracesOfLostFile(const std::string& path) {
  struct stat info;
  const bool there = ::stat(path.c_str(), &info) == 0;
  // The engine writes the first page before it begins a log, and takes the log away where it finds
  // no page.
  if (there && info.st_size > 0) return {};
  std::vector<std::string> traces;
  if (HasLog(path)) traces.push_back(absl::StrCat("its log, ", path, "-wal, is there"));
  // Made a moment before the file, which is empty until the engine has opened it.
  if (!there && ::access(LockPath(path).c_str(), F_OK) == 0) {
    traces.push_back(absl::StrCat("its lock, ", LockPath(path), ", is there"));
  }
  return traces;
}

void SqliteStore::Discard(const std::string& path) {
  const absl::StatusOr<UniqueFd> lock = TakeLock(path);
  if (!lock.ok() || !IsUnused(path)) return;
  for (const char* suffix : {"", "-wal", "-shm", "-journal", ".lock"}) {
    ::unlink(absl::StrCat(path, suffix).c_str());
  }
}

}  // namespace byrnie
