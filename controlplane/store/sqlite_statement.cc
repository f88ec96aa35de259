#include "controlplane/store/sqlite_statement.h"

#include "absl/strings/str_cat.h"

namespace byrnie {

absl::Status SqliteError(sqlite3* db, absl::string_view what) {
  return absl::UnavailableError(
      absl::StrCat("store: ", what, ": ", db == nullptr ? "out of memory" : sqlite3_errmsg(db)));
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

}  // namespace byrnie
