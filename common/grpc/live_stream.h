#ifndef BYRNIE_COMMON_GRPC_LIVE_STREAM_H_
#define BYRNIE_COMMON_GRPC_LIVE_STREAM_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/optional.h"

namespace byrnie {

// One open stream of a server, as whoever has news for it sees it. Thread-safe.
class LiveStream {
 public:
  virtual ~LiveStream() = default;

  // There may be something new to send.
  virtual void Wake() = 0;
  // Ends the stream once the message under way is written. Called again, cuts off a reader that has
  // not read it.
  virtual void End(const absl::Status& status) = 0;
  // While it waits for its reader: a number that is another one as soon as that has taken
  // something. Absent: it waits for nothing.
  virtual absl::optional<uint64_t> WaitingForReader() { return absl::nullopt; }
};

// Owns open streams. Thread-safe; outlives the server.
class StreamOwner {
 public:
  // Destroys a stream in which nothing is going on any more.
  virtual void Remove(LiveStream* stream) = 0;

 protected:
  ~StreamOwner() = default;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_GRPC_LIVE_STREAM_H_
