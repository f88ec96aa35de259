#ifndef BYRNIE_COMMON_EVENT_EPOLL_EVENT_LOOP_H_
#define BYRNIE_COMMON_EVENT_EPOLL_EVENT_LOOP_H_

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/base/unique_fd.h"
#include "common/event/event_loop.h"
#include "common/event/timer_queue.h"

namespace byrnie {

// An EventLoop over epoll(7). The thread that calls Run() is the loop's thread until Run() returns.
// At most kMaxEventsPerTurn descriptors are served per turn; the kernel keeps the rest for the
// next. A watch, timer or deferred task may be destroyed inside its own callback.
class EpollEventLoop final : public EventLoop {
 public:
  static constexpr int kMaxEventsPerTurn = 256;

  // ResourceExhausted when the process has no descriptors left. `clock` outlives the loop.
  static absl::StatusOr<std::unique_ptr<EpollEventLoop>> Create(const Clock* clock);

  EpollEventLoop(const EpollEventLoop&) = delete;
  EpollEventLoop& operator=(const EpollEventLoop&) = delete;
  // What was posted and not run is destroyed. Watches, timers and deferred tasks are gone by now.
  ~EpollEventLoop() override;

  // Runs turns until Stop().
  void Run();
  // Makes Run() return after the current turn; a Run() that comes later returns at once. From any
  // thread.
  void Stop();

  // Runs one turn, waiting up to `max_wait` for something to do. True when a callback ran. For
  // ManualEventLoop and for programs that end with a few turns of their own.
  bool RunOneTurn(absl::Duration max_wait);
  // When the earliest timer is due, as Now() counts.
  absl::optional<absl::Duration> NextTimer() const { return timers_.Next(); }

  absl::StatusOr<std::unique_ptr<FdWatch>> Watch(int fd, FdCallback callback) override;
  std::unique_ptr<Timer> NewTimer(Callback callback) override;
  std::unique_ptr<Deferred> NewDeferred(Callback callback) override;
  void Post(Callback task) override;
  absl::Duration Now() const override;
  absl::Time WallNow() const override;
  bool InLoopThread() const override;

 private:
  class WatchImpl;
  class TimerImpl;
  class DeferredImpl;

  EpollEventLoop(const Clock* clock, UniqueFd epoll, UniqueFd wake_up);

  void WakeUp();
  int WaitMilliseconds(absl::Duration max_wait) const;
  void Gather(absl::Duration max_wait);
  bool RunWatches();
  bool RunTimers(TimerQueue::Ticket mark);
  bool RunPosted();
  bool RunDeferred();

  const Clock* const clock_;  // Not owned.
  const UniqueFd epoll_;
  const UniqueFd wake_up_;  // An eventfd; watched with a null pointer.

  // The turn.
  bool in_turn_ = false;
  absl::Duration now_;
  mutable absl::optional<absl::Time> wall_now_;  // Read when first asked for.
  std::vector<epoll_event> events_;              // Room for kMaxEventsPerTurn.
  int event_count_ = 0;
  std::vector<Callback> posted_this_turn_;

  // Whose callback runs now; null when it was destroyed meanwhile.
  WatchImpl* running_watch_ = nullptr;
  TimerImpl* running_timer_ = nullptr;
  DeferredImpl* running_deferred_ = nullptr;

  TimerQueue timers_;
  // Deferred tasks are collected in one list while those of the other run. A cancelled one leaves a
  // null.
  std::vector<DeferredImpl*> deferred_[2];
  int collecting_ = 0;

  std::atomic<bool> stop_{false};
  std::atomic<std::thread::id> thread_{std::thread::id()};
  // Not absl::Mutex: ThreadSanitizer does not see through that of a library built without it.
  std::mutex mutex_;
  std::vector<Callback> posted_;  // Guarded by mutex_.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_EVENT_EPOLL_EVENT_LOOP_H_
