#ifndef BYRNIE_COMMON_HTTP2_ABUSE_GUARD_H_
#define BYRNIE_COMMON_HTTP2_ABUSE_GUARD_H_

#include <cstddef>

#include "absl/time/time.h"

namespace byrnie {

// Counts streams reset before they were answered, and streams that break the rules: more than
// kLimit in kWindow, beside as many as are open, is an attack (CVE-2023-44487, CVE-2025-8671), not
// traffic.
class AbuseGuard {
 public:
  static constexpr absl::Duration kWindow = absl::Seconds(10);
  static constexpr size_t kLimit = 200;

  explicit AbuseGuard(absl::Duration now) : start_(now) {}

  // Notes one such stream; true for the one that is too much.
  bool Note(absl::Duration now, size_t open_streams) {
    if (now - start_ > kWindow) {
      start_ = now;
      count_ = 0;
    }
    return ++count_ == kLimit + open_streams + 1;
  }

 private:
  absl::Duration start_;
  size_t count_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_ABUSE_GUARD_H_
