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
  // Frames that carry nothing: PING, SETTINGS, PRIORITY and empty DATA (CVE-2019-9512, -9513,
  // -9515, -9518). A peer that measures the path with PINGs sends a few per round trip of bulk
  // data.
  static constexpr size_t kIdleFrameLimit = 5000;

  explicit AbuseGuard(absl::Duration now, size_t limit = kLimit) : limit_(limit), start_(now) {}

  // Notes one of them; true for each that is too much. How many streams are open changes meanwhile.
  bool Note(absl::Duration now, size_t open_streams) {
    if (now - start_ > kWindow) {
      start_ = now;
      count_ = 0;
    }
    return ++count_ > limit_ + open_streams;
  }

 private:
  const size_t limit_;
  absl::Duration start_;
  size_t count_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_ABUSE_GUARD_H_
