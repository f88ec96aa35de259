#include "common/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/base/unique_fd.h"

namespace byrnie {
namespace {

absl::Status FileError(int error, absl::string_view action, absl::string_view path) {
  const std::string message = absl::StrCat(action, " ", path, ": ", strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(message);
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
      return absl::InvalidArgumentError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::StatusOr<UniqueFd> OpenForReading(const std::string& path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer. It changes nothing for a regular file.
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return FileError(errno, "cannot open", path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return FileError(errno, "cannot inspect", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", path, ": not a regular file"));
  }
  return fd;
}

// Fills `buffer`, which is one byte longer than what is allowed, so that a longer file shows.
absl::StatusOr<size_t> ReadUpTo(int fd, const std::string& path, absl::Span<uint8_t> buffer) {
  size_t size = 0;
  while (size < buffer.size()) {
    ssize_t n = read(fd, buffer.data() + size, buffer.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(errno, "cannot read", path);
    if (n == 0) return size;
    size += n;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("cannot read ", path, ": longer than ", buffer.size() - 1, " bytes"));
}

absl::Status WriteAll(int fd, const std::string& path, absl::string_view contents) {
  while (!contents.empty()) {
    ssize_t n = write(fd, contents.data(), contents.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(errno, "cannot write", path);
    contents.remove_prefix(n);
  }
  return absl::OkStatus();
}

// Between a file's name and what mkostemp makes up. Long enough that nobody else's file beside it
// is taken for ours.
constexpr absl::string_view kTemporary = ".byrnie-tmp.";
constexpr size_t kRandomSize = 6;

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Whether a file of this name is a temporary one of the file `name`.
bool IsTemporaryOf(absl::string_view file, absl::string_view name) {
  return absl::ConsumePrefix(&file, name) && absl::ConsumePrefix(&file, kTemporary) &&
         file.size() == kRandomSize && std::all_of(file.begin(), file.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c));
         });
}

absl::Status FillTemporary(int fd, const std::string& path, absl::string_view contents,
                           mode_t mode) {
  // The mode comes before the content: a secret is never readable for a moment. mkostemp made it
  // 0600.
  if (fchmod(fd, mode) != 0) return FileError(errno, "cannot set the mode of", path);
  RETURN_IF_ERROR(WriteAll(fd, path, contents));
  if (fsync(fd) != 0) return FileError(errno, "cannot flush", path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_size) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenForReading(path));
  constexpr size_t kChunk = 64 * 1024;
  std::string content;
  while (true) {
    const size_t old_size = content.size();
    const size_t want = std::min(kChunk, max_size + 1 - old_size);
    content.resize(old_size + want);
    ssize_t n = read(fd.get(), &content[old_size], want);
    if (n < 0) {
      content.resize(old_size);
      if (errno == EINTR) continue;
      return FileError(errno, "cannot read", path);
    }
    content.resize(old_size + n);
    if (n == 0) return content;
    if (content.size() > max_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot read ", path, ": longer than ", max_size, " bytes"));
    }
  }
}

absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path, size_t max_size) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenForReading(path));
  SecretBytes buffer(max_size + 1);
  ASSIGN_OR_RETURN(size_t size, ReadUpTo(fd.get(), path, buffer.mutable_span()));
  return SecretBytes(buffer.span().first(size));
}

absl::optional<mode_t> LooseMode(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0 || (info.st_mode & 077) == 0) return absl::nullopt;
  return info.st_mode & 0777;
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents, mode_t mode) {
  std::string temporary = absl::StrCat(path, kTemporary, std::string(kRandomSize, 'X'));
  UniqueFd fd(mkostemp(&temporary[0], O_CLOEXEC));
  if (!fd) return FileError(errno, "cannot create a file beside", path);
  // Tells RemoveLeftTemporaries that somebody is at it.
  (void)flock(fd.get(), LOCK_EX | LOCK_NB);
  absl::Status status = FillTemporary(fd.get(), path, contents, mode);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = FileError(errno, "cannot replace", path);
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  // Makes the rename itself survive a power cut. The new content is in place whatever this says,
  // and some file systems cannot flush a folder, so its result changes nothing.
  UniqueFd folder_fd(open(FolderOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder_fd) fsync(folder_fd.get());
  return absl::OkStatus();
}

void RemoveLeftTemporaries(const std::string& path) {
  const std::string folder = FolderOf(path), name = path.substr(path.rfind('/') + 1);
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(folder.c_str()), closedir);
  if (directory == nullptr) return;
  std::vector<std::string> left;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string file = entry->d_name;
    if (IsTemporaryOf(file, name)) left.push_back(absl::StrCat(folder, "/", file));
  }
  for (const std::string& file : left) {
    const UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    // Nobody writes it: the lock goes with the process.
    if (fd && flock(fd.get(), LOCK_EX | LOCK_NB) == 0) unlink(file.c_str());
  }
}

}  // namespace byrnie
