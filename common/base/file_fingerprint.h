#ifndef BYRNIE_COMMON_BASE_FILE_FINGERPRINT_H_
#define BYRNIE_COMMON_BASE_FILE_FINGERPRINT_H_

#include <cstdint>
#include <string>

#include "absl/types/optional.h"

namespace byrnie {

// What tells a file from its successor, also one renamed over it within the resolution of the
// clock. A value.
struct FileFingerprint {
  uint64_t device = 0, inode = 0;
  int64_t size = 0, modified_ns = 0, changed_ns = 0;

  friend bool operator==(const FileFingerprint& a, const FileFingerprint& b) {
    return a.device == b.device && a.inode == b.inode && a.size == b.size &&
           a.modified_ns == b.modified_ns && a.changed_ns == b.changed_ns;
  }
};

// Follows links. Absent: there is no such file. Take it before reading: a change during the read is
// then seen by the next look.
absl::optional<FileFingerprint> TakeFileFingerprint(const std::string& path);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_FILE_FINGERPRINT_H_
