#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_POD_LOOKUP_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_POD_LOOKUP_H_

#include <memory>

#include "absl/strings/string_view.h"
#include "controlplane/kubernetes/objects.h"

namespace byrnie {

// What is known of a cluster's pods, by uid. Thread-safe, and waits for nobody.
class PodLookup {
 public:
  // A pod that was never heard of is unknown, not gone: it may be one that the API server has not
  // told of yet. One that has finished is gone.
  enum class State { kUnknown, kHere, kGone };
  struct Found {
    State state = State::kUnknown;
    // Of kHere alone.
    std::shared_ptr<const Pod> pod;
  };

  virtual ~PodLookup() = default;
  virtual Found Find(absl::string_view uid) const = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_POD_LOOKUP_H_
