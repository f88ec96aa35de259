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

// What keeps new pods from getting their sidecars by `config`, for people; "" where nothing does,
// or where that cannot be seen, because no namespace is meshed or no pod can be tried. The errors
// of calls that may be better soon.
absl::StatusOr<std::string> WhatIsAwaitedOfPods(ClusterApi* cluster, const InjectorConfig& config);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_TRIED_POD_H_
