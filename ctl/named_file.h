#ifndef BYRNIE_CTL_NAMED_FILE_H_
#define BYRNIE_CTL_NAMED_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/secret_bytes.h"

namespace byrnie {

// Files that somebody names at a terminal, so that they may be pipes, as a shell makes them of
// <(command). Blocking; errors as those of common/base/file.h.

// As ReadFile; what is no regular file and no directory is read to its end, too.
absl::StatusOr<std::string> ReadInput(const std::string& path, size_t max_size);

// The same for secrets: no copy of the content is left in freed memory.
absl::StatusOr<SecretBytes> ReadSecretInput(const std::string& path, size_t max_size);

// Writes a report. A regular file is made or replaced as a whole, mode 0600, because a report says
// who talks to whom. What is no regular file, a pipe or a device, is written into as it is. A link
// to a regular file or to nothing is InvalidArgument: in a folder that others write to it may lead
// anywhere.
absl::Status WriteReport(const std::string& path, absl::string_view report);

// AlreadyExists, with the remedy, where a report would take the place of a file that is there.
absl::Status CheckNoReport(const std::string& path);

// Whether there is something that is no regular file.
bool IsSpecialFile(const std::string& path);

}  // namespace byrnie

#endif  // BYRNIE_CTL_NAMED_FILE_H_
