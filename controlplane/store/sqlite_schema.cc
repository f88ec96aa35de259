#include "controlplane/store/sqlite_schema.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"
#include "controlplane/records/authority_record.h"
#include "controlplane/records/join_token_record.h"
#include "controlplane/records/jwt_key_record.h"
#include "controlplane/records/operator_token_record.h"
#include "controlplane/store/sqlite_statement.h"
#include "controlplane/store/store.h"

namespace byrnie {
namespace {

// "Byrn" as a number: tells our files from other SQLite databases.
constexpr int kApplicationId = 0x4279726e;
constexpr int kSchemaVersion = 3;

constexpr char kSchema[] = R"sql(
CREATE TABLE entries (
  key BLOB PRIMARY KEY,
  value BLOB NOT NULL,
  revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE store_revision (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  revision INTEGER NOT NULL
) STRICT;
INSERT INTO store_revision (id, revision) VALUES (1, 1);
)sql";

SecretBytes Secret(absl::string_view bytes) {
  return SecretBytes(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

// Calls `convert` with each row; what it returns becomes entries.
template <typename Convert>
absl::Status MoveRows(sqlite3* db, absl::string_view sql, Convert convert) {
  ASSIGN_OR_RETURN(SqliteStatement rows, SqliteStatement::Prepare(db, sql));
  ASSIGN_OR_RETURN(
      SqliteStatement insert,
      SqliteStatement::Prepare(db, "INSERT INTO entries (key, value, revision) VALUES (?, ?, 1)"));
  while (true) {
    ASSIGN_OR_RETURN(bool row, rows.Step());
    if (!row) return absl::OkStatus();
    StoreTransaction entries;
    convert(rows, &entries);
    absl::Status status = entries.Check();
    for (const StoreWrite& write : entries.writes()) {
      if (!status.ok()) break;
      SqliteResetter reset(&insert);
      status = insert.BindBlob(1, write.key).BindBlob(2, *write.value).Run();
    }
    entries.WipeValues();
    RETURN_IF_ERROR(status);
  }
}

absl::Status MoveFirstSchema(sqlite3* db) {
  RETURN_IF_ERROR(
      MoveRows(db, "SELECT trust_domain, root_der, key_pkcs8 FROM authority",
               [](const SqliteStatement& row, StoreTransaction* out) {
                 PutAuthority({row.Bytes(0), row.Bytes(1), Secret(row.BorrowedBytes(2))}, out);
               }));
  RETURN_IF_ERROR(
      MoveRows(db, "SELECT hash, spiffe_id, expires_at_us FROM join_tokens",
               [](const SqliteStatement& row, StoreTransaction* out) {
                 PutJoinToken({row.Bytes(0), row.Bytes(1), absl::FromUnixMicros(row.Int(2))}, out);
               }));
  RETURN_IF_ERROR(MoveRows(db, "SELECT hash FROM operator_token",
                           [](const SqliteStatement& row, StoreTransaction* out) {
                             PutOperatorTokenHash(row.Bytes(0), out);
                           }));
  return SqliteExecute(db,
                       "DROP TABLE authority; DROP TABLE join_tokens; DROP TABLE operator_token;");
}

absl::Status MoveJwtKeys(sqlite3* db) {
  int64_t number = 0;
  RETURN_IF_ERROR(MoveRows(db,
                           "SELECT id, key_pkcs8, signs_from_us, not_after_us FROM jwt_keys "
                           "ORDER BY signs_from_us, id",
                           [&number](const SqliteStatement& row, StoreTransaction* out) {
                             PutJwtKey({row.Bytes(0), Secret(row.BorrowedBytes(1)),
                                        absl::FromUnixMicros(row.Int(2)),
                                        absl::FromUnixMicros(row.Int(3))},
                                       ++number, out);
                           }));
  return SqliteExecute(db, "DROP TABLE jwt_keys");
}

}  // namespace

absl::StatusOr<int64_t> SqliteSchemaOf(sqlite3* db, const std::string& path) {
  absl::StatusOr<int64_t> application = SqliteQueryInt(db, "PRAGMA application_id");
  if (sqlite3_errcode(db) == SQLITE_NOTADB) {
    return absl::InvalidArgumentError(absl::StrCat(
        "store: \"", path, "\" is not a SQLite database; give the path of one, or of no file yet"));
  }
  if (!application.ok()) return application.status();
  ASSIGN_OR_RETURN(int64_t version, SqliteQueryInt(db, "PRAGMA user_version"));
  ASSIGN_OR_RETURN(int64_t tables, SqliteQueryInt(db, "SELECT count(*) FROM sqlite_schema"));
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

absl::Status MigrateSqliteSchema(sqlite3* db, const std::string& path) {
  SqliteTransaction transaction(db);
  RETURN_IF_ERROR(transaction.Begin());
  // Asked again under the lock: another process may have been faster.
  ASSIGN_OR_RETURN(int64_t version, SqliteSchemaOf(db, path));
  if (version < 1) {
    RETURN_IF_ERROR(SqliteExecute(db, absl::StrCat("PRAGMA application_id = ", kApplicationId)));
  }
  if (version < kSchemaVersion) {
    RETURN_IF_ERROR(SqliteExecute(db, kSchema));
    if (version >= 1) RETURN_IF_ERROR(MoveFirstSchema(db));
    if (version >= 2) RETURN_IF_ERROR(MoveJwtKeys(db));
    RETURN_IF_ERROR(SqliteExecute(db, absl::StrCat("PRAGMA user_version = ", kSchemaVersion)));
  }
  return transaction.Commit();
}

}  // namespace byrnie
