#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_API_SERVER_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_API_SERVER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/secret_bytes.h"

namespace byrnie {

// Where a Kubernetes API server is, who vouches for it, and what to show it. Move-only.
struct ApiServer {
  static constexpr char kServiceAccountDirectory[] =
      "/var/run/secrets/kubernetes.io/serviceaccount";

  // A host name or an IP address without brackets.
  std::string host;
  uint16_t port = 443;
  // The name its certificate is for; the host unless another one is given.
  std::string server_name;
  // PEM: a file that may change, or, where that is empty, the text itself.
  std::string ca_file;
  std::string ca_pem;
  // The bearer token: as the CA.
  std::string token_file;
  SecretBytes token;

  // For the Host field: "10.96.0.1:443", "[fd00::1]:443".
  std::string Authority() const;
};

// Of a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, which `get_environment` gives
// (empty: not set), and the service account's files in `directory`. FailedPrecondition outside a
// pod.
absl::StatusOr<ApiServer> InClusterApiServer(
    const std::function<std::string(absl::string_view name)>& get_environment,
    const std::string& directory = ApiServer::kServiceAccountDirectory);

// The current context of a kubeconfig, as JSON, which is YAML too: what `kubectl config view
// --minify --flatten --raw -o json` writes. Of it, `server` (https), `certificate-authority` or
// `certificate-authority-data`, `tls-server-name`, and of the user `token` or `tokenFile`; paths
// are relative to `directory`. InvalidArgument for what is missing, and for what is there and would
// have to be done otherwise: client certificates, exec plugins, proxies, passwords, impersonation,
// servers that are not to be verified. A control plane has an account of its own, and no
// administrator's.
absl::StatusOr<ApiServer> ParseKubeconfig(absl::string_view json, absl::string_view directory);

// Reads the file of a kubeconfig; errors name the path.
absl::StatusOr<ApiServer> ReadKubeconfig(const std::string& path);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_API_SERVER_H_
