#ifndef BYRNIE_CONTROLPLANE_CA_SETTLED_TIME_H_
#define BYRNIE_CONTROLPLANE_CA_SETTLED_TIME_H_

#include "absl/time/time.h"
#include "common/base/clock.h"

namespace byrnie {

// The wall clock for what cannot be taken back. Where it jumps ahead, time goes on as the monotonic
// clock has it until the wall clock has been there for kSettle, without another jump: who sets a
// clock wrong mostly finds out sooner. Where it goes back, it is followed at once. Under its
// owner's lock; to be asked every few seconds; the clock outlives it.
class SettledTime {
 public:
  static constexpr absl::Duration kSettle = absl::Hours(1);

  struct Reading {
    absl::Time now;
    // How far the wall clock is ahead of that, and how long it has to stay so to be believed.
    absl::Duration ahead, left;
  };

  // The clock as it is now is taken for right, where it is not after `known`: a time that has been,
  // from which time goes on otherwise.
  explicit SettledTime(const Clock* clock, absl::Time known = absl::InfiniteFuture());

  absl::Time Now() { return Read().now; }
  Reading Read();
  // True once the clock has agreed with itself for kSettle since the beginning: before, nobody
  // knows whether it was right then.
  bool IsTried() const;

 private:
  const Clock* const clock_;  // Not owned.
  const absl::Duration began_;
  absl::Time wall_;
  absl::Duration monotonic_;
  // Since when the wall clock is ahead, by the monotonic one; infinite: it is not.
  absl::Duration ahead_since_ = absl::InfiniteDuration();
  // How far, when it was read last; says nothing where it is not.
  absl::Duration ahead_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_SETTLED_TIME_H_
