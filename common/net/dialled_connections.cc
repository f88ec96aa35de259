#include "common/net/dialled_connections.h"

namespace byrnie {
namespace {

DialledConnections::Ends WithoutZones(const SocketAddress& local, const SocketAddress& remote) {
  return {SocketAddress(local.ip(), local.port()), SocketAddress(remote.ip(), remote.port())};
}

}  // namespace

DialledConnections::Entry::Entry(DialledConnections* connections, Ends ends)
    : connections_(connections), ends_(std::move(ends)) {
  const absl::MutexLock lock(&connections_->mutex_);
  connections_->open_.insert(ends_);
}

DialledConnections::Entry::~Entry() {
  const absl::MutexLock lock(&connections_->mutex_);
  connections_->open_.erase(ends_);
}

std::unique_ptr<DialledConnections::Entry> DialledConnections::Add(const SocketAddress& local,
                                                                   const SocketAddress& remote) {
  return std::make_unique<Entry>(this, WithoutZones(local, remote));
}

bool DialledConnections::Contains(const SocketAddress& local, const SocketAddress& remote) const {
  const Ends ends = WithoutZones(local, remote);
  const absl::MutexLock lock(&mutex_);
  return open_.contains(ends);
}

}  // namespace byrnie
