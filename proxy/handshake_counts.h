#ifndef BYRNIE_PROXY_HANDSHAKE_COUNTS_H_
#define BYRNIE_PROXY_HANDSHAKE_COUNTS_H_

#include <cstddef>
#include <mutex>

#include "absl/container/flat_hash_map.h"
#include "common/net/socket_address.h"

namespace byrnie {

// How many connections that have not proven themselves all workers have together, and how many of
// them come from each source: these limits are of the process, whichever worker a connection came
// to. A source is known only while it has one. Thread-safe; its lock is taken when a handshake
// begins and ends.
class HandshakeCounts {
 public:
  struct Limits {
    size_t total = 1024;
    size_t per_source = 128;
  };
  // No source has more than an eighth of `total`, but room for a few.
  static Limits Shared(size_t total);
  enum class Room { kFree, kSourceFull, kFull };

  HandshakeCounts() = default;
  HandshakeCounts(const HandshakeCounts&) = delete;
  HandshakeCounts& operator=(const HandshakeCounts&) = delete;

  // Counts one more of `source` where there is room.
  Room TryAdd(const IpAddress& source, const Limits& limits);
  // What TryAdd would say now.
  Room RoomFor(const IpAddress& source, const Limits& limits) const;
  // More than half of the room of all, or of `source`'s share, is used.
  bool Crowded(const IpAddress& source, const Limits& limits) const;
  // One of `source` is over.
  void Remove(const IpAddress& source);
  // One of `gone` is over and one of `source` has its place, which nobody else can get between.
  void Replace(const IpAddress& gone, const IpAddress& source);

 private:
  // Both with mutex_ held.
  Room Find(const IpAddress& source, const Limits& limits) const;
  void Take(const IpAddress& source);

  // Not absl::Mutex: ThreadSanitizer does not see through that of a library built without it.
  mutable std::mutex mutex_;
  size_t total_ = 0;  // Guarded by mutex_, as the next.
  absl::flat_hash_map<IpAddress, size_t> sources_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_HANDSHAKE_COUNTS_H_
