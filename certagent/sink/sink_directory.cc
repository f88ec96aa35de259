#include "certagent/sink/sink_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/unique_fd.h"

namespace byrnie {
namespace {

constexpr char kCertificates[] = "tls.crt";
constexpr char kKey[] = "tls.key";
constexpr char kRoots[] = "ca.crt";
constexpr const char* kNames[] = {kCertificates, kKey, kRoots};
constexpr char kCurrent[] = "..data";
constexpr char kTemporaryLink[] = "..data_tmp";
constexpr absl::string_view kPrefix = "..byrnie-";

absl::Status Error(int error, absl::string_view action, absl::string_view path) {
  const std::string message = absl::StrCat(action, " ", path, ": ", strerror(error));
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

// Empty when it is no link.
std::string ReadLink(int directory, const char* name) {
  char target[PATH_MAX];
  const ssize_t size = readlinkat(directory, name, target, sizeof(target));
  return size > 0 ? std::string(target, static_cast<size_t>(size)) : std::string();
}

// The link in one step: nobody finds it missing.
absl::Status ReplaceLink(int directory, const std::string& target, const char* name) {
  if ((unlinkat(directory, kTemporaryLink, 0) != 0 && errno != ENOENT) ||
      symlinkat(target.c_str(), directory, kTemporaryLink) != 0 ||
      renameat(directory, kTemporaryLink, directory, name) != 0) {
    const int error = errno;
    unlinkat(directory, kTemporaryLink, 0);
    return Error(error, "cannot replace", name);
  }
  return absl::OkStatus();
}

absl::Status Flush(int fd, absl::string_view name) {
  // Some file systems cannot flush a directory, which then is not in our hands.
  if (fsync(fd) != 0 && errno != EINVAL) return Error(errno, "cannot flush", name);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> List(int directory, absl::string_view path) {
  // A description of its own, whose position is at the beginning.
  const int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  std::unique_ptr<DIR, int (*)(DIR*)> entries(fd < 0 ? nullptr : fdopendir(fd), closedir);
  if (entries == nullptr) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return Error(error, "cannot list", path);
  }
  std::vector<std::string> names;
  while (const dirent* entry = readdir(entries.get())) names.push_back(entry->d_name);
  return names;
}

// A content, whole or not.
void RemoveContent(int directory, const std::string& name) {
  const UniqueFd content(
      openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (content) {
    for (const char* file : kNames) unlinkat(content.get(), file, 0);
  }
  unlinkat(directory, name.c_str(), AT_REMOVEDIR);
}

}  // namespace

absl::Status SinkDirectory::Own(int fd, mode_t mode, absl::string_view name) const {
  const uid_t owner = options_.owner.value_or(static_cast<uid_t>(-1));
  const gid_t group = options_.group.value_or(static_cast<gid_t>(-1));
  if ((options_.owner.has_value() || options_.group.has_value()) && fchown(fd, owner, group) != 0) {
    return Error(errno, "cannot give away", name);
  }
  if (fchmod(fd, mode) != 0) return Error(errno, "cannot set the mode of", name);
  return absl::OkStatus();
}

absl::Status SinkDirectory::WriteFile(int directory, const std::string& name,
                                      absl::string_view bytes) const {
  const UniqueFd fd(
      openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return Error(errno, "cannot create", name);
  // Before the content: it is never readable for a moment for whom it is not meant.
  RETURN_IF_ERROR(Own(fd.get(), file_mode(), name));
  while (!bytes.empty()) {
    const ssize_t n = write(fd.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error(errno, "cannot write", name);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return Flush(fd.get(), name);
}

absl::Status SinkDirectory::Fill(int directory, const Content& content) const {
  RETURN_IF_ERROR(WriteFile(directory, kCertificates, content.certificates_pem));
  RETURN_IF_ERROR(WriteFile(directory, kKey, content.key_pem.view()));
  RETURN_IF_ERROR(WriteFile(directory, kRoots, content.roots_pem));
  RETURN_IF_ERROR(Own(directory, directory_mode(), "the directory of the new content"));
  return Flush(directory, "the directory of the new content");
}

absl::Status SinkDirectory::Publish(const Content& content) {
  if (mkdir(options_.path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Error(errno, "cannot make", options_.path);
  }
  const UniqueFd directory(open(options_.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return Error(errno, "cannot open", options_.path);
  struct stat info;
  if (fstat(directory.get(), &info) != 0) return Error(errno, "cannot inspect", options_.path);
  if (info.st_uid == geteuid()) {
    RETURN_IF_ERROR(Own(directory.get(), directory_mode(), options_.path));
  } else if ((info.st_mode & 022) != 0) {
    // Whoever may write here may put a key of his own in the place of ours.
    return absl::PermissionDeniedError(
        absl::StrCat(options_.path,
                     " is not ours and others may write to it; name a directory "
                     "below it, which will be made"));
  }
  for (const char* name : kNames) {
    struct stat file;
    if (fstatat(directory.get(), name, &file, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISLNK(file.st_mode)) {
      return absl::FailedPreconditionError(
          absl::StrCat(options_.path, "/", name, " is a file that is not ours; remove it"));
    }
  }

  std::string made;
  for (int i = 0; made.empty(); ++i) {
    std::string name = absl::StrCat(kPrefix, i);
    if (mkdirat(directory.get(), name.c_str(), 0700) == 0) {
      made = std::move(name);
    } else if (errno != EEXIST) {
      return Error(errno, "cannot make a directory in", options_.path);
    }
  }
  absl::Status status;
  {
    const UniqueFd fd(
        openat(directory.get(), made.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    status = fd ? Fill(fd.get(), content) : Error(errno, "cannot open", made);
  }
  // The names first when there is nothing behind them yet, so that they are there when it is.
  for (const char* name : kNames) {
    const std::string target = absl::StrCat(kCurrent, "/", name);
    if (status.ok() && ReadLink(directory.get(), name) != target) {
      status = ReplaceLink(directory.get(), target, name);
    }
  }
  if (status.ok()) status = ReplaceLink(directory.get(), made, kCurrent);
  if (!status.ok()) {
    RemoveContent(directory.get(), made);
    return status;
  }
  // In force, whatever this says.
  fsync(directory.get());
  return absl::OkStatus();
}

absl::Status SinkDirectory::RemoveReplaced() {
  const UniqueFd directory(open(options_.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return Error(errno, "cannot open", options_.path);
  const std::string current = ReadLink(directory.get(), kCurrent);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, List(directory.get(), options_.path));
  for (const std::string& name : names) {
    if (absl::StartsWith(name, kPrefix) && name != current) RemoveContent(directory.get(), name);
  }
  unlinkat(directory.get(), kTemporaryLink, 0);
  return absl::OkStatus();
}

}  // namespace byrnie
