#include "proxy/agent_dialer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/unique_fd.h"
#include "common/net/peer_credentials.h"
#include "common/net/tcp_stream.h"

namespace byrnie {

absl::Status CheckAgentSocketPath(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--link_socket=", path, ": longer than a socket's path may be; give at most ",
                     sizeof(sockaddr_un::sun_path) - 1, " bytes"));
  }
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "."
                                : slash == 0               ? "/"
                                                           : path.substr(0, slash);
  struct stat info;
  if (stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--link_socket=", path, ": there is no directory ", directory,
                     "; make it, or mount the one shared with the cert agent"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ByteStream>> DialAgent(EventLoop* loop, const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot make a socket: ", strerror(errno)));
  }
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  // A Unix socket connects at once or not at all; EAGAIN means that the listener's queue is full.
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot connect to the agent at ", path, ": ", strerror(errno)));
  }
  ASSIGN_OR_RETURN(const PeerCredentials peer, GetPeerCredentials(fd.get()));
  if (peer.uid != geteuid() && peer.uid != 0) {
    return absl::PermissionDeniedError(absl::StrCat("whoever listens at ", path, " has uid ",
                                                    peer.uid, ", not ", geteuid(), " or 0"));
  }
  absl::StatusOr<std::unique_ptr<TcpStream>> stream = TcpStream::Create(loop, std::move(fd));
  if (!stream.ok()) return stream.status();
  return std::unique_ptr<ByteStream>(*std::move(stream));
}

}  // namespace byrnie
