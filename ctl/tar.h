#ifndef BYRNIE_CTL_TAR_H_
#define BYRNIE_CTL_TAR_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace byrnie {

// A tar file in the making (POSIX.1-1988 ustar): regular files below one directory, mode 0600.
class TarFile {
 public:
  TarFile(absl::string_view directory, absl::Time modified)
      : directory_(directory), modified_(modified) {}

  // `name` is relative and with the directory at most 100 bytes long; a longer one is cut.
  void Add(absl::string_view name, absl::string_view content);
  std::string Finish() &&;

 private:
  const std::string directory_;
  const absl::Time modified_;
  std::string bytes_;
};

}  // namespace byrnie

#endif  // BYRNIE_CTL_TAR_H_
