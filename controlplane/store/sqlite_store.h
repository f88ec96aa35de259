#ifndef BYRNIE_CONTROLPLANE_STORE_SQLITE_STORE_H_
#define BYRNIE_CONTROLPLANE_STORE_SQLITE_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "controlplane/store/store.h"

namespace byrnie {

// A Store in one SQLite file: write-ahead log, every commit on disk before it is answered. Several
// processes may share the file; a writer waits at most 5 s for another.
class SqliteStore {
 public:
  // Opens or creates the file at `path`, mode 0600 whatever the umask (the CA key is in it); its
  // directory must exist. InvalidArgument when the file is not such a database or was made by a
  // newer version, NotFound when the directory is missing, PermissionDenied, Unavailable; always
  // with the path and what to do.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& path);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_SQLITE_STORE_H_
