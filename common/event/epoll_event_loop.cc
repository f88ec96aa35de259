#include "common/event/epoll_event_loop.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace byrnie {

// A callback is moved to the stack while it runs, so that what it captured stays alive when it
// destroys the object that held it; it goes back if that is still there.

class EpollEventLoop::WatchImpl final : public EventLoop::FdWatch {
 public:
  WatchImpl(EpollEventLoop* loop, int fd, FdCallback callback)
      : loop_(loop), fd_(fd), callback_(std::move(callback)) {}
  ~WatchImpl() override {
    DCHECK(loop_->InLoopThread());
    if (registered_) epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
    if (ready_index_ >= 0) loop_->events_[ready_index_].events = 0;
    if (loop_->running_watch_ == this) loop_->running_watch_ = nullptr;
  }

  // An errno, or 0.
  int Register() {
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = this;
    if (epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_ADD, fd_, &event) != 0) return errno;
    registered_ = true;
    return 0;
  }
  void set_ready_index(int index) { ready_index_ = index; }

  void Run(uint32_t events) {
    FdEvents what;
    const bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
    what.readable = broken || (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP)) != 0;
    what.writable = broken || (events & EPOLLOUT) != 0;
    what.error = broken;
    what.failed = (events & EPOLLERR) != 0;
    what.beyond_data = broken || (events & (EPOLLPRI | EPOLLRDHUP)) != 0;
    EpollEventLoop* loop = loop_;
    loop->running_watch_ = this;
    FdCallback callback = std::move(callback_);
    callback(what);
    if (loop->running_watch_ == this) callback_ = std::move(callback);
    loop->running_watch_ = nullptr;
  }

 private:
  EpollEventLoop* const loop_;  // Not owned.
  const int fd_;
  int ready_index_ = -1;  // In events_ of this turn, until it has run.
  bool registered_ = false;
  FdCallback callback_;
};

class EpollEventLoop::TimerImpl final : public EventLoop::Timer, public TimerQueue::Entry {
 public:
  TimerImpl(EpollEventLoop* loop, Callback callback)
      : loop_(loop), callback_(std::move(callback)) {}
  ~TimerImpl() override {
    Cancel();
    if (loop_->running_timer_ == this) loop_->running_timer_ = nullptr;
  }
  void Schedule(absl::Duration delay) override {
    DCHECK(loop_->InLoopThread());
    loop_->timers_.Schedule(this, loop_->Now() + std::max(delay, absl::ZeroDuration()));
  }
  void Cancel() override {
    DCHECK(loop_->InLoopThread());
    loop_->timers_.Remove(this);
  }
  bool scheduled() const override { return Entry::scheduled(); }

  void Run() {
    EpollEventLoop* loop = loop_;
    loop->running_timer_ = this;
    Callback callback = std::move(callback_);
    callback();
    if (loop->running_timer_ == this) callback_ = std::move(callback);
    loop->running_timer_ = nullptr;
  }

 private:
  EpollEventLoop* const loop_;  // Not owned.
  Callback callback_;
};

class EpollEventLoop::DeferredImpl final : public EventLoop::Deferred {
 public:
  DeferredImpl(EpollEventLoop* loop, Callback callback)
      : loop_(loop), callback_(std::move(callback)) {}
  ~DeferredImpl() override {
    Cancel();
    if (loop_->running_deferred_ == this) loop_->running_deferred_ = nullptr;
  }
  void Schedule() override {
    DCHECK(loop_->InLoopThread());
    if (index_ >= 0) return;
    list_ = loop_->collecting_;
    index_ = static_cast<int>(loop_->deferred_[list_].size());
    loop_->deferred_[list_].push_back(this);
  }
  void Cancel() override {
    DCHECK(loop_->InLoopThread());
    if (index_ < 0) return;
    loop_->deferred_[list_][index_] = nullptr;
    index_ = -1;
  }

  void Run() {
    EpollEventLoop* loop = loop_;
    index_ = -1;
    loop->running_deferred_ = this;
    Callback callback = std::move(callback_);
    callback();
    if (loop->running_deferred_ == this) callback_ = std::move(callback);
    loop->running_deferred_ = nullptr;
  }

 private:
  EpollEventLoop* const loop_;  // Not owned.
  int list_ = 0;
  int index_ = -1;  // In loop_->deferred_[list_]; -1 when not scheduled.
  Callback callback_;
};

absl::StatusOr<std::unique_ptr<EpollEventLoop>> EpollEventLoop::Create(const Clock* clock) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  UniqueFd wake_up(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  if (!epoll || !wake_up || epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake_up.get(), &event) != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot create an event loop: ", strerror(errno)));
  }
  return std::unique_ptr<EpollEventLoop>(
      new EpollEventLoop(clock, std::move(epoll), std::move(wake_up)));
}

EpollEventLoop::EpollEventLoop(const Clock* clock, UniqueFd epoll, UniqueFd wake_up)
    : clock_(clock),
      epoll_(std::move(epoll)),
      wake_up_(std::move(wake_up)),
      events_(kMaxEventsPerTurn) {}

EpollEventLoop::~EpollEventLoop() {
  // Outside the lock and again and again: a task that dies may post.
  while (true) {
    std::vector<Callback> tasks;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      tasks.swap(posted_);
    }
    if (tasks.empty()) break;
  }
  DCHECK(timers_.empty());
}

void EpollEventLoop::Run() {
  while (!stop_.exchange(false)) RunOneTurn(absl::InfiniteDuration());
  // What the loop's owner takes down afterwards, it may take down on its own thread.
  thread_.store(std::thread::id());
}

void EpollEventLoop::Stop() {
  stop_.store(true);
  WakeUp();
}

bool EpollEventLoop::RunOneTurn(absl::Duration max_wait) {
  thread_.store(std::this_thread::get_id());
  Gather(max_wait);
  const TimerQueue::Ticket mark = timers_.Mark();
  in_turn_ = true;
  bool ran = RunWatches();
  ran |= RunTimers(mark);
  ran |= RunPosted();
  ran |= RunDeferred();
  in_turn_ = false;
  return ran;
}

int EpollEventLoop::WaitMilliseconds(absl::Duration max_wait) const {
  if (!deferred_[collecting_].empty()) return 0;
  absl::Duration wait = max_wait;
  if (absl::optional<absl::Duration> next = timers_.Next()) {
    wait = std::min(wait, *next - clock_->MonotonicNow());
  }
  if (wait <= absl::ZeroDuration()) return 0;
  if (wait == absl::InfiniteDuration()) return -1;
  // Rounded up: waking early would only find that nothing is due yet.
  const int64_t milliseconds = absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1)));
  return static_cast<int>(std::min<int64_t>(milliseconds, std::numeric_limits<int>::max()));
}

void EpollEventLoop::Gather(absl::Duration max_wait) {
  const int count =
      epoll_wait(epoll_.get(), events_.data(), kMaxEventsPerTurn, WaitMilliseconds(max_wait));
  CHECK(count >= 0 || errno == EINTR);
  event_count_ = std::max(count, 0);
  now_ = clock_->MonotonicNow();
  wall_now_.reset();
  for (int i = 0; i < event_count_; ++i) {
    // The counter of wake_up_ is never read: with EPOLLET each write is an edge of its own.
    if (events_[i].data.ptr == nullptr) {
      events_[i].events = 0;
    } else {
      static_cast<WatchImpl*>(events_[i].data.ptr)->set_ready_index(i);
    }
  }
  std::lock_guard<std::mutex> lock(mutex_);
  posted_this_turn_.swap(posted_);
}

bool EpollEventLoop::RunWatches() {
  bool ran = false;
  for (int i = 0; i < event_count_; ++i) {
    if (events_[i].events == 0) continue;  // The wake-up, or destroyed by an earlier callback.
    auto* watch = static_cast<WatchImpl*>(events_[i].data.ptr);
    watch->set_ready_index(-1);
    watch->Run(events_[i].events);
    ran = true;
  }
  return ran;
}

bool EpollEventLoop::RunTimers(TimerQueue::Ticket mark) {
  bool ran = false;
  while (TimerQueue::Entry* entry = timers_.PopDue(now_, mark)) {
    static_cast<TimerImpl*>(entry)->Run();
    ran = true;
  }
  return ran;
}

bool EpollEventLoop::RunPosted() {
  if (posted_this_turn_.empty()) return false;
  for (Callback& task : posted_this_turn_) {
    // Destroyed before the next one runs, as if each had been called in turn by its sender.
    Callback running = std::move(task);
    std::move(running)();
  }
  posted_this_turn_.clear();
  return true;
}

bool EpollEventLoop::RunDeferred() {
  std::vector<DeferredImpl*>& tasks = deferred_[collecting_];
  if (tasks.empty()) return false;
  collecting_ ^= 1;
  bool ran = false;
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i] == nullptr) continue;
    tasks[i]->Run();
    ran = true;
  }
  tasks.clear();
  return ran;
}

absl::StatusOr<std::unique_ptr<EventLoop::FdWatch>> EpollEventLoop::Watch(int fd,
                                                                          FdCallback callback) {
  DCHECK(InLoopThread());
  auto watch = std::make_unique<WatchImpl>(this, fd, std::move(callback));
  const int error = watch->Register();
  if (error == 0) return watch;
  const std::string message = absl::StrCat("cannot watch descriptor ", fd, ": ", strerror(error));
  if (error == ENOMEM || error == ENOSPC) return absl::ResourceExhaustedError(message);
  return absl::InternalError(message);
}

std::unique_ptr<EventLoop::Timer> EpollEventLoop::NewTimer(Callback callback) {
  return std::make_unique<TimerImpl>(this, std::move(callback));
}

std::unique_ptr<EventLoop::Deferred> EpollEventLoop::NewDeferred(Callback callback) {
  return std::make_unique<DeferredImpl>(this, std::move(callback));
}

void EpollEventLoop::Post(Callback task) {
  bool was_empty;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    was_empty = posted_.empty();
    posted_.push_back(std::move(task));
  }
  // Whoever made it not empty has woken the loop already.
  if (was_empty) WakeUp();
}

void EpollEventLoop::WakeUp() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the loop has been woken.
  ssize_t written = write(wake_up_.get(), &one, sizeof(one));
  static_cast<void>(written);
}

absl::Duration EpollEventLoop::Now() const { return in_turn_ ? now_ : clock_->MonotonicNow(); }

absl::Time EpollEventLoop::WallNow() const {
  if (!in_turn_) return clock_->WallNow();
  if (!wall_now_) wall_now_ = clock_->WallNow();
  return *wall_now_;
}

bool EpollEventLoop::InLoopThread() const {
  const std::thread::id thread = thread_.load();
  return thread == std::thread::id() || thread == std::this_thread::get_id();
}

}  // namespace byrnie
