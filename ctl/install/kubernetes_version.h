#ifndef BYRNIE_CTL_INSTALL_KUBERNETES_VERSION_H_
#define BYRNIE_CTL_INSTALL_KUBERNETES_VERSION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "ctl/install/install_settings.h"
#include "deploy/injector/json.h"

namespace byrnie {

// From this minor version of Kubernetes 1 on, sidecars are native unless somebody says otherwise.
inline constexpr int kNativeSidecarsMinor = 29;

// "1.29.3" of "v1.29.3+k3s1", as numbers; fewer where it has fewer.
std::vector<int> VersionNumbers(absl::string_view text);

// The minor version of an API server of Kubernetes 1; InvalidArgument where it is something else.
absl::StatusOr<int> MinorVersion(const Json& version);

// Of a node's nodeInfo.
bool IsWindows(const Json& node_info);
// Of a node. Also where that is not known: its kubelet's version is not understood, or is one that
// a virtual kubelet has made up.
bool KnowsNativeSidecars(const Json& node);

// A node and its kubelet's version.
struct NodesKubelet {
  std::string node, version;
};

// The oldest kubelet of those, but for Windows', that know no native sidecars; none where all do.
absl::optional<NodesKubelet> FindOldestKubelet(const std::vector<Json>& nodes);

// Chooses classic sidecars in `settings` where nobody has said which, and the API server knows no
// native ones, or those that are `installed` ("" for none) are classic, or none are and the oldest
// kubelet knows no native ones. What is installed is not changed for a node that has come since.
// What is to be said of it, with the node that has decided; "" for nothing.
std::string ChooseSidecars(int server_minor, const absl::StatusOr<std::vector<Json>>& nodes,
                           const std::string& installed, InstallSettings* settings);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_KUBERNETES_VERSION_H_
