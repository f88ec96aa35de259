#ifndef BYRNIE_COMMON_EVENT_TESTING_MANUAL_EVENT_LOOP_H_
#define BYRNIE_COMMON_EVENT_TESTING_MANUAL_EVENT_LOOP_H_

#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/base/testing/fake_clock.h"
#include "common/event/epoll_event_loop.h"
#include "common/event/event_loop.h"

namespace byrnie {

// An EventLoop that the test steps, on the test's thread, with time that only the test moves.
// Descriptors are watched by a real epoll, so that tests of sockets run on it too; what the kernel
// does in the meantime (loopback TCP) is waited for with RunUntil(), never with a sleep.
class ManualEventLoop final : public EventLoop {
 public:
  ManualEventLoop();
  ~ManualEventLoop() override;

  // Runs one turn with what is ready now; true when a callback ran.
  bool RunOnce();
  // Runs turns until one in which nothing ran. Fails the test after kMaxTurns: something spins.
  void RunUntilIdle();
  // Runs turns, waiting for descriptors where needed, until `condition` holds; false when it does
  // not although nothing has run for 10 s of real time, or after kMaxTurns. Fake time stands still
  // meanwhile. What runs may take long: under a sanitizer it does.
  bool RunUntil(absl::FunctionRef<bool()> condition);
  // Runs until idle, then lets time pass and fires every timer on the way at its own time, running
  // until idle after each.
  void AdvanceTime(absl::Duration by);

  // The loop's time, for components that take a Clock. Moving it by hand fires timers in the next
  // turn.
  FakeClock* clock() { return &clock_; }

  absl::StatusOr<std::unique_ptr<FdWatch>> Watch(int fd, FdCallback callback) override;
  std::unique_ptr<Timer> NewTimer(Callback callback) override;
  std::unique_ptr<Deferred> NewDeferred(Callback callback) override;
  void Post(Callback task) override;
  absl::Duration Now() const override;
  absl::Time WallNow() const override;
  bool InLoopThread() const override;

 private:
  static constexpr int kMaxTurns = 1000000;
  FakeClock clock_;
  std::unique_ptr<EpollEventLoop> loop_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_EVENT_TESTING_MANUAL_EVENT_LOOP_H_
