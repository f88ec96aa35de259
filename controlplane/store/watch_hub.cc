#include "controlplane/store/watch_hub.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace byrnie {
namespace {

constexpr absl::Duration kRetry = absl::Seconds(1);
// A listener that is so many commits behind reads everything again.
constexpr size_t kMaxPending = 4096;

}  // namespace

class WatchHub::Handle final : public StoreWatch {
 public:
  Handle(WatchHub* hub, Watchers::iterator watcher) : hub_(hub), watcher_(watcher) {}
  ~Handle() override { hub_->Remove(watcher_); }

 private:
  WatchHub* const hub_;  // Not owned.
  const Watchers::iterator watcher_;
};

WatchHub::~WatchHub() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  work_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

std::unique_ptr<StoreWatch> WatchHub::Watch(absl::string_view prefix, StoreListener* listener) {
  absl::MutexLock lock(&mu_);
  Watcher watcher;
  watcher.prefix = std::string(prefix);
  watcher.listener = listener;
  const auto added = watchers_.insert(watchers_.end(), std::move(watcher));
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  work_.NotifyAll();
  return std::make_unique<Handle>(this, added);
}

void WatchHub::Publish(const std::vector<StoreWrite>& writes, int64_t revision) {
  absl::MutexLock lock(&mu_);
  for (Watcher& watcher : watchers_) {
    std::vector<StoreChange> changes;
    for (const StoreWrite& write : writes) {
      if (absl::StartsWith(write.key, watcher.prefix)) {
        changes.push_back({write.key, write.value, revision});
      }
    }
    // What a reset that is due will read anyway need not be kept.
    if (changes.empty() || watcher.reset) continue;
    if (watcher.pending.size() < kMaxPending) {
      watcher.pending.push_back(std::move(changes));
    } else {
      watcher.pending.clear();
      watcher.reset = true;
    }
  }
  work_.NotifyAll();
}

void WatchHub::Reset() {
  absl::MutexLock lock(&mu_);
  for (Watcher& watcher : watchers_) {
    watcher.pending.clear();
    watcher.reset = true;
  }
  work_.NotifyAll();
}

void WatchHub::Remove(Watchers::iterator watcher) {
  absl::MutexLock lock(&mu_);
  const auto idle = [this, watcher]()
                        ABSL_SHARED_LOCKS_REQUIRED(mu_) { return serving_ != &*watcher; };
  mu_.Await(absl::Condition(&idle));
  watchers_.erase(watcher);
}

bool WatchHub::Serve(Watcher* watcher) {
  const bool reset = watcher->reset && watcher->not_before <= clock_.MonotonicNow();
  // Changes wait for a reset that has to be tried again.
  if (!reset && (watcher->reset || watcher->pending.empty())) return false;
  std::vector<std::vector<StoreChange>> changes = std::move(watcher->pending);
  watcher->pending.clear();
  // From here on changes are kept: the listener has not read them for certain.
  watcher->reset = false;
  serving_ = watcher;
  mu_.Unlock();
  absl::Status read;
  if (reset) read = watcher->listener->OnReset();
  if (read.ok()) {
    for (const std::vector<StoreChange>& commit : changes) watcher->listener->OnChanges(commit);
  }
  mu_.Lock();
  serving_ = nullptr;
  if (!read.ok()) {
    watcher->reset = true;
    watcher->pending.clear();
    watcher->not_before = clock_.MonotonicNow() + kRetry;
  }
  return true;
}

bool WatchHub::HasWork() const {
  const absl::Duration now = clock_.MonotonicNow();
  return stopping_ ||
         std::any_of(watchers_.begin(), watchers_.end(), [now](const Watcher& watcher) {
           return watcher.reset ? watcher.not_before <= now : !watcher.pending.empty();
         });
}

void WatchHub::Run() {
  absl::MutexLock lock(&mu_);
  while (!stopping_) {
    bool served = false;
    for (auto it = watchers_.begin(); it != watchers_.end() && !stopping_; ++it) {
      served = Serve(&*it) || served;
    }
    if (served) continue;
    absl::Duration again = absl::InfiniteDuration();
    for (const Watcher& watcher : watchers_) {
      if (watcher.reset) again = std::min(again, watcher.not_before);
    }
    const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return HasWork(); };
    work_.AwaitWithTimeout(&mu_, again - clock_.MonotonicNow(), has_work);
  }
}

}  // namespace byrnie
