#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_TESTING_FAKE_PODS_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_TESTING_FAKE_PODS_H_

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "controlplane/kubernetes/pod_lookup.h"

namespace byrnie {

// A cluster that has the pods that a test says. Not thread-safe.
class FakePods final : public PodLookup {
 public:
  void Put(Pod pod) {
    std::string uid = pod.uid;
    pods_[std::move(uid)] = {State::kHere, std::make_shared<const Pod>(std::move(pod))};
  }
  void End(const std::string& uid) { pods_[uid] = {State::kGone, nullptr}; }

  Found Find(absl::string_view uid) const override {
    const auto found = pods_.find(uid);
    return found == pods_.end() ? Found() : found->second;
  }

 private:
  std::map<std::string, Found, std::less<>> pods_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_TESTING_FAKE_PODS_H_
