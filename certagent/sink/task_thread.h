#ifndef BYRNIE_CERTAGENT_SINK_TASK_THREAD_H_
#define BYRNIE_CERTAGENT_SINK_TASK_THREAD_H_

#include <deque>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace byrnie {

// A thread for what blocks, one task after the other. Thread-safe. The destructor waits for the
// task under way; those behind it do not run.
class TaskThread {
 public:
  using Task = absl::AnyInvocable<void()>;

  TaskThread();
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;
  ~TaskThread();

  void Run(Task task);

 private:
  void Work();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !tasks_.empty();
  }

  absl::Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_SINK_TASK_THREAD_H_
