#ifndef BYRNIE_COMMON_BASE_SYSTEM_FILE_H_
#define BYRNIE_COMMON_BASE_SYSTEM_FILE_H_

#include <functional>
#include <string>

#include "absl/types/optional.h"

namespace byrnie {

// The contents of a file of /proc or /sys; none where it cannot be read.
using SystemFileReader = std::function<absl::optional<std::string>(const std::string& path)>;

// Reads the real files, which are small and never block. Thread-safe.
absl::optional<std::string> ReadSystemFile(const std::string& path);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_SYSTEM_FILE_H_
