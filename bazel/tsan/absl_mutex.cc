// Tells ThreadSanitizer about absl::Mutex. Debian's Abseil is compiled without it, so what its
// mutex orders would look like a race, in our code and in gRPC, whose mutex it is too. A symbol of
// the program comes before that of a shared library, also for calls from libraries: these forward
// to Abseil and say what happened before what. Linked under --config=tsan alone.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

// Of ThreadSanitizer's runtime; no header has them.
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);

namespace absl {
ABSL_NAMESPACE_BEGIN
namespace {

// Debian's inline namespace, as names of symbols have it.
#define NAME(rest) "_ZN4absl7debian3" rest

template <typename Function>
Function Next(const char* symbol) {
  auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, symbol));
  if (next == nullptr) {
    std::fprintf(stderr, "no %s in the shared libraries: has Abseil another version?\n", symbol);
    std::abort();
  }
  return next;
}

// Abseil evaluates the conditions that others wait for while a mutex is let go, which is after what
// we say here, and those of Await before it waits. It does hold the mutex then: what conditions
// read is no race.
class ConditionsAreEvaluated {
 public:
  ConditionsAreEvaluated() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~ConditionsAreEvaluated() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
};

}  // namespace

void Mutex::Lock() {
  static const auto next = Next<void (*)(Mutex*)>(NAME("5Mutex4LockEv"));
  next(this);
  __tsan_acquire(this);
}

void Mutex::Unlock() {
  static const auto next = Next<void (*)(Mutex*)>(NAME("5Mutex6UnlockEv"));
  __tsan_release(this);
  ConditionsAreEvaluated scope;
  next(this);
}

bool Mutex::TryLock() {
  static const auto next = Next<bool (*)(Mutex*)>(NAME("5Mutex7TryLockEv"));
  const bool locked = next(this);
  if (locked) __tsan_acquire(this);
  return locked;
}

void Mutex::ReaderLock() {
  static const auto next = Next<void (*)(Mutex*)>(NAME("5Mutex10ReaderLockEv"));
  next(this);
  __tsan_acquire(this);
}

void Mutex::ReaderUnlock() {
  static const auto next = Next<void (*)(Mutex*)>(NAME("5Mutex12ReaderUnlockEv"));
  __tsan_release(this);
  ConditionsAreEvaluated scope;
  next(this);
}

void Mutex::Await(const Condition& condition) {
  static const auto next =
      Next<void (*)(Mutex*, const Condition&)>(NAME("5Mutex5AwaitERKNS0_9ConditionE"));
  __tsan_release(this);
  {
    ConditionsAreEvaluated scope;
    next(this, condition);
  }
  __tsan_acquire(this);
}

void Mutex::LockWhen(const Condition& condition) {
  static const auto next =
      Next<void (*)(Mutex*, const Condition&)>(NAME("5Mutex8LockWhenERKNS0_9ConditionE"));
  {
    ConditionsAreEvaluated scope;
    next(this, condition);
  }
  __tsan_acquire(this);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  static const auto next = Next<bool (*)(Mutex*, const Condition&, Duration)>(
      NAME("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE"));
  __tsan_release(this);
  bool is_true;
  {
    ConditionsAreEvaluated scope;
    is_true = next(this, condition, timeout);
  }
  __tsan_acquire(this);
  return is_true;
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  static const auto next = Next<bool (*)(Mutex*, const Condition&, Time)>(
      NAME("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE"));
  __tsan_release(this);
  bool is_true;
  {
    ConditionsAreEvaluated scope;
    is_true = next(this, condition, deadline);
  }
  __tsan_acquire(this);
  return is_true;
}

void CondVar::Wait(Mutex* mutex) {
  static const auto next = Next<void (*)(CondVar*, Mutex*)>(NAME("7CondVar4WaitEPNS0_5MutexE"));
  __tsan_release(mutex);
  {
    ConditionsAreEvaluated scope;
    next(this, mutex);
  }
  __tsan_acquire(mutex);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  static const auto next = Next<bool (*)(CondVar*, Mutex*, Duration)>(
      NAME("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE"));
  __tsan_release(mutex);
  bool timed_out;
  {
    ConditionsAreEvaluated scope;
    timed_out = next(this, mutex, timeout);
  }
  __tsan_acquire(mutex);
  return timed_out;
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static const auto next = Next<bool (*)(CondVar*, Mutex*, Time)>(
      NAME("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE"));
  __tsan_release(mutex);
  bool timed_out;
  {
    ConditionsAreEvaluated scope;
    timed_out = next(this, mutex, deadline);
  }
  __tsan_acquire(mutex);
  return timed_out;
}

ABSL_NAMESPACE_END
}  // namespace absl
