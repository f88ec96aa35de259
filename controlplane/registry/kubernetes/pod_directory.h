#ifndef BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_POD_DIRECTORY_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_POD_DIRECTORY_H_

#include <deque>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/kubernetes/informer.h"
#include "controlplane/kubernetes/objects.h"

namespace byrnie {

// Which pods there are, by uid, for other threads. One that has finished is gone. A pod that was
// never heard of is unknown, not gone: it may be one that the API server has not told of yet.
// Thread-safe but for OnPods(), which is the informer's listener.
class PodDirectory {
 public:
  enum class State { kUnknown, kHere, kGone };
  // Uids of pods that have gone, remembered.
  static constexpr size_t kMaxGone = 100000;

  void OnPods(const Informer<Pod>::Changes& changes) {
    absl::MutexLock lock(&mu_);
    for (const ObjectChange<Pod>& change : changes) {
      const Pod* const before = change.before.get();
      const Pod* const after = change.after.get();
      if (before != nullptr && (after == nullptr || before->uid != after->uid)) Leave(before->uid);
      if (after == nullptr) continue;
      (after->finished ? here_ : finished_).erase(after->uid);
      (after->finished ? finished_ : here_).insert(after->uid);
    }
  }

  State Find(absl::string_view uid) const {
    absl::MutexLock lock(&mu_);
    if (here_.find(uid) != here_.end()) return State::kHere;
    const bool gone = finished_.find(uid) != finished_.end() || gone_.find(uid) != gone_.end();
    return gone ? State::kGone : State::kUnknown;
  }

 private:
  void Leave(const std::string& uid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    here_.erase(uid);
    finished_.erase(uid);
    if (!gone_.insert(uid).second) return;
    order_.push_back(uid);
    if (order_.size() <= kMaxGone) return;
    gone_.erase(order_.front());
    order_.pop_front();
  }

  mutable absl::Mutex mu_;
  std::set<std::string, std::less<>> here_ ABSL_GUARDED_BY(mu_);
  // Which the API server has still, and a restarted control plane hears of in this state alone.
  std::set<std::string, std::less<>> finished_ ABSL_GUARDED_BY(mu_);
  std::set<std::string, std::less<>> gone_ ABSL_GUARDED_BY(mu_);
  std::deque<std::string> order_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_POD_DIRECTORY_H_
