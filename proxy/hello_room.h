#ifndef BYRNIE_PROXY_HELLO_ROOM_H_
#define BYRNIE_PROXY_HELLO_ROOM_H_

#include <cstddef>

#include "absl/container/flat_hash_map.h"
#include "common/net/socket_address.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// The memory of one worker for ClientHellos that are long and not whole: nobody has proven anything
// before the end of one. Every connection may send as much as a hello usually is; what goes beyond
// that is counted here, with no more than half for one source, and apart from what connections that
// are open need for their bytes. Lives on one loop.
class HelloRoom {
 public:
  // The longest hello there is, in records of one byte and with the copy that its parser keeps, is
  // less than half of it.
  static constexpr size_t kAll = 512 * 1024;
  static constexpr size_t kPerSource = kAll / 2;

  // What one connection has of it, given back when it is destroyed.
  class Part {
   public:
    // `room` outlives this.
    Part(HelloRoom* room, const IpAddress& source);
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;
    ~Part();
    // False, and nothing is taken, when there is not so much left for the source.
    bool Grow(size_t bytes);

   private:
    HelloRoom* const room_;   // Not owned.
    const IpAddress source_;  // A SourceKey.
    size_t bytes_ = 0;
  };

  // `used` shows what is taken, added to what others show there; outlives this.
  explicit HelloRoom(Gauge* used) : shown_(used) {}
  HelloRoom(const HelloRoom&) = delete;
  HelloRoom& operator=(const HelloRoom&) = delete;

  size_t used() const { return used_; }

 private:
  void Add(const IpAddress& source, size_t bytes);
  void Remove(const IpAddress& source, size_t bytes);

  Gauge* const shown_;  // Not owned.
  size_t used_ = 0;
  // Of those that have some.
  absl::flat_hash_map<IpAddress, size_t> sources_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_HELLO_ROOM_H_
