#include "common/base/file_fingerprint.h"

#include <sys/stat.h>

namespace byrnie {
namespace {

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000LL + time.tv_nsec; }

}  // namespace

absl::optional<FileFingerprint> TakeFileFingerprint(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return absl::nullopt;
  return FileFingerprint{info.st_dev, info.st_ino, info.st_size, Nanoseconds(info.st_mtim),
                         Nanoseconds(info.st_ctim)};
}

}  // namespace byrnie
