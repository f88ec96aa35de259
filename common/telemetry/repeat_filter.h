#ifndef BYRNIE_COMMON_TELEMETRY_REPEAT_FILTER_H_
#define BYRNIE_COMMON_TELEMETRY_REPEAT_FILTER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// Which of many failures of one thing are worth a line in the log: the first, one for a reason that
// has not been said within the interval, and otherwise one an interval, which says how many there
// were. For whoever tries something again and again. Lives on one thread.
class RepeatFilter {
 public:
  explicit RepeatFilter(absl::Duration interval = absl::Minutes(1)) : interval_(interval) {}

  // One more failure, at the monotonic time `now`. None: say nothing. Otherwise how many have gone
  // unsaid since the last line.
  absl::optional<uint64_t> Admit(absl::string_view reason, absl::Duration now);
  // It works again: the next failure is a first one.
  void Reset();

 private:
  struct Said {
    std::string reason;
    absl::Duration at;
  };
  // Reasons that take turns are known up to this many; with more of them there are more lines.
  static constexpr size_t kReasons = 8;

  const absl::Duration interval_;
  // The one said last comes last.
  std::vector<Said> said_;
  uint64_t unsaid_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TELEMETRY_REPEAT_FILTER_H_
