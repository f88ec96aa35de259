#ifndef BYRNIE_CONTROLPLANE_STREAM_STREAM_WAKER_H_
#define BYRNIE_CONTROLPLANE_STREAM_STREAM_WAKER_H_

#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace byrnie {

// Tells many streams of changes on a thread of its own: who makes a change does not wait until
// thousands have been told, and of changes that come meanwhile there is one more round.
// Thread-safe. The destructor waits for a round under way.
class StreamWaker {
 public:
  // `round` wakes them all, and outlives this.
  explicit StreamWaker(std::function<void()> round)
      : round_(std::move(round)), thread_([this] { Run(); }) {}
  StreamWaker(const StreamWaker&) = delete;
  StreamWaker& operator=(const StreamWaker&) = delete;
  ~StreamWaker() {
    {
      absl::MutexLock lock(&mu_);
      ending_ = true;
    }
    thread_.join();
  }

  // A round that begins after this call will follow.
  void Wake() {
    absl::MutexLock lock(&mu_);
    due_ = true;
  }

 private:
  void Run() {
    while (true) {
      {
        absl::MutexLock lock(&mu_);
        mu_.Await(absl::Condition(
            +[](StreamWaker* waker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(waker->mu_) {
              return waker->due_ || waker->ending_;
            },
            this));
        if (ending_) return;
        due_ = false;
      }
      round_();
    }
  }

  const std::function<void()> round_;
  absl::Mutex mu_;
  bool due_ ABSL_GUARDED_BY(mu_) = false;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  // Last: it uses the others from its first moment on.
  std::thread thread_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STREAM_STREAM_WAKER_H_
