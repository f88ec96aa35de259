#ifndef BYRNIE_COMMON_NET_TESTING_MEMORY_STREAM_PAIR_H_
#define BYRNIE_COMMON_NET_TESTING_MEMORY_STREAM_PAIR_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "absl/status/status.h"
#include "common/event/event_loop.h"
#include "common/net/byte_stream.h"

namespace byrnie {

// Two ByteStreams joined in memory, as hostile as a network may be but repeatable. What one end
// writes is in flight until the other reads it, as if in the kernel's buffers. Both ends live on
// `loop`, which may be of either kind.
//
// An end destroyed without ShutdownWrite() resets; one destroyed while a reset still waits loses
// what was in flight. The pair object is the network: it may break what passes and may die before
// or after the ends.
class MemoryStreamPair {
 public:
  // What one end's calls may do.
  struct Quota {
    // Most bytes that one Read gives and one Write takes. At least 1.
    size_t read = std::numeric_limits<size_t>::max();
    size_t write = std::numeric_limits<size_t>::max();
    // Bytes written by this end that may be in flight. At least 1.
    size_t capacity = 64 * 1024;
    // After each transfer the next call in that direction gives kWouldBlock, whatever there is.
    bool block_between = false;

    // One byte at a time with a kWouldBlock at each step.
    static Quota OneByte() { return {1, 1, 1, true}; }
  };
  enum class Side { kA = 0, kB = 1 };

  explicit MemoryStreamPair(EventLoop* loop) : MemoryStreamPair(loop, Quota(), Quota()) {}
  MemoryStreamPair(EventLoop* loop, const Quota& a, const Quota& b);
  ~MemoryStreamPair();
  MemoryStreamPair(const MemoryStreamPair&) = delete;
  MemoryStreamPair& operator=(const MemoryStreamPair&) = delete;

  // The ends; each may be taken once.
  std::unique_ptr<ByteStream> TakeA();
  std::unique_ptr<ByteStream> TakeB();

  // Cuts the direction that starts at `from`: after `keep` more bytes of it the reader sees kEof,
  // and what is written beyond is swallowed. An end of TCP that nobody authenticated.
  void Truncate(Side from, size_t keep);
  // Breaks both ends with `why` after what is in flight has been read, as a reset from the middle
  // of the network.
  void Fail(const absl::Status& why);
  // What both ends say of ShortestRoundTrip(); no byte takes longer for it.
  void SetRoundTrip(absl::Duration round_trip);
  // Bytes that Write of this end has accepted so far.
  uint64_t bytes_sent(Side from) const;

 private:
  class End;
  struct State;
  std::unique_ptr<ByteStream> Take(Side side);

  std::shared_ptr<State> state_;
  std::unique_ptr<ByteStream> ends_[2];
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_TESTING_MEMORY_STREAM_PAIR_H_
