#ifndef BYRNIE_COMMON_NET_DIALLED_CONNECTIONS_H_
#define BYRNIE_COMMON_NET_DIALLED_CONNECTIONS_H_

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "common/net/socket_address.h"

namespace byrnie {

// The connections that this process has opened, by their two ends: whoever accepts one learns that
// it comes from this very process. The kernel has no two sockets with the same ends; but it gives
// the ends to another one as soon as a reset has come, long before this process has heard of it,
// which is why the socket is asked. Thread-safe; outlives its entries.
class DialledConnections {
 public:
  // From the local end to the remote one. Of link-local addresses the zone does not count: accepted
  // by its own host, a connection has come by another interface.
  using Ends = std::pair<SocketAddress, SocketAddress>;

  // One connection, for as long as this lives. Destroyed before the socket is closed, whose number
  // is another one's then.
  class Entry {
   public:
    Entry(DialledConnections* connections, Ends ends, int fd);
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry();

   private:
    DialledConnections* const connections_;  // Not owned.
    const Ends ends_;
    const int fd_;
  };

  DialledConnections() = default;
  DialledConnections(const DialledConnections&) = delete;
  DialledConnections& operator=(const DialledConnections&) = delete;

  // `fd` is the socket of the connection.
  std::unique_ptr<Entry> Add(const SocketAddress& local, const SocketAddress& remote, int fd);
  // Whether one of its sockets has these ends now.
  bool Contains(const SocketAddress& local, const SocketAddress& remote) const;

 private:
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<Ends, int> open_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_DIALLED_CONNECTIONS_H_
