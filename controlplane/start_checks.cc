#include "controlplane/start_checks.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/net/tcp_listener.h"

namespace byrnie {

absl::Status InFlag(absl::string_view flag, const absl::Status& status, absl::string_view remedy) {
  return absl::Status(status.code(), absl::StrCat("--", flag, ": ", status.message(), remedy));
}

absl::Status InStoreFlag(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) ? InFlag("store", status) : status;
}

absl::Status CheckPortsAreFree(EventLoop* loop, const std::vector<FlagPort>& ports) {
  for (const FlagPort& port : ports) {
    if (port.address.port() == 0) continue;
    const absl::Status free =
        TcpListener::Create(loop, port.address, {}, [](std::unique_ptr<TcpStream>) {}).status();
    if (!free.ok()) return InFlag(port.flag, free);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> CheckOutputs(const std::vector<FlagFile>& outputs) {
  std::vector<std::string> absent;
  for (const FlagFile& output : outputs) {
    const std::string& path = output.path;
    if (!path.empty() && ::access(path.c_str(), F_OK) != 0) absent.push_back(path);
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos || slash == 0) continue;
    const std::string folder = path.substr(0, slash);
    struct stat info;
    if (::stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
      return InFlag(output.flag, absl::NotFoundError(absl::StrCat("cannot write \"", path,
                                                                  "\": there is no folder \"",
                                                                  folder, "\"; make it")));
    }
  }
  return absent;
}

std::vector<std::string> TracesOf(const std::vector<FlagFile>& files) {
  std::vector<std::string> traces;
  for (const FlagFile& file : files) {
    struct stat info;
    if (file.path.empty() || ::stat(file.path.c_str(), &info) != 0 || info.st_size == 0) continue;
    traces.push_back(absl::StrCat("the file of --", file.flag, ", ", file.path, ", is there"));
  }
  return traces;
}

}  // namespace byrnie
