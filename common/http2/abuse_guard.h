#ifndef BYRNIE_COMMON_HTTP2_ABUSE_GUARD_H_
#define BYRNIE_COMMON_HTTP2_ABUSE_GUARD_H_

#include <cstddef>

#include "absl/time/time.h"

namespace byrnie {

// Counts what only an attacker does often: more than `limit` in kWindow, beside as many as streams
// are open, is no traffic.
class AbuseGuard {
 public:
  static constexpr absl::Duration kWindow = absl::Seconds(10);
  // Streams reset before they were answered, and streams that break the rules (CVE-2023-44487,
  // CVE-2025-8671).
  static constexpr size_t kLimit = 200;
  // Frames that carry nothing: PING, SETTINGS, PRIORITY, empty DATA and those of unknown types
  // (CVE-2019-9512, -9513, -9515, -9518), and of the others those that FrameCredit has nothing for.
  // A peer that measures the path with PINGs sends a few per round trip of bulk data.
  static constexpr size_t kIdleFrameLimit = 5000;

  explicit AbuseGuard(absl::Duration now, size_t limit = kLimit) : limit_(limit), start_(now) {}

  // Notes one of them, or some; true for each that is too much. How many streams are open changes
  // meanwhile.
  bool Note(absl::Duration now, size_t open_streams, size_t count = 1) {
    if (now - start_ > kWindow) {
      start_ = now;
      count_ = 0;
    }
    count_ += count;
    return count_ > limit_ + open_streams;
  }

 private:
  const size_t limit_;
  absl::Duration start_;
  size_t count_ = 0;
};

// How many frames about streams a peer may send: those that come with a stream (HEADERS,
// RST_STREAM) and those that answer what we send (WINDOW_UPDATE). What it does not use it keeps, up
// to what a peer may have to answer that took all there is room for on its side and then reads it
// in small pieces.
class FrameCredit {
 public:
  // A stream has an answer, an end, a few frames about its windows, and its headers may be in
  // pieces.
  static constexpr size_t kPerStream = 16;
  // Implementations give window back when half of it is used; some do for each read of their
  // application, on the stream and on the session, down to a hundred bytes or two at a time. Of a
  // frame of one byte that is two.
  static constexpr size_t kPerDataFrame = 8;
  static constexpr size_t kBytesPerFrame = 128;
  static constexpr size_t kMost = 1 << 18;

  void OnStream() { Add(kPerStream); }
  void OnDataSent(size_t bytes) { Add(kPerDataFrame + bytes / kBytesPerFrame); }
  // How many of `frames` there is nothing for.
  size_t Spend(size_t frames) {
    const size_t spent = frames < credit_ ? frames : credit_;
    credit_ -= spent;
    return frames - spent;
  }

 private:
  void Add(size_t frames) { credit_ = frames < kMost - credit_ ? credit_ + frames : kMost; }

  size_t credit_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_ABUSE_GUARD_H_
