#ifndef BYRNIE_PROXY_HANDSHAKE_QUEUE_H_
#define BYRNIE_PROXY_HANDSHAKE_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/types/optional.h"
#include "common/net/socket_address.h"
#include "proxy/handshake_counts.h"

namespace byrnie {

// Who among the connections that have not proven themselves may use the room there is for
// handshakes, and whose turn it is. Bookkeeping alone: it knows connections by number and neither
// sockets nor time. Lives on one loop.
//
// The limits are of all queues that share their counts; whom to evict for a newcomer is found among
// this queue's own.
//
// A connection is silent until its first byte, then in line, then shaking hands until it is
// removed. What it costs others is bounded per source (SourceKey).
class HandshakeQueue {
 public:
  using Limits = HandshakeCounts::Limits;
  enum class Outcome {
    kAdmitted,
    // The source has its share, and all of it has spoken.
    kSourceFull,
    // Nobody here is silent, and no source has more here than the newcomer's would.
    kFull,
  };
  struct Admission {
    Outcome outcome = Outcome::kAdmitted;
    // The newcomer's, when it is admitted. Numbers grow.
    uint64_t id = 0;
    // What has to go for it: no longer counted here, to be closed by the caller.
    absl::optional<uint64_t> evicted;
  };

  // `counts` outlives the queue.
  HandshakeQueue(const Limits& limits, HandshakeCounts* counts)
      : limits_(limits), counts_(counts) {}
  HandshakeQueue(const HandshakeQueue&) = delete;
  HandshakeQueue& operator=(const HandshakeQueue&) = delete;
  ~HandshakeQueue();

  // Takes a new connection, which is silent. Where the room is used up it takes the place of the
  // oldest silent one, of its own source first; else that of the oldest of the source that has
  // most: an honest handshake is over in milliseconds, so what is old is stuck or hostile.
  Admission Admit(const IpAddress& source);
  // The silent one that Admit would evict for `source` now, if any: whoever can look at the
  // connection asks first whether it has spoken meanwhile.
  absl::optional<uint64_t> SilentVictim(const IpAddress& source) const;
  // It has spoken, and is in line. Nothing for one that is not silent.
  void OnFirstByte(uint64_t id);
  // Whose handshake begins next: the sources take turns, the connections of one in order of their
  // first bytes. None when nobody is in line.
  absl::optional<uint64_t> Next();
  // Its handshake is over, or it is gone. Nothing for one that is not counted.
  void Remove(uint64_t id);

  // Whether who says nothing is in others' way: more than half of the room, or of what `source` may
  // have of it, is used, by all queues together.
  bool Crowded(const IpAddress& source) const;

  size_t size() const { return connections_.size(); }
  bool anyone_in_line() const { return !turns_.empty(); }
  const Limits& limits() const { return limits_; }

 private:
  enum class State { kSilent, kInLine, kShaking };
  struct Connection {
    IpAddress source;
    State state = State::kSilent;
    uint64_t place = 0;  // In line.
  };
  struct Source {
    // In order of arrival.
    absl::btree_set<uint64_t> all;
    absl::btree_set<uint64_t> silent;
    // By place.
    absl::btree_map<uint64_t, uint64_t> line;
    // When its next connection may begin; only while one is in line.
    uint64_t turn = 0;
  };

  absl::optional<uint64_t> Victim(const IpAddress& source) const;
  absl::optional<uint64_t> SilentOf(const IpAddress& source) const;
  // Takes it out of this queue, not out of the counts.
  void Forget(absl::flat_hash_map<uint64_t, Connection>::iterator it);
  void LeaveLine(const IpAddress& key, Source* source, uint64_t place);

  const Limits limits_;
  HandshakeCounts* const counts_;  // Not owned.
  uint64_t next_id_ = 1;
  uint64_t next_place_ = 1;
  uint64_t next_turn_ = 1;
  absl::flat_hash_map<uint64_t, Connection> connections_;
  absl::flat_hash_map<IpAddress, Source> sources_;
  absl::btree_set<uint64_t> silent_;
  absl::btree_set<std::pair<size_t, IpAddress>> by_size_;
  absl::btree_map<uint64_t, IpAddress> turns_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_HANDSHAKE_QUEUE_H_
