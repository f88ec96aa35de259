#ifndef BYRNIE_CONTROLPLANE_WEBHOOK_LOOP_PULSE_H_
#define BYRNIE_CONTROLPLANE_WEBHOOK_LOOP_PULSE_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/event/event_loop.h"

namespace byrnie {

// Whether a loop still turns, as other threads see it: one that does not answers nobody, and cannot
// say so itself. Created and destroyed as what is on the loop is; the pointers outlive it.
class LoopPulse {
 public:
  // The loop says this often that it turns.
  static constexpr absl::Duration kBeat = absl::Milliseconds(500);
  // Longer than any turn takes, on a machine with much else to do.
  static constexpr absl::Duration kTooLate = absl::Seconds(5);

  LoopPulse(EventLoop* loop, const Clock* clock);
  LoopPulse(const LoopPulse&) = delete;
  LoopPulse& operator=(const LoopPulse&) = delete;

  // Longer than any that comes to an end.
  static constexpr absl::Duration kStuck = absl::Seconds(20);

  // Unavailable, with for how long, when nothing has been heard for longer than `patience`. From
  // any thread.
  absl::Status Check(absl::Duration patience = kTooLate) const;

 private:
  void Beat();

  const Clock* const clock_;        // Not owned.
  std::atomic<int64_t> last_beat_;  // Nanoseconds of the monotonic clock.
  const std::unique_ptr<EventLoop::Timer> next_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_WEBHOOK_LOOP_PULSE_H_
