#include "certagent/socket_permissions.h"

#include <sys/stat.h>

#include "absl/strings/str_format.h"

namespace byrnie {
namespace {

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

void MakeSocketDirectory(const std::string& path) { (void)mkdir(DirectoryOf(path).c_str(), 0700); }

std::string SocketDirectoryWarning(const std::string& path) {
  const std::string directory = DirectoryOf(path);
  struct stat info;
  if (stat(directory.c_str(), &info) != 0 || (info.st_mode & (S_IWGRP | S_IWOTH)) == 0 ||
      (info.st_mode & S_ISVTX) != 0) {
    return "";
  }
  return absl::StrFormat("others may replace the socket in %s (mode %04o); chmod 700 %s", directory,
                         info.st_mode & 07777, directory);
}

}  // namespace byrnie
