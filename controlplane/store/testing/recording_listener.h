#ifndef BYRNIE_CONTROLPLANE_STORE_TESTING_RECORDING_LISTENER_H_
#define BYRNIE_CONTROLPLANE_STORE_TESTING_RECORDING_LISTENER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controlplane/store/store.h"

namespace byrnie {

// A listener that writes down what it is told. Thread-safe.
class RecordingListener final : public StoreListener {
 public:
  // How long a test waits for what is to come: long enough for a slow machine.
  static constexpr absl::Duration kPatience = absl::Seconds(30);

  absl::Status OnReset() override {
    std::function<absl::Status()> read;
    {
      absl::MutexLock lock(&mu_);
      read = read_;
    }
    const absl::Status status = read ? read() : absl::OkStatus();
    absl::MutexLock lock(&mu_);
    ++resets_;
    return status;
  }

  void OnChanges(const std::vector<StoreChange>& changes) override {
    absl::MutexLock lock(&mu_);
    for (const StoreChange& change : changes) {
      absl::StrAppend(&text_, change.key, "=", change.value.value_or("(deleted)"), " ");
      ordered_ = ordered_ && change.revision >= last_revision_;
      last_revision_ = change.revision;
    }
    absl::StrAppend(&text_, "; ");
  }

  // What OnReset does.
  void ReadWith(std::function<absl::Status()> read) {
    absl::MutexLock lock(&mu_);
    read_ = std::move(read);
  }

  // Waits for a number of resets, or for a text such as "a=1 b=(deleted) ; ", one semicolon a call.
  bool AwaitResets(int count) {
    absl::MutexLock lock(&mu_);
    const auto enough = [this, count]() { return resets_ >= count; };
    return mu_.AwaitWithTimeout(absl::Condition(&enough), kPatience);
  }
  bool Await(absl::string_view text) {
    absl::MutexLock lock(&mu_);
    const auto there = [this, text]() { return text_ == text; };
    return mu_.AwaitWithTimeout(absl::Condition(&there), kPatience);
  }

  std::string text() const {
    absl::MutexLock lock(&mu_);
    return text_;
  }
  int resets() const {
    absl::MutexLock lock(&mu_);
    return resets_;
  }
  // Revisions never went back.
  bool ordered() const {
    absl::MutexLock lock(&mu_);
    return ordered_;
  }

 private:
  mutable absl::Mutex mu_;
  std::function<absl::Status()> read_ ABSL_GUARDED_BY(mu_);
  std::string text_ ABSL_GUARDED_BY(mu_);
  int resets_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t last_revision_ ABSL_GUARDED_BY(mu_) = 0;
  bool ordered_ ABSL_GUARDED_BY(mu_) = true;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_TESTING_RECORDING_LISTENER_H_
