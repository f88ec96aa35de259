#include "common/event/testing/manual_event_loop.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace byrnie {

ManualEventLoop::ManualEventLoop() {
  absl::StatusOr<std::unique_ptr<EpollEventLoop>> loop = EpollEventLoop::Create(&clock_);
  CHECK_OK(loop);
  loop_ = *std::move(loop);
}

ManualEventLoop::~ManualEventLoop() = default;

bool ManualEventLoop::RunOnce() { return loop_->RunOneTurn(absl::ZeroDuration()); }

void ManualEventLoop::RunUntilIdle() {
  for (int turn = 0; turn < kMaxTurns; ++turn) {
    if (!RunOnce()) return;
  }
  CHECK(false && "the loop never becomes idle: something schedules itself again and again");
}

bool ManualEventLoop::RunUntil(absl::FunctionRef<bool()> condition) {
  const SystemClock real;
  absl::Duration last_callback = real.MonotonicNow();
  for (int turn = 0; !condition(); ++turn) {
    const absl::Duration now = real.MonotonicNow();
    if (turn == kMaxTurns || now - last_callback > absl::Seconds(10)) return false;
    // Short, for conditions that the kernel makes true without an event on this loop.
    if (loop_->RunOneTurn(absl::Milliseconds(5))) last_callback = now;
  }
  return true;
}

void ManualEventLoop::AdvanceTime(absl::Duration by) {
  RunUntilIdle();
  const absl::Duration target = clock_.MonotonicNow() + by;
  while (true) {
    const absl::optional<absl::Duration> next = loop_->NextTimer();
    if (!next || *next > target) break;
    clock_.Advance(std::max(*next - clock_.MonotonicNow(), absl::ZeroDuration()));
    RunUntilIdle();
  }
  clock_.Advance(target - clock_.MonotonicNow());
  RunUntilIdle();
}

absl::StatusOr<std::unique_ptr<EventLoop::FdWatch>> ManualEventLoop::Watch(int fd,
                                                                           FdCallback callback) {
  return loop_->Watch(fd, std::move(callback));
}

std::unique_ptr<EventLoop::Timer> ManualEventLoop::NewTimer(Callback callback) {
  return loop_->NewTimer(std::move(callback));
}

std::unique_ptr<EventLoop::Deferred> ManualEventLoop::NewDeferred(Callback callback) {
  return loop_->NewDeferred(std::move(callback));
}

void ManualEventLoop::Post(Callback task) { loop_->Post(std::move(task)); }

absl::Duration ManualEventLoop::Now() const { return loop_->Now(); }

absl::Time ManualEventLoop::WallNow() const { return loop_->WallNow(); }

bool ManualEventLoop::InLoopThread() const { return loop_->InLoopThread(); }

}  // namespace byrnie
