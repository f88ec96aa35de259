#ifndef BYRNIE_CTL_INSTALL_KUBECONFIG_H_
#define BYRNIE_CTL_INSTALL_KUBECONFIG_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controlplane/kubernetes/api_server.h"

namespace byrnie {

// A kubeconfig's text, and the directory that its relative paths begin in.
struct KubeconfigText {
  std::string text;
  std::string directory;
};

// The API server of a context of kubeconfigs, YAML or JSON, as kubectl reads several: what the
// first of them says of a name counts. `context` empty: the current one. InvalidArgument, quoting
// nothing secret.
absl::StatusOr<ApiServer> ServerOfKubeconfigs(const std::vector<KubeconfigText>& configs,
                                              absl::string_view context);

// The one of this machine: the file `path`; where that is empty, those of KUBECONFIG, separated by
// colons, that are there; else ~/.kube/config; else, in a pod, its own. What it does not say is
// this machine's: whom it trusts, and the proxy of HTTPS_PROXY and NO_PROXY. InvalidArgument says
// what was looked for.
absl::StatusOr<ApiServer> FindApiServer(
    const std::string& path, absl::string_view context,
    const std::function<std::string(absl::string_view name)>& get_environment);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_KUBECONFIG_H_
