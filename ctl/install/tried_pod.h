#ifndef BYRNIE_CTL_INSTALL_TRIED_POD_H_
#define BYRNIE_CTL_INSTALL_TRIED_POD_H_

#include <string>

#include "absl/status/statusor.h"
#include "ctl/install/cluster_api.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"

namespace byrnie {

// Whether a pod can be tried in a meshed namespace: it is not going, and not kube-system, about
// which nobody is asked.
bool MayBeTriedIn(const Json& ns);

// What a new pod of `ns` would be, after all who are asked about pods; it is not made. What the API
// server says where it would not be.
absl::StatusOr<Json> TryPod(ClusterApi* cluster, const std::string& ns);

// What new pods get. A value.
struct NewPods {
  // What keeps them from getting their sidecars by a configuration, for people; "" where nothing
  // does, or where that cannot be seen.
  std::string awaited;
  // One has been seen to get them, or no namespace is meshed, so that there are no new pods.
  bool settled = false;
};

// What new pods get where it is to be by `config`. The errors of calls that may be better soon.
absl::StatusOr<NewPods> LookAtNewPods(ClusterApi* cluster, const InjectorConfig& config);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_TRIED_POD_H_
