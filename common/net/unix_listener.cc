#include "common/net/unix_listener.h"

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
#include "common/net/acceptor.h"
#include "common/net/socket.h"

namespace byrnie {
namespace {

constexpr int kBacklog = 128;

absl::StatusOr<sockaddr_un> ToSockaddr(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("socket path \"", path, "\" must have 1 to ",
                                                   sizeof(address.sun_path) - 1, " bytes"));
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::Status ListenError(int error, const std::string& path) {
  const std::string message = absl::StrCat("cannot listen on ", path, ": ", strerror(error));
  switch (error) {
    case EADDRINUSE:
      return absl::AlreadyExistsError(message);
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(absl::StrCat(message, "; create its folder first"));
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

int TryConnect(int fd, const sockaddr_un& address) {
  return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
}

// Removes what a listener that was killed has left behind, and nothing else.
absl::Status RemoveStale(const std::string& path, const sockaddr_un& address) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return absl::OkStatus();  // bind() tells why, if it matters.
  if (!S_ISSOCK(info.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat("cannot listen on ", path, ": a file that is no socket is there"));
  }
  ASSIGN_OR_RETURN(UniqueFd probe, NewStreamSocket(AF_UNIX));
  if (TryConnect(probe.get(), address) != ECONNREFUSED) {
    return absl::AlreadyExistsError(
        absl::StrCat("cannot listen on ", path, ": another process listens there"));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ListenError(errno, path);
  return absl::OkStatus();
}

class UnixListenerImpl final : public UnixListener {
 public:
  UnixListenerImpl(std::unique_ptr<Acceptor> acceptor, std::string path, const struct stat& file)
      : acceptor_(std::move(acceptor)),
        path_(std::move(path)),
        device_(file.st_dev),
        inode_(file.st_ino) {}
  ~UnixListenerImpl() override {
    struct stat now;
    if (lstat(path_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_) {
      unlink(path_.c_str());
    }
  }
  const std::string& path() const override { return path_; }
  void AcceptAll() override { acceptor_->AcceptAll(); }
  uint64_t pauses() const override { return acceptor_->pauses(); }

 private:
  const std::unique_ptr<Acceptor> acceptor_;
  const std::string path_;
  const dev_t device_;
  const ino_t inode_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Create(
    EventLoop* loop, const std::string& path, AcceptCallback on_accept,
    std::function<void(const absl::Status&)> on_pause, mode_t mode) {
  ASSIGN_OR_RETURN(const sockaddr_un address, ToSockaddr(path));
  RETURN_IF_ERROR(RemoveStale(path, address));
  ASSIGN_OR_RETURN(UniqueFd fd, NewStreamSocket(AF_UNIX));
  // Linux makes the file with the mode of the socket's own inode, so that there is no moment at
  // which others may connect. Changing the umask instead would touch every thread.
  if (fchmod(fd.get(), mode) != 0) return ListenError(errno, path);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ListenError(errno, path);
  }
  struct stat file;
  if (chmod(path.c_str(), mode) != 0 || listen(fd.get(), kBacklog) != 0 ||
      lstat(path.c_str(), &file) != 0) {
    const int error = errno;
    unlink(path.c_str());
    return ListenError(error, path);
  }
  absl::StatusOr<std::unique_ptr<Acceptor>> acceptor = Acceptor::Create(
      loop, std::move(fd), TcpStream::Family::kUnix, std::move(on_accept), std::move(on_pause));
  if (!acceptor.ok()) {
    unlink(path.c_str());
    return acceptor.status();
  }
  return std::make_unique<UnixListenerImpl>(*std::move(acceptor), path, file);
}

absl::StatusOr<std::unique_ptr<TcpStream>> ConnectUnix(EventLoop* loop, const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, ToSockaddr(path));
  ASSIGN_OR_RETURN(UniqueFd fd, NewStreamSocket(AF_UNIX));
  if (const int error = TryConnect(fd.get(), address)) {
    const std::string message = absl::StrCat("cannot connect to ", path, ": ", strerror(error));
    if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
    return absl::UnavailableError(message);
  }
  return TcpStream::CreateConfigured(loop, std::move(fd), TcpStream::Family::kUnix);
}

}  // namespace byrnie
