#ifndef BYRNIE_COMMON_BASE_CLOCK_OFFSET_H_
#define BYRNIE_COMMON_BASE_CLOCK_OFFSET_H_

#include <string>

#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// How far another clock, the mesh's, is ahead of this machine's wall clock, as measured by asking
// for its time. Lives on one thread.
class ClockOffset {
 public:
  // The other clock said `other` some time within the last `round_trip`; this one says `now`.
  void OnExchange(absl::Duration round_trip, absl::Time now, absl::Time other);
  // This machine's clock was set forward by `by`.
  void OnJump(absl::Duration by);

  // Absent before the first exchange. Zero when the difference is no larger than what the exchange
  // can tell.
  absl::optional<absl::Duration> value() const { return value_; }

 private:
  absl::optional<absl::Duration> value_;
};

// What to say about it to somebody who wonders about a time: "your clock is 9 s behind the mesh".
// Empty when it is unknown or below two seconds.
std::string ClockOffsetHint(absl::optional<absl::Duration> offset);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_CLOCK_OFFSET_H_
