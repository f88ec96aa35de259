#ifndef BYRNIE_COMMON_BASE_FILE_H_
#define BYRNIE_COMMON_BASE_FILE_H_

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/base/secret_bytes.h"

namespace byrnie {

// Whole files, blocking: never on a data loop. Thread-safe. Every error names the path.

// Reads at most `max_size` bytes. NotFound; PermissionDenied; InvalidArgument when it is no regular
// file or longer than `max_size`; Unavailable when reading fails.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_size);

// As ReadFile, for keys and tokens: no copy of the content is left in freed memory.
absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path, size_t max_size);

// The permission bits of the file at `path` where they let others than its owner at it; none where
// they do not, or it cannot be seen.
absl::optional<mode_t> LooseMode(const std::string& path);

// Replaces the file at `path`, or creates it, with permissions `mode`: written to a temporary file
// in the same folder, flushed to disk, renamed. A reader sees the old content or the new, never a
// part; on any error the old file is untouched and the temporary one removed. PermissionDenied;
// NotFound when the folder is missing; ResourceExhausted when the disk is full; Unavailable for
// other failures. A process that is killed meanwhile leaves the temporary file.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents, mode_t mode);

// Removes the temporary files that processes which were killed have left of `path`, and no other
// one: for who begins to write it. What cannot be removed stays.
void RemoveLeftTemporaries(const std::string& path);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_FILE_H_
