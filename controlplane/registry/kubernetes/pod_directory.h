#ifndef BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_POD_DIRECTORY_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_POD_DIRECTORY_H_

#include <deque>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/kubernetes/informer.h"
#include "controlplane/kubernetes/objects.h"
#include "controlplane/kubernetes/pod_lookup.h"

namespace byrnie {

// Which pods there are, for other threads. Thread-safe but for OnPods(), which is the informer's
// listener.
class PodDirectory final : public PodLookup {
 public:
  // Uids of pods that have gone, remembered.
  static constexpr size_t kMaxGone = 100000;

  void OnPods(const Informer<Pod>::Changes& changes) {
    absl::MutexLock lock(&mu_);
    for (const ObjectChange<Pod>& change : changes) {
      const Pod* const before = change.before.get();
      const Pod* const after = change.after.get();
      if (before != nullptr && (after == nullptr || before->uid != after->uid)) Leave(before->uid);
      if (after == nullptr) continue;
      if (after->finished) {
        here_.erase(after->uid);
        finished_.insert(after->uid);
      } else {
        finished_.erase(after->uid);
        here_[after->uid] = change.after;
      }
    }
  }

  Found Find(absl::string_view uid) const override {
    absl::MutexLock lock(&mu_);
    const auto here = here_.find(uid);
    if (here != here_.end()) return {State::kHere, here->second};
    const bool gone = finished_.contains(uid) || gone_.contains(uid);
    return {gone ? State::kGone : State::kUnknown, nullptr};
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
  absl::flat_hash_map<std::string, std::shared_ptr<const Pod>> here_ ABSL_GUARDED_BY(mu_);
  // Which the API server has still, and a restarted control plane hears of in this state alone.
  absl::flat_hash_set<std::string> finished_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<std::string> gone_ ABSL_GUARDED_BY(mu_);
  std::deque<std::string> order_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_KUBERNETES_POD_DIRECTORY_H_
