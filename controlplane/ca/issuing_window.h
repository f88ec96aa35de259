#ifndef BYRNIE_CONTROLPLANE_CA_ISSUING_WINDOW_H_
#define BYRNIE_CONTROLPLANE_CA_ISSUING_WINDOW_H_

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace byrnie {

// For how long a control plane that shares its store with others may sign without knowing what they
// have decided meanwhile: the root that it signs with may be one they have left. What it was told
// last is good for a fixed time, by the clock that says more has passed: the monotonic one while
// somebody sets the wall clock back, the wall clock while the machine was suspended. Others wait as
// long for one that is silent before they count on it (controlplane/trust/shared_fleet.h).
// Thread-safe; the clock outlives it.
class IssuingWindow {
 public:
  struct Instant {
    absl::Time wall;
    absl::Duration monotonic;
  };

  // Begins open: whoever makes it has just read the record.
  IssuingWindow(absl::Duration length, const Clock* clock);

  // What is signed by was what the store had at that moment, or later.
  void Confirm(Instant asked);
  // Unavailable when that is too long ago.
  absl::Status Check() const;
  // How long Check() is still OK unless something is confirmed; negative when it is not.
  absl::Duration Left() const;

 private:
  const absl::Duration length_;
  const Clock* const clock_;  // Not owned.
  mutable absl::Mutex mu_;
  Instant confirmed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_ISSUING_WINDOW_H_
