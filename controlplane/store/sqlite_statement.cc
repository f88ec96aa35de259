#include "controlplane/store/sqlite_statement.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {

namespace {

// What is wrong with the file, and the remedy; empty where the engine's own words have to do.
std::string FileTrouble(sqlite3* db) {
  const int code = sqlite3_errcode(db) & 0xff;
  // The system's number is of an earlier error where this one did not come from the system.
  const int error = code == SQLITE_IOERR || code == SQLITE_CANTOPEN ? sqlite3_system_errno(db) : 0;
  if (code == SQLITE_FULL || error == ENOSPC || error == EDQUOT) {
    return "its disk is full; make room there, nothing was changed";
  }
  if (code == SQLITE_READONLY || error == EROFS) {
    return "it cannot be written; let this user write the file and its directory, on a disk that "
           "is not read-only";
  }
  switch (code) {
    case SQLITE_IOERR:
      return absl::StrCat("its disk fails (",
                          error == 0 ? sqlite3_errmsg(db) : std::strerror(error),
                          "); see what the kernel says of it");
    case SQLITE_CANTOPEN:
      return absl::StrCat("it cannot be opened (",
                          error == 0 ? sqlite3_errmsg(db) : std::strerror(error),
                          "); let this user read and write the file and its directory");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return std::string(kDamaged);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another process keeps it locked; end that one, or try again";
    default:
      return "";
  }
}

}  // namespace

absl::Status SqliteError(sqlite3* db, absl::string_view what) {
  if (db == nullptr)
    return absl::UnavailableError(absl::StrCat("store: ", what, ": out of memory"));
  const std::string trouble = FileTrouble(db);
  const char* const path = sqlite3_db_filename(db, "main");
  if (trouble.empty() || path == nullptr) {
    return absl::UnavailableError(absl::StrCat("store: ", what, ": ", sqlite3_errmsg(db)));
  }
  return absl::UnavailableError(absl::StrCat("store \"", path, "\": ", trouble));
}

absl::StatusOr<SqliteStatement> SqliteStatement::Prepare(sqlite3* db, absl::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(db, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                         &statement, nullptr) != SQLITE_OK) {
    return SqliteError(db, absl::StrCat("cannot prepare \"", sql, "\""));
  }
  return SqliteStatement(db, statement);
}

SqliteStatement& SqliteStatement::BindBlob(int index, absl::string_view bytes) {
  // A null pointer would bind NULL; an empty blob is what an empty string means.
  const char* data = bytes.data() == nullptr ? "" : bytes.data();
  bind_failed_ |=
      sqlite3_bind_blob64(statement_.get(), index, data, bytes.size(), SQLITE_STATIC) != SQLITE_OK;
  return *this;
}

SqliteStatement& SqliteStatement::BindText(int index, absl::string_view text) {
  const char* data = text.data() == nullptr ? "" : text.data();
  bind_failed_ |= sqlite3_bind_text64(statement_.get(), index, data, text.size(), SQLITE_STATIC,
                                      SQLITE_UTF8) != SQLITE_OK;
  return *this;
}

SqliteStatement& SqliteStatement::BindInt(int index, int64_t value) {
  bind_failed_ |= sqlite3_bind_int64(statement_.get(), index, value) != SQLITE_OK;
  return *this;
}

absl::StatusOr<bool> SqliteStatement::Step() {
  if (bind_failed_) return SqliteError(db_, "cannot bind");
  switch (sqlite3_step(statement_.get())) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      return SqliteError(db_, "cannot run");
  }
}

absl::Status SqliteStatement::Run() {
  while (true) {
    absl::StatusOr<bool> row = Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
  }
}

std::string SqliteStatement::Bytes(int column) const { return std::string(BorrowedBytes(column)); }

absl::string_view SqliteStatement::BorrowedBytes(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return absl::string_view(static_cast<const char*>(data), data == nullptr ? 0 : size);
}

int64_t SqliteStatement::Int(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
  bind_failed_ = false;
}

absl::Status SqliteExecute(sqlite3* db, const std::string& sql) {
  if (sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return SqliteError(db, "cannot run");
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> SqliteQueryInt(sqlite3* db, absl::string_view sql) {
  ASSIGN_OR_RETURN(SqliteStatement statement, SqliteStatement::Prepare(db, sql));
  ASSIGN_OR_RETURN(bool row, statement.Step());
  return row ? statement.Int(0) : 0;
}

SqliteTransaction::~SqliteTransaction() {
  if (open_) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
}

absl::Status SqliteTransaction::Begin() {
  RETURN_IF_ERROR(SqliteExecute(db_, "BEGIN IMMEDIATE"));
  open_ = true;
  return absl::OkStatus();
}

absl::Status SqliteTransaction::Commit() {
  RETURN_IF_ERROR(SqliteExecute(db_, "COMMIT"));
  open_ = false;
  return absl::OkStatus();
}

}  // namespace byrnie
