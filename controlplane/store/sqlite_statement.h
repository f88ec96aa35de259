#ifndef BYRNIE_CONTROLPLANE_STORE_SQLITE_STATEMENT_H_
#define BYRNIE_CONTROLPLANE_STORE_SQLITE_STATEMENT_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// What is said of a database whose content cannot be right.
inline constexpr absl::string_view kDamaged =
    "its content is damaged; restore it from a backup, or begin anew with another --store and give "
    "agents the new trust bundle";

struct SqliteCloser {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using SqliteHandle = std::unique_ptr<sqlite3, SqliteCloser>;

// What the engine last complained about, as Unavailable. Where it is the file's or its disk's fault
// the message names the file and the remedy, else it is "store: WHAT: what the engine said".
absl::Status SqliteError(sqlite3* db, absl::string_view what);

// One prepared statement, run with bound parameters from 1 on. Lives on the thread that holds the
// database's lock.
class SqliteStatement {
 public:
  static absl::StatusOr<SqliteStatement> Prepare(sqlite3* db, absl::string_view sql);

  SqliteStatement(SqliteStatement&&) = default;
  SqliteStatement& operator=(SqliteStatement&&) = default;

  // The bytes are borrowed until the next Reset().
  SqliteStatement& BindBlob(int index, absl::string_view bytes);
  SqliteStatement& BindText(int index, absl::string_view text);
  SqliteStatement& BindInt(int index, int64_t value);

  // Goes to the next row; false at the end. Unavailable when a bind or the step failed, or the
  // database is busy.
  absl::StatusOr<bool> Step();
  // Steps through to the end, ignoring rows.
  absl::Status Run();
  // Columns of the row Step() has reached, from 0 on.
  std::string Bytes(int column) const;
  absl::string_view BorrowedBytes(int column) const;
  int64_t Int(int column) const;
  // Ends the row and forgets the bindings, wiping nothing: bound secrets stay the caller's.
  void Reset();

 private:
  SqliteStatement(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}

  sqlite3* db_;  // Not owned.
  std::unique_ptr<sqlite3_stmt, SqliteCloser> statement_;
  bool bind_failed_ = false;
};

// Resets a statement however the scope is left, so that no read transaction stays open.
class SqliteResetter {
 public:
  explicit SqliteResetter(SqliteStatement* statement) : statement_(statement) {}
  ~SqliteResetter() { statement_->Reset(); }
  SqliteResetter(const SqliteResetter&) = delete;
  SqliteResetter& operator=(const SqliteResetter&) = delete;

 private:
  SqliteStatement* statement_;  // Not owned.
};

// Runs SQL whose rows do not matter. Errors as SqliteError.
absl::Status SqliteExecute(sqlite3* db, const std::string& sql);

// The number in the first column of the first row; 0 without a row.
absl::StatusOr<int64_t> SqliteQueryInt(sqlite3* db, absl::string_view sql);

// A write transaction; rolled back unless committed. It takes the write lock at once, so that what
// is read inside stays true until the commit.
class SqliteTransaction {
 public:
  explicit SqliteTransaction(sqlite3* db) : db_(db) {}
  ~SqliteTransaction();
  SqliteTransaction(const SqliteTransaction&) = delete;
  SqliteTransaction& operator=(const SqliteTransaction&) = delete;

  absl::Status Begin();
  absl::Status Commit();

 private:
  sqlite3* db_;  // Not owned.
  bool open_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_SQLITE_STATEMENT_H_
