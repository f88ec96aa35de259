#include "ctl/named_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/base/unique_fd.h"

namespace byrnie {
namespace {

absl::Status Errno(absl::string_view action, absl::string_view path) {
  return absl::UnavailableError(absl::StrCat(action, " ", path, ": ", strerror(errno)));
}

// A directory is left to those who say what is wrong with it.
bool IsPipe(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

// Fills `buffer`, which is one byte longer than what is allowed, so that more than that shows.
absl::StatusOr<size_t> ReadPipe(const std::string& path, absl::Span<uint8_t> buffer) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return Errno("cannot open", path);
  size_t size = 0;
  while (size < buffer.size()) {
    const ssize_t n = read(fd.get(), buffer.data() + size, buffer.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno("cannot read", path);
    if (n == 0) return size;
    size += static_cast<size_t>(n);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("cannot read ", path, ": longer than ", buffer.size() - 1, " bytes"));
}

absl::Status WriteInto(const std::string& path, absl::string_view contents) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return Errno("cannot open", path);
  while (!contents.empty()) {
    const ssize_t n = write(fd.get(), contents.data(), contents.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno("cannot write", path);
    contents.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadInput(const std::string& path, size_t max_size) {
  if (!IsPipe(path)) return ReadFile(path, max_size);
  std::string content(max_size + 1, '\0');
  ASSIGN_OR_RETURN(
      const size_t size,
      ReadPipe(path, absl::MakeSpan(reinterpret_cast<uint8_t*>(&content[0]), content.size())));
  content.resize(size);
  return content;
}

absl::StatusOr<SecretBytes> ReadSecretInput(const std::string& path, size_t max_size) {
  if (!IsPipe(path)) return ReadSecretFile(path, max_size);
  SecretBytes buffer(max_size + 1);
  ASSIGN_OR_RETURN(const size_t size, ReadPipe(path, buffer.mutable_span()));
  return SecretBytes(buffer.span().first(size));
}

absl::Status WriteReport(const std::string& path, absl::string_view report) {
  if (IsSpecialFile(path)) return WriteInto(path, report);
  struct stat link;
  if (lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is a symbolic link; name the file itself, or - for stdout"));
  }
  return WriteFileAtomically(path, report, 0600);
}

absl::Status CheckNoReport(const std::string& path) {
  struct stat info;
  // A link is refused for what it is, see WriteReport.
  if (lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat(path, " is there already; give another --file, or --force to replace it"));
}

bool IsSpecialFile(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
}

}  // namespace byrnie
