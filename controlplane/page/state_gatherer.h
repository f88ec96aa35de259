#ifndef BYRNIE_CONTROLPLANE_PAGE_STATE_GATHERER_H_
#define BYRNIE_CONTROLPLANE_PAGE_STATE_GATHERER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace byrnie {

// Makes a text that takes long to make, on a thread of its own, so that the event loop which serves
// it never waits: of each connection that was reported, and of what the store says about trust. It
// is made when somebody asks, and when nobody does, never. Look() is for one thread; the destructor
// waits for the text under way.
class StateGatherer {
 public:
  // A text is made anew when the last one is as old as that, however many ask.
  static constexpr absl::Duration kFresh = absl::Seconds(1);
  // One that is as old as that is not given to anybody.
  static constexpr absl::Duration kTooOld = absl::Seconds(10);

  // `gather` runs on the thread. The clock outlives it.
  StateGatherer(const Clock* clock, std::function<std::string()> gather);
  StateGatherer(const StateGatherer&) = delete;
  StateGatherer& operator=(const StateGatherer&) = delete;
  ~StateGatherer();

  // The newest text, and has a newer one made for whoever asks next; null: the first one is being
  // made, or was asked for so long ago that it says nothing about now. Does not wait.
  std::shared_ptr<const std::string> Look();

 private:
  void Run(const std::function<std::string()>& gather);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return asked_ || stopping_; }

  const Clock* const clock_;  // Not owned.
  absl::Mutex mu_;
  bool asked_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<const std::string> text_ ABSL_GUARDED_BY(mu_);
  // When it was asked for.
  absl::Duration text_time_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
  absl::Duration asked_time_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
  std::thread thread_;  // Last: begins when all else is there.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_PAGE_STATE_GATHERER_H_
