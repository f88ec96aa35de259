#ifndef BYRNIE_CONTROLPLANE_STORE_SQLITE_SCHEMA_H_
#define BYRNIE_CONTROLPLANE_STORE_SQLITE_SCHEMA_H_

#include <sqlite3.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace byrnie {

// The tables of a store's file.
//
//   entries         what Store keeps: key, value, revision of the last commit that wrote it
//   store_revision  one row, the revision of the last commit
//
// Versions 1 and 2 had a table for each kind of record; their rows become entries.

// The schema's version; 0: a file with nothing in it. Only reads: the file of another program is
// left as it is. InvalidArgument when it is no such file, or of a newer version of this program.
absl::StatusOr<int64_t> SqliteSchemaOf(sqlite3* db, const std::string& path);

// Makes the tables, or brings those of an older version up to date, in one transaction. Errors as
// SqliteSchemaOf and the engine; FailedPrecondition when a row of an older version cannot be right.
absl::Status MigrateSqliteSchema(sqlite3* db, const std::string& path);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_SQLITE_SCHEMA_H_
