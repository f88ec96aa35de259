#ifndef BYRNIE_COMMON_EVENT_EVENT_LOOP_H_
#define BYRNIE_COMMON_EVENT_EVENT_LOOP_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace byrnie {

// One thread's source of events: file descriptors, timers, deferred tasks, and Post, the only door
// between threads. Everything but Post and InLoopThread is called on the loop's thread only.
//
// A turn gathers what is ready, then runs, in this order: fd callbacks, due timers, posted tasks,
// and the deferred tasks scheduled up to then. A callback cancelled by an earlier one of the same
// turn does not run. A task deferred by a deferred task runs in the next turn. No callback ever
// runs inside the call that registered or triggered it.
//
// The loop outlives everything registered with it.
class EventLoop {
 public:
  // Watches one file descriptor, edge-triggered, for both directions. Destroying it stops the
  // watch.
  class FdWatch {
   public:
    virtual ~FdWatch() = default;
  };

  // What an edge says. An error or hang-up sets both, so that the reader and the writer learn it.
  struct FdEvents {
    bool readable = false;
    bool writable = false;
    // The descriptor itself reports an error or a hang-up of both directions.
    bool error = false;
    // It is an error, which the socket can tell.
    bool failed = false;
    // Reads meet something besides plain data: an end, an error, or urgent data, at which they stop
    // short. Of a TCP socket no edge has said so of, a read that fills less than its buffer has
    // taken everything: what comes later is a new edge.
    bool beyond_data = false;
  };

  // A one-shot timer that can be scheduled again and again. Destroying it cancels.
  class Timer {
   public:
    virtual ~Timer() = default;
    // Fires once, `delay` after Now(); a negative delay counts as zero. Replaces an earlier
    // schedule.
    virtual void Schedule(absl::Duration delay) = 0;
    virtual void Cancel() = 0;
    virtual bool scheduled() const = 0;
  };

  // A task for the end of the turn: how an object leaves the call stack before it acts or dies.
  // Destroying it cancels.
  class Deferred {
   public:
    virtual ~Deferred() = default;
    // Idempotent until it has run.
    virtual void Schedule() = 0;
    virtual void Cancel() = 0;
  };

  using FdCallback = absl::AnyInvocable<void(FdEvents)>;
  using Callback = absl::AnyInvocable<void()>;

  virtual ~EventLoop() = default;

  // Starts watching `fd`, which is non-blocking, stays owned by the caller and is closed only after
  // the watch is destroyed. The state at the time of the call counts as an edge. ResourceExhausted
  // when the kernel takes no more watches.
  virtual absl::StatusOr<std::unique_ptr<FdWatch>> Watch(int fd, FdCallback callback) = 0;

  virtual std::unique_ptr<Timer> NewTimer(Callback callback) = 0;
  virtual std::unique_ptr<Deferred> NewDeferred(Callback callback) = 0;

  // Runs `task` on the loop's thread in a later turn, in the order of the calls of one thread. From
  // any thread. Tasks still queued when the loop is destroyed are destroyed without running.
  virtual void Post(Callback task) = 0;

  // Monotonic time, constant within a turn.
  virtual absl::Duration Now() const = 0;
  // Wall-clock time, constant within a turn.
  virtual absl::Time WallNow() const = 0;

  // True on the thread that runs the loop, and on any thread before the first turn and after Run()
  // has returned. From any thread.
  virtual bool InLoopThread() const = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_EVENT_EVENT_LOOP_H_
