#include "common/base/system_file.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/unique_fd.h"

namespace byrnie {

absl::optional<std::string> ReadSystemFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return absl::nullopt;
  std::string text(16 * 1024, '\0');
  const ssize_t size = ::read(fd.get(), &text[0], text.size());
  if (size < 0) return absl::nullopt;
  text.resize(static_cast<size_t>(size));
  return text;
}

}  // namespace byrnie
