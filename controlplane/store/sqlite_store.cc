#include "controlplane/store/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/file.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"
#include "common/base/unique_fd.h"
#include "controlplane/store/sqlite_statement.h"

namespace byrnie {
namespace {

// "Byrn" as a number: tells our files from other SQLite databases.
constexpr int kApplicationId = 0x4279726e;
constexpr int kSchemaVersion = 2;
constexpr int kBusyTimeoutMs = 5000;

constexpr char kSchema[] = R"sql(
CREATE TABLE authority (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  trust_domain TEXT NOT NULL,
  root_der BLOB NOT NULL,
  key_pkcs8 BLOB NOT NULL
) STRICT;
CREATE TABLE join_tokens (
  hash BLOB PRIMARY KEY,
  spiffe_id TEXT NOT NULL,
  expires_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX join_tokens_by_expiry ON join_tokens (expires_at_us);
CREATE TABLE operator_token (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  hash BLOB NOT NULL
) STRICT;
)sql";

// What version 2 added.
constexpr char kSchemaOfJwtKeys[] = R"sql(
CREATE TABLE jwt_keys (
  id TEXT PRIMARY KEY,
  key_pkcs8 BLOB NOT NULL,
  signs_from_us INTEGER NOT NULL,
  not_after_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
)sql";

absl::Status Execute(sqlite3* db, const std::string& sql) {
  if (sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return SqliteError(db, "cannot run");
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> QueryInt(sqlite3* db, absl::string_view sql) {
  ASSIGN_OR_RETURN(SqliteStatement statement, SqliteStatement::Prepare(db, sql));
  ASSIGN_OR_RETURN(bool row, statement.Step());
  return row ? statement.Int(0) : 0;
}

// A write transaction; rolled back unless committed. IMMEDIATE takes the write lock at once, so
// that what is read inside stays true until the commit.
class Transaction {
 public:
  explicit Transaction(sqlite3* db) : db_(db) {}
  ~Transaction() {
    if (open_) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  absl::Status Begin() {
    RETURN_IF_ERROR(Execute(db_, "BEGIN IMMEDIATE"));
    open_ = true;
    return absl::OkStatus();
  }
  absl::Status Commit() {
    RETURN_IF_ERROR(Execute(db_, "COMMIT"));
    open_ = false;
    return absl::OkStatus();
  }

 private:
  sqlite3* db_;  // Not owned.
  bool open_ = false;
};

// Creates the file before SQLite would, with our mode. Never opens one that exists: closing it
// again would take away the POSIX locks that a connection of this process may have on it
// (sqlite.org/howtocorrupt.html, section 2.2).
// Says whether there was none.
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

// The schema's version; 0: a file with nothing in it. Only reads: the file of another program is
// left as it is.
absl::StatusOr<int64_t> SchemaOf(sqlite3* db, const std::string& path) {
  absl::StatusOr<int64_t> application = QueryInt(db, "PRAGMA application_id");
  if (sqlite3_errcode(db) == SQLITE_NOTADB) {
    return absl::InvalidArgumentError(absl::StrCat(
        "store: \"", path, "\" is not a SQLite database; give the path of one, or of no file yet"));
  }
  if (!application.ok()) return application.status();
  ASSIGN_OR_RETURN(int64_t version, QueryInt(db, "PRAGMA user_version"));
  ASSIGN_OR_RETURN(int64_t tables, QueryInt(db, "SELECT count(*) FROM sqlite_schema"));
  if (*application == 0 && version == 0 && tables == 0) return 0;
  if (*application != kApplicationId) {
    return absl::InvalidArgumentError(absl::StrCat(
        "store: \"", path, "\" is the database of another program; give another path"));
  }
  if (version < 1 || version > kSchemaVersion) {
    return absl::InvalidArgumentError(absl::StrCat(
        "store: \"", path, "\" has schema version ", version, ", this program knows ",
        kSchemaVersion, "; use the version of byrnie-controlplane that wrote it, or another path"));
  }
  return version;
}

absl::Status Migrate(sqlite3* db, const std::string& path) {
  Transaction transaction(db);
  RETURN_IF_ERROR(transaction.Begin());
  // Asked again under the lock: another process may have been faster.
  ASSIGN_OR_RETURN(int64_t version, SchemaOf(db, path));
  if (version < 1) {
    RETURN_IF_ERROR(Execute(db, kSchema));
    RETURN_IF_ERROR(Execute(db, absl::StrCat("PRAGMA application_id = ", kApplicationId)));
  }
  if (version < 2) RETURN_IF_ERROR(Execute(db, kSchemaOfJwtKeys));
  if (version < kSchemaVersion) {
    RETURN_IF_ERROR(Execute(db, absl::StrCat("PRAGMA user_version = ", kSchemaVersion)));
  }
  return transaction.Commit();
}

struct Statements {
  SqliteStatement load_authority, create_authority;
  SqliteStatement expire_tokens, count_tokens, add_token, find_token, consume_token;
  SqliteStatement load_jwt_keys, expire_jwt_keys, count_later_jwt_keys, add_jwt_key;
  SqliteStatement load_operator, set_operator;
};

class SqliteStoreImpl final : public Store {
 public:
  SqliteStoreImpl(SqliteHandle db, Statements statements)
      : db_(std::move(db)), s_(std::move(statements)) {}

  absl::StatusOr<absl::optional<AuthorityRecord>> LoadAuthority() override {
    absl::MutexLock lock(&mu_);
    SqliteResetter reset(&s_.load_authority);
    ASSIGN_OR_RETURN(bool row, s_.load_authority.Step());
    if (!row) return absl::optional<AuthorityRecord>();
    AuthorityRecord record;
    record.trust_domain = s_.load_authority.Bytes(0);
    record.root_der = s_.load_authority.Bytes(1);
    record.key_pkcs8 = Secret(s_.load_authority.BorrowedBytes(2));
    return absl::optional<AuthorityRecord>(std::move(record));
  }

  absl::Status CreateAuthority(const AuthorityRecord& authority) override {
    absl::MutexLock lock(&mu_);
    SqliteResetter reset(&s_.create_authority);
    s_.create_authority.BindText(1, authority.trust_domain)
        .BindBlob(2, authority.root_der)
        .BindBlob(3, authority.key_pkcs8.view());
    RETURN_IF_ERROR(s_.create_authority.Run());
    if (sqlite3_changes(db_.get()) == 0) {
      return absl::AlreadyExistsError("store: there is a certificate authority already");
    }
    return absl::OkStatus();
  }

  absl::Status AddJoinToken(const JoinTokenRecord& token, absl::Time now) override {
    absl::MutexLock lock(&mu_);
    Transaction transaction(db_.get());
    RETURN_IF_ERROR(transaction.Begin());
    {
      SqliteResetter reset(&s_.expire_tokens);
      RETURN_IF_ERROR(s_.expire_tokens.BindInt(1, absl::ToUnixMicros(now)).Run());
    }
    {
      SqliteResetter reset(&s_.count_tokens);
      ASSIGN_OR_RETURN(bool row, s_.count_tokens.Step());
      if (row && s_.count_tokens.Int(0) >= kMaxJoinTokens) {
        return absl::ResourceExhaustedError(absl::StrCat(
            "store: ", kMaxJoinTokens, " join tokens are waiting to be used; let some expire"));
      }
    }
    {
      SqliteResetter reset(&s_.add_token);
      s_.add_token.BindBlob(1, token.hash)
          .BindText(2, token.spiffe_id)
          .BindInt(3, absl::ToUnixMicros(token.expires_at));
      RETURN_IF_ERROR(s_.add_token.Run());
      if (sqlite3_changes(db_.get()) == 0) {
        return absl::AlreadyExistsError("store: the join token is known already");
      }
    }
    return transaction.Commit();
  }

  absl::StatusOr<JoinTokenRecord> FindJoinToken(const std::string& hash, absl::Time now) override {
    absl::MutexLock lock(&mu_);
    SqliteResetter reset(&s_.find_token);
    s_.find_token.BindBlob(1, hash).BindInt(2, absl::ToUnixMicros(now));
    ASSIGN_OR_RETURN(bool row, s_.find_token.Step());
    if (!row) return UnknownToken();
    JoinTokenRecord record;
    record.hash = hash;
    record.spiffe_id = s_.find_token.Bytes(0);
    record.expires_at = absl::FromUnixMicros(s_.find_token.Int(1));
    return record;
  }

  absl::Status ConsumeJoinToken(const std::string& hash, absl::Time now) override {
    absl::MutexLock lock(&mu_);
    SqliteResetter reset(&s_.consume_token);
    // One statement is one transaction: it deletes the row or finds none.
    s_.consume_token.BindBlob(1, hash).BindInt(2, absl::ToUnixMicros(now));
    RETURN_IF_ERROR(s_.consume_token.Run());
    return sqlite3_changes(db_.get()) == 1 ? absl::OkStatus() : UnknownToken();
  }

  absl::StatusOr<std::vector<JwtKeyRecord>> LoadJwtKeys(absl::Time now) override {
    absl::MutexLock lock(&mu_);
    SqliteResetter reset(&s_.load_jwt_keys);
    s_.load_jwt_keys.BindInt(1, absl::ToUnixMicros(now));
    std::vector<JwtKeyRecord> keys;
    while (true) {
      ASSIGN_OR_RETURN(bool row, s_.load_jwt_keys.Step());
      if (!row) return keys;
      JwtKeyRecord key;
      key.id = s_.load_jwt_keys.Bytes(0);
      key.key_pkcs8 = Secret(s_.load_jwt_keys.BorrowedBytes(1));
      key.signs_from = absl::FromUnixMicros(s_.load_jwt_keys.Int(2));
      key.not_after = absl::FromUnixMicros(s_.load_jwt_keys.Int(3));
      keys.push_back(std::move(key));
    }
  }

  absl::Status AddJwtKey(const JwtKeyRecord& key, absl::Time after, absl::Time now) override {
    absl::MutexLock lock(&mu_);
    Transaction transaction(db_.get());
    RETURN_IF_ERROR(transaction.Begin());
    {
      SqliteResetter reset(&s_.expire_jwt_keys);
      RETURN_IF_ERROR(s_.expire_jwt_keys.BindInt(1, absl::ToUnixMicros(now)).Run());
    }
    {
      SqliteResetter reset(&s_.count_later_jwt_keys);
      s_.count_later_jwt_keys.BindInt(1, absl::ToUnixMicros(after));
      ASSIGN_OR_RETURN(bool row, s_.count_later_jwt_keys.Step());
      if (row && s_.count_later_jwt_keys.Int(0) > 0) {
        return absl::AlreadyExistsError("store: there is a later JWT key already");
      }
    }
    {
      SqliteResetter reset(&s_.add_jwt_key);
      s_.add_jwt_key.BindText(1, key.id)
          .BindBlob(2, key.key_pkcs8.view())
          .BindInt(3, absl::ToUnixMicros(key.signs_from))
          .BindInt(4, absl::ToUnixMicros(key.not_after));
      RETURN_IF_ERROR(s_.add_jwt_key.Run());
      if (sqlite3_changes(db_.get()) == 0) {
        return absl::AlreadyExistsError("store: the JWT key is known already");
      }
    }
    return transaction.Commit();
  }

  absl::StatusOr<absl::optional<std::string>> LoadOperatorTokenHash() override {
    absl::MutexLock lock(&mu_);
    SqliteResetter reset(&s_.load_operator);
    ASSIGN_OR_RETURN(bool row, s_.load_operator.Step());
    if (!row) return absl::optional<std::string>();
    return absl::optional<std::string>(s_.load_operator.Bytes(0));
  }

  absl::Status SetOperatorTokenHash(const std::string& hash) override {
    absl::MutexLock lock(&mu_);
    SqliteResetter reset(&s_.set_operator);
    return s_.set_operator.BindBlob(1, hash).Run();
  }

 private:
  static SecretBytes Secret(absl::string_view bytes) {
    return SecretBytes(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  }
  static absl::Status UnknownToken() {
    return absl::NotFoundError("store: the join token is unknown, used or expired");
  }

  absl::Mutex mu_;
  SqliteHandle db_;  // Before the statements, which must be finalized first.
  Statements s_ ABSL_GUARDED_BY(mu_);
};

absl::StatusOr<Statements> PrepareAll(sqlite3* db) {
  auto prepare = [db](absl::string_view sql) { return SqliteStatement::Prepare(db, sql); };
  ASSIGN_OR_RETURN(auto load_authority,
                   prepare("SELECT trust_domain, root_der, key_pkcs8 FROM authority"));
  ASSIGN_OR_RETURN(auto create_authority,
                   prepare("INSERT INTO authority (id, trust_domain, root_der, key_pkcs8) "
                           "VALUES (1, ?, ?, ?) ON CONFLICT DO NOTHING"));
  ASSIGN_OR_RETURN(auto expire_tokens, prepare("DELETE FROM join_tokens WHERE expires_at_us <= ?"));
  ASSIGN_OR_RETURN(auto count_tokens, prepare("SELECT count(*) FROM join_tokens"));
  ASSIGN_OR_RETURN(auto add_token,
                   prepare("INSERT INTO join_tokens (hash, spiffe_id, expires_at_us) "
                           "VALUES (?, ?, ?) ON CONFLICT DO NOTHING"));
  ASSIGN_OR_RETURN(auto find_token, prepare("SELECT spiffe_id, expires_at_us FROM join_tokens "
                                            "WHERE hash = ? AND expires_at_us > ?"));
  ASSIGN_OR_RETURN(auto consume_token,
                   prepare("DELETE FROM join_tokens WHERE hash = ? AND expires_at_us > ?"));
  ASSIGN_OR_RETURN(auto load_jwt_keys,
                   prepare("SELECT id, key_pkcs8, signs_from_us, not_after_us FROM jwt_keys "
                           "WHERE not_after_us > ? ORDER BY signs_from_us, id"));
  ASSIGN_OR_RETURN(auto expire_jwt_keys, prepare("DELETE FROM jwt_keys WHERE not_after_us <= ?"));
  ASSIGN_OR_RETURN(auto count_later_jwt_keys,
                   prepare("SELECT count(*) FROM jwt_keys WHERE signs_from_us > ?"));
  ASSIGN_OR_RETURN(auto add_jwt_key,
                   prepare("INSERT INTO jwt_keys (id, key_pkcs8, signs_from_us, not_after_us) "
                           "VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"));
  ASSIGN_OR_RETURN(auto load_operator, prepare("SELECT hash FROM operator_token"));
  ASSIGN_OR_RETURN(auto set_operator,
                   prepare("INSERT INTO operator_token (id, hash) VALUES (1, ?) "
                           "ON CONFLICT (id) DO UPDATE SET hash = excluded.hash"));
  return Statements{
      std::move(load_authority),       std::move(create_authority), std::move(expire_tokens),
      std::move(count_tokens),         std::move(add_token),        std::move(find_token),
      std::move(consume_token),        std::move(load_jwt_keys),    std::move(expire_jwt_keys),
      std::move(count_later_jwt_keys), std::move(add_jwt_key),      std::move(load_operator),
      std::move(set_operator)};
}

}  // namespace

namespace {

absl::StatusOr<std::unique_ptr<Store>> OpenFile(const std::string& path) {
  sqlite3* raw = nullptr;
  const int result =
      sqlite3_open_v2(path.c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, nullptr);
  SqliteHandle db(raw);
  if (result != SQLITE_OK) return SqliteError(raw, absl::StrCat("cannot open \"", path, "\""));
  sqlite3_busy_timeout(raw, kBusyTimeoutMs);

  RETURN_IF_ERROR(SchemaOf(raw, path).status());
  // Before the log files are made: they get the mode of the database.
  if (::chmod(path.c_str(), 0600) != 0) {
    return absl::PermissionDeniedError(absl::StrCat("store: cannot set the mode of \"", path,
                                                    "\" to 0600: ", std::strerror(errno),
                                                    "; run as the user who owns it"));
  }
  RETURN_IF_ERROR(Execute(raw, "PRAGMA journal_mode = WAL"));
  RETURN_IF_ERROR(Execute(raw,
                          "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; "
                          "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"));
  RETURN_IF_ERROR(Migrate(raw, path));
  // The whole file once, so that damage is found now and not by the first agent whose call meets
  // it.
  ASSIGN_OR_RETURN(
      int64_t defects,
      QueryInt(raw, "SELECT count(*) FROM pragma_quick_check WHERE quick_check <> 'ok'"));
  if (defects > 0) {
    return absl::UnavailableError(absl::StrCat("store \"", path, "\": ", kDamaged));
  }
  ASSIGN_OR_RETURN(Statements statements, PrepareAll(raw));
  return std::make_unique<SqliteStoreImpl>(std::move(db), std::move(statements));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> SqliteStore::Open(const std::string& path, Found* found) {
  const absl::optional<mode_t> loose_mode = LooseMode(path);
  ASSIGN_OR_RETURN(const bool created, CreateFile(path));
  absl::StatusOr<std::unique_ptr<Store>> store = OpenFile(path);
  if (!store.ok() && created) Discard(path);
  if (found != nullptr) *found = {created, loose_mode};
  return store;
}

void SqliteStore::Discard(const std::string& path) {
  if (!IsUnused(path)) return;
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    ::unlink(absl::StrCat(path, suffix).c_str());
  }
}

}  // namespace byrnie
