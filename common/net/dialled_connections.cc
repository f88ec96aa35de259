#include "common/net/dialled_connections.h"

#include "common/net/socket.h"

namespace byrnie {
namespace {

DialledConnections::Ends WithoutZones(const SocketAddress& local, const SocketAddress& remote) {
  return {SocketAddress(local.ip(), local.port()), SocketAddress(remote.ip(), remote.port())};
}

}  // namespace

DialledConnections::Entry::Entry(DialledConnections* connections, Ends ends, int fd)
    : connections_(connections), ends_(std::move(ends)), fd_(fd) {
  const absl::MutexLock lock(&connections_->mutex_);
  // In place of one that had them before.
  connections_->open_[ends_] = fd_;
}

DialledConnections::Entry::~Entry() {
  const absl::MutexLock lock(&connections_->mutex_);
  const auto it = connections_->open_.find(ends_);
  if (it != connections_->open_.end() && it->second == fd_) connections_->open_.erase(it);
}

std::unique_ptr<DialledConnections::Entry> DialledConnections::Add(const SocketAddress& local,
                                                                   const SocketAddress& remote,
                                                                   int fd) {
  return std::make_unique<Entry>(this, WithoutZones(local, remote), fd);
}

bool DialledConnections::Contains(const SocketAddress& local, const SocketAddress& remote) const {
  const Ends ends = WithoutZones(local, remote);
  const absl::MutexLock lock(&mutex_);
  const auto it = open_.find(ends);
  // Under the lock, for the socket is open as long as the entry is there.
  return it != open_.end() && !GivenUpByKernel(it->second);
}

}  // namespace byrnie
