#ifndef BYRNIE_CONTROLPLANE_STORE_SQLITE_STORE_H_
#define BYRNIE_CONTROLPLANE_STORE_SQLITE_STORE_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "controlplane/store/store.h"

namespace byrnie {

// A Store in one SQLite file: write-ahead log, every commit on disk before it is answered. One
// process at a time has it, by a lock on PATH.lock; tools that read the file, for a backup, may
// have it open beside it, and a writer waits at most 5 s for another. Once the file is no longer at
// its path, removed or with another in its place, every call is Unavailable: what a write leaves in
// such a file is lost with the process.
class SqliteStore {
 public:
  // What was to be erased and could not be, because somebody reads the file or there is no room, is
  // tried again with the first commit after such a time.
  static constexpr absl::Duration kEraseInterval = absl::Seconds(1);

  // What Open found.
  struct Found {
    // There was no file.
    bool created = false;
    // The permissions it had, where they let others than its owner at it.
    absl::optional<mode_t> loose_mode;
  };

  // Opens or creates the file at `path`, mode 0600 whatever the umask and whatever it was (the CA
  // key is in it); its directory must exist. InvalidArgument when the file is not such a database
  // or was made by a newer version, NotFound when the directory is missing, FailedPrecondition when
  // another process has it, PermissionDenied, Unavailable; always with the path and what to do. A
  // file that could not be made whole is removed. `found` may be null; `clock` is the machine's
  // where it is.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& path,
                                                     Found* found = nullptr,
                                                     const Clock* clock = nullptr);

  // What tells that there was a store at `path` which has been lost: what belongs to a file, and
  // none, or one with nothing in it. To be asked before Open(), which makes a new one of that.
  static std::vector<std::string> TracesOfLostFile(const std::string& path);

  // Removes the file and what belongs to it, unless another process has it open: for a first start
  // that failed. No Store of this process may have it open.
  static void Discard(const std::string& path);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_SQLITE_STORE_H_
