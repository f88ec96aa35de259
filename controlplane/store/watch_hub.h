#ifndef BYRNIE_CONTROLPLANE_STORE_WATCH_HUB_H_
#define BYRNIE_CONTROLPLANE_STORE_WATCH_HUB_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/monotonic_cond_var.h"
#include "controlplane/store/store.h"

namespace byrnie {

// The watches of an engine whose changes all go through this process. Thread-safe; has a thread of
// its own once there is a watch. Outlives its watches.
class WatchHub {
 public:
  WatchHub() = default;
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;
  ~WatchHub();

  std::unique_ptr<StoreWatch> Watch(absl::string_view prefix, StoreListener* listener);

  // What a commit has changed. Called in the order of the revisions, under the lock that makes
  // them: it only queues.
  void Publish(const std::vector<StoreWrite>& writes, int64_t revision);
  // Somebody else has changed the store: all watches begin anew.
  void Reset();

 private:
  class Handle;
  struct Watcher {
    std::string prefix;
    StoreListener* listener;  // Not owned.
    // One element a commit.
    std::vector<std::vector<StoreChange>> pending;
    bool reset = true;
    // Not called before, after an OnReset that failed; monotonic.
    absl::Duration not_before = -absl::InfiniteDuration();
  };
  using Watchers = std::list<Watcher>;

  void Run();
  // Makes the calls that are due for one watcher; false when none was.
  bool Serve(Watcher* watcher) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Remove(Watchers::iterator watcher);

  SystemClock clock_;
  absl::Mutex mu_;
  // There is work, or may be; for the thread.
  MonotonicCondVar work_;
  Watchers watchers_ ABSL_GUARDED_BY(mu_);
  // Whose listener is being called, without the lock.
  const Watcher* serving_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_WATCH_HUB_H_
